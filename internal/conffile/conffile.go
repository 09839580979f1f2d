// Package conffile reads configuration files of modules, in TOML or JSON, into
// structs, and says what is wrong with them: the line, the key, and the key that
// was probably meant.
//
// Both forms have the same keys: those of the toml tags, which the json tags of the
// struct repeat. Unknown keys are errors. A struct may have maps of strings, whose
// keys are the user's.
package conffile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"sluice/internal/spelling"

	"github.com/pelletier/go-toml/v2"
)

// Load reads a file into a pointer to a struct. A name that ends in .json is JSON,
// every other TOML. Errors name the file and, where they can, the line.
func Load(name string, into any) error {
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	decode := TOML
	if strings.EqualFold(filepath.Ext(name), ".json") {
		decode = JSON
	}
	if err := decode(data, into); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// TOML reads a TOML document into a pointer to a struct.
func TOML(data []byte, into any) error {
	d := toml.NewDecoder(bytes.NewReader(data)).DisallowUnknownFields()
	err := d.Decode(into)
	var unknown *toml.StrictMissingError
	var wrong *toml.DecodeError
	switch {
	case errors.As(err, &unknown):
		var all []error
		for _, e := range unknown.Errors {
			line, _ := e.Position()
			all = append(all, fmt.Errorf("line %d: %w", line, unknownKey(e.Key(), into)))
		}
		return errors.Join(all...)
	case errors.As(err, &wrong):
		line, _ := wrong.Position()
		text := strings.TrimPrefix(wrong.Error(), "toml: ")
		if key := strings.Join(wrong.Key(), "."); key != "" {
			text = key + ": " + text
		}
		return fmt.Errorf("line %d: %s", line, text)
	}
	return err
}

// JSON reads a JSON document into a pointer to a struct.
func JSON(data []byte, into any) error {
	var tree any
	if err := json.Unmarshal(data, &tree); err != nil {
		return fmt.Errorf("line %d: %w", lineAt(data, offset(err)), err)
	}
	if _, ok := tree.(map[string]any); !ok {
		return errors.New("it must be a JSON object")
	}
	if err := unknownIn(tree, nil, reflect.TypeOf(into), into); err != nil {
		return err
	}
	err := json.Unmarshal(data, into)
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return fmt.Errorf("line %d: %s: it must be of type %s, not %s", lineAt(data, wrong.Offset), wrong.Field, wrong.Type, wrong.Value)
	}
	return err
}

func offset(err error) int64 {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return syntax.Offset
	}
	return 0
}

func lineAt(data []byte, offset int64) int {
	return 1 + bytes.Count(data[:min(int64(len(data)), max(offset, 0))], []byte("\n"))
}

// unknownIn finds keys of a JSON tree that the type has no field for.
func unknownIn(tree any, path []string, t reflect.Type, whole any) error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch tree := tree.(type) {
	case map[string]any:
		return unknownInObject(tree, path, t, whole)
	case []any:
		if t.Kind() != reflect.Slice {
			return nil // a wrong type, which decoding tells
		}
		var all []error
		for _, v := range tree {
			all = append(all, unknownIn(v, path, t.Elem(), whole))
		}
		return errors.Join(all...)
	}
	return nil
}

func unknownInObject(object map[string]any, path []string, t reflect.Type, whole any) error {
	if t.Kind() != reflect.Struct {
		return nil
	}
	var all []error
	for key, v := range object {
		at := append(path[:len(path):len(path)], key)
		f, ok := field(t, key)
		if !ok {
			all = append(all, unknownKey(at, whole))
			continue
		}
		all = append(all, unknownIn(v, at, f.Type, whole))
	}
	return errors.Join(all...)
}

func field(t reflect.Type, key string) (reflect.StructField, bool) {
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			if inner, ok := field(f.Type, key); ok {
				return inner, true
			}
		}
		if name(f) == key {
			return f, true
		}
	}
	return reflect.StructField{}, false
}

func name(f reflect.StructField) string {
	tag, _, _ := strings.Cut(f.Tag.Get("toml"), ",")
	return tag
}

// unknownKey says that nobody knows a key, and which was probably meant.
func unknownKey(key []string, whole any) error {
	got := strings.Join(key, ".")
	best := spelling.Nearest(got, known(reflect.TypeOf(whole), ""), func(k string) bool {
		return k[strings.LastIndexByte(k, '.')+1:] == key[len(key)-1] // the right key in the wrong table
	})
	if best == "" {
		return fmt.Errorf("unknown key %q", got)
	}
	return fmt.Errorf("unknown key %q; did you mean %q?", got, best)
}

// known lists all keys of a type, with those of its tables and lists of tables.
func known(t reflect.Type, prefix string) (keys []string) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			keys = append(keys, known(f.Type, prefix)...)
		}
		if key := name(f); key != "" {
			keys = append(append(keys, prefix+key), known(f.Type, prefix+key+".")...)
		}
	}
	return keys
}
