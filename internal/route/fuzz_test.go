package route

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"sluice/iot"
)

// FuzzParse: no text makes the parser fail otherwise than with problems that
// point into the text, and what it takes it takes again in the form of String.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"FROM /messages/* WHERE a = 'b' INTO $upstream",
		`SELECT * FROM /* WHERE NOT (a = "b") OR -$body.x[0] + 0x1F >= .5e3 INTO BrokeredEndpoint("/modules/m/inputs/i")`,
		"FROM /twinChangeNotifications WHERE twin_change_includes(properties.reported.a) INTO $upstream",
		"FROM / */a WHERE 'v*/' = '\\u0041\\\\u' || {$cid} ?? undefined INTO $upstream;",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := Parse(text)
		if err != nil {
			checkProblems(t, text, Problems(err))
			return
		}
		checkProblems(t, text, r.Doubts())
		once := r.String()
		if len(once) > MaxText {
			return
		}
		again, err := Parse(once)
		if err != nil {
			t.Fatalf("%q is formatted as %q: %v", text, once, err)
		}
		if twice := again.String(); twice != once || again.From() != r.From() || again.Into() != r.Into() {
			t.Errorf("%q is formatted as %q, and that as %q", text, once, twice)
		}
	})
}

func checkProblems(t *testing.T, text string, problems []*Problem) {
	for _, p := range problems {
		if p.Text != text || p.Start < 0 || p.Start > p.End || p.End > len(text) {
			t.Errorf("%q: problem at [%d,%d)", text, p.Start, p.End)
		}
		if caret := p.Caret(); strings.Count(caret, "\n") != 2 || !strings.Contains(caret, "^") {
			t.Errorf("%q: caret %q", text, caret)
		}
	}
}

// FuzzCondition: a condition and its String come to the same for any message.
func FuzzCondition(f *testing.F) {
	vectors, messages := loadVectors(f)
	for _, v := range vectors {
		f.Add(v.When, "key1", "value1", messages[v.Message].Body)
	}
	f.Add("length(substring('\\uD83D\\uDE00x', 1)) = 2 AND concat('\\uD83D', '\\uDE00') = key", "key", "😀", []byte(`{"a":[{"b":1}]}`))
	f.Fuzz(func(t *testing.T, text, key, val string, body []byte) {
		c, err := ParseCondition(text, ParsePattern("/twinChangeNotifications"))
		if err != nil {
			checkProblems(t, text, Problems(err))
			return
		}
		once := c.String()
		if len(once) > MaxText {
			return
		}
		again, err := ParseCondition(once, ParsePattern("/twinChangeNotifications"))
		if err != nil {
			t.Fatalf("%q is formatted as %q: %v", text, once, err)
		}
		m := jsonMessage(body)
		m.Properties.Set(key, val)
		if a, b := c.Eval(m), again.Eval(m); a != b {
			t.Errorf("%q is %v, but as %q it is %v", text, a, once, b)
		}
	})
}

func jsonMessage(body []byte) *iot.Message {
	m := &iot.Message{Body: body}
	m.System.Set(iot.ContentType, "application/json")
	m.System.Set(iot.ContentEncoding, "utf-8")
	return m
}

// FuzzBody: whatever a body holds, a condition finds in it what a reader of
// JSON finds that knows nothing of us.
func FuzzBody(f *testing.F) {
	for _, s := range []string{
		`{"a":{"b":[1,{"c":"x"}]}}`, `{"a":1,"a":{"b":2}}`, `{"a":{"b":[0,{"c":2}],"b":[]}}`, `{"a" : {"b":"2017-03-09T00:00:00Z"}}`,
		`{"a":{"b":"\ud83d\ude00\u00e9"}}`, `{"a":{"b":1e400}}`, `[1]`, `{"a":`, "\ufeff{}", `{"a":{"b":-0.0}}x`, `{"a":{"\u0062":tru}}`,
	} {
		f.Add([]byte(s))
	}
	table := bodyTable(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		frame := newFrame(jsonMessage(body), table.paths)
		defer frame.release()
		frame.readBody()
		want, ok := oracle(body)
		if ok && frame.body.state != bodyRead && shallow(body) {
			t.Fatalf("%q is not read", body)
		}
		if !ok || frame.body.state != bodyRead {
			return
		}
		for i, path := range bodyPaths {
			got := frame.body.value(i)
			if w := lookup(want, path); utf8.Valid(body) && got != w {
				t.Errorf("%q at %v: %+v, want %+v", body, path, got, w)
			}
		}
	})
}

var bodyPaths = [][]any{{"a"}, {"a", "b"}, {"a", "b", 0}, {"a", "b", 1, "c"}}

func bodyTable(t testing.TB) *Table {
	table, err := NewTable(Rule{Name: "r", Priority: DefaultPriority,
		Route: mustParse(t, "FROM /* WHERE $body.a = 1 OR $body.a.b = 1 OR $body.a.b[0] = 1 OR $body.a.b[1].c = 1 INTO $upstream")})
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func oracle(body []byte) (map[string]any, bool) {
	if len(body) > 2 && string(body[:3]) == "\ufeff" {
		body = body[3:]
	}
	var out map[string]any
	if json.Unmarshal(body, &out) != nil || out == nil {
		return nil, false
	}
	return out, true
}

// shallow reports whether a body is within the limit of depth.
func shallow(body []byte) bool {
	depth, deepest := 0, 0
	for _, c := range body {
		switch c {
		case '{', '[':
			depth++
			deepest = max(deepest, depth)
		case '}', ']':
			depth--
		}
	}
	return deepest <= maxDepth
}

func lookup(doc any, path []any) value {
	for _, step := range path {
		switch s := step.(type) {
		case string:
			m, _ := doc.(map[string]any)
			doc = m[s]
		case int:
			l, _ := doc.([]any)
			if s >= len(l) {
				return nullValue
			}
			doc = l[s]
		}
	}
	switch d := doc.(type) {
	case nil:
		return nullValue
	case bool:
		return boolValue(d)
	case float64:
		return numberValue(d)
	case string:
		if isTime(d) {
			return undefined
		}
		return stringValue(d)
	}
	return undefined
}
