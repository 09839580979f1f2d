package mqttbridge

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A template is text with places to be filled from a publication: {name} of a level
// of its topic, {topic}, {client_id} and {username}, and {json:path} for a value
// in its payload.
type template struct {
	text  string
	parts []part
}

type part struct {
	literal string
	name    string   // of {name}
	path    []string // of {json:a.b.0}
}

// builtin are the names that every publication has. Only clients of the bridge's
// own broker have the last two.
var builtin = []string{"topic", "client_id", "username"}

func parseTemplate(text string, names []string) (*template, error) {
	t := &template{text: text}
	for rest := text; rest != ""; {
		before, after, found := strings.Cut(rest, "{")
		if before != "" {
			t.parts = append(t.parts, part{literal: before})
		}
		if !found {
			break
		}
		name, after, closed := strings.Cut(after, "}")
		if !closed {
			return nil, fmt.Errorf("%q: a brace is not closed", text)
		}
		rest = after
		if path, ok := strings.CutPrefix(name, "json:"); ok && path != "" {
			t.parts = append(t.parts, part{path: strings.Split(path, ".")})
			continue
		}
		if !slices.Contains(names, name) && !slices.Contains(builtin, name) {
			return nil, fmt.Errorf("%q: there is no {%s}; there are {%s} and {json:path}", text, name, strings.Join(append(names[:len(names):len(names)], builtin...), "}, {"))
		}
		t.parts = append(t.parts, part{name: name})
	}
	return t, nil
}

// only reports whether the template is one value of the payload and nothing else,
// and its path.
func (t *template) only() ([]string, bool) {
	if len(t.parts) == 1 && t.parts[0].path != nil {
		return t.parts[0].path, true
	}
	return nil, false
}

// uses reports whether the template has a place of this name.
func (t *template) uses(name string) bool {
	for _, p := range t.parts {
		if p.name == name {
			return true
		}
	}
	return false
}

// fill makes the text.
func (t *template) fill(values map[string]string, payload []byte) (string, error) {
	if len(t.parts) == 1 && t.parts[0].name != "" {
		return values[t.parts[0].name], nil
	}
	var b strings.Builder
	for _, p := range t.parts {
		b.WriteString(p.literal)
		if p.name != "" {
			b.WriteString(values[p.name])
		}
		if p.path == nil {
			continue
		}
		raw, err := selectJSON(payload, p.path)
		if err != nil {
			return "", err
		}
		text, err := scalar(raw)
		if err != nil {
			return "", fmt.Errorf("%s in the payload %w", strings.Join(p.path, "."), err)
		}
		b.WriteString(text)
	}
	return b.String(), nil
}

// scalar is a JSON value as text: a string's own, a number or truth value as it was
// written.
func scalar(raw json.RawMessage) (string, error) {
	switch raw[0] {
	case '"':
		var s string
		err := json.Unmarshal(raw, &s)
		return s, err
	case '{', '[':
		return "", errors.New("is not a single value")
	case 'n':
		return "", errors.New("is null")
	}
	return string(raw), nil
}

// selectJSON finds the value at a path of keys and places in lists.
func selectJSON(payload []byte, path []string) (json.RawMessage, error) {
	at := json.RawMessage(payload)
	for i, key := range path {
		missing := fmt.Errorf("the payload has no %s", strings.Join(path[:i+1], "."))
		var object map[string]json.RawMessage
		var list []json.RawMessage
		switch trimmed := strings.TrimLeft(string(at[:min(len(at), 64)]), " \t\r\n"); {
		case strings.HasPrefix(trimmed, "["):
			n, err := strconv.Atoi(key)
			if json.Unmarshal(at, &list) != nil || err != nil || n < 0 || n >= len(list) {
				return nil, missing
			}
			at = list[n]
		case json.Unmarshal(at, &object) != nil:
			return nil, errors.New("the payload is not JSON")
		default:
			var ok bool
			if at, ok = object[key]; !ok {
				return nil, missing
			}
		}
	}
	return at, nil
}
