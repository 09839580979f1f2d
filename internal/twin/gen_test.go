package twin

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var epoch = time.Date(2024, 2, 29, 23, 59, 59, 123456700, time.UTC)

// objects draws JSON objects that follow the rules, out of few keys, so that
// they meet. Nulls are drawn where a patch may have them.
func objects(nulls bool) *rapid.Generator[map[string]any] {
	return rapid.Custom(func(t *rapid.T) map[string]any { return drawObject(t, 3, nulls) })
}

func drawObject(t *rapid.T, depth int, nulls bool) map[string]any {
	o := map[string]any{}
	for _, key := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c", "Ä", "a_"}), 0, 4, rapid.ID).Draw(t, "keys") {
		o[key] = drawValue(t, depth, nulls)
	}
	return o
}

func drawValue(t *rapid.T, depth int, nulls bool) any {
	last := 5
	if nulls {
		last = 6
	}
	switch rapid.IntRange(0, last).Draw(t, "kind") {
	case 0, 1:
		if depth > 0 {
			return drawObject(t, depth-1, nulls)
		}
		return json.Number("1.10")
	case 2:
		return json.Number(rapid.SampledFrom([]string{"0", "-0", "1", "1.0", "1e3", "4503599627370495", "0.1234567890123456789"}).Draw(t, "number"))
	case 3:
		return rapid.SampledFrom([]string{"", "x", "é", "\x00\"\\\n", "😀", "<&>"}).Draw(t, "string")
	case 4:
		return rapid.Bool().Draw(t, "bool")
	case 5:
		items := make([]any, rapid.IntRange(0, 3).Draw(t, "items"))
		for i := range items {
			items[i] = drawValue(t, min(depth, 1)-1, false)
		}
		return items
	}
	return nil
}

func marshal(t testing.TB, v any) json.RawMessage {
	t.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		t.Fatal(err)
	}
	return bytes.TrimSpace(b.Bytes())
}

func unmarshal(t testing.TB, b []byte) map[string]any {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	var v map[string]any
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	return v
}

func must(t testing.TB, d Document, err error) Document {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func document(t testing.TB, s Section, body string) Document {
	t.Helper()
	d, err := NewDocument(s, epoch).Replace(json.RawMessage(body), epoch)
	return must(t, d, err)
}

// mergeModel is RFC 7396's pseudo code, on maps.
func mergeModel(target, patch any) any {
	changes, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	merged := map[string]any{}
	if before, ok := target.(map[string]any); ok {
		for key, v := range before {
			merged[key] = v
		}
	}
	for key, v := range changes {
		if v == nil {
			delete(merged, key)
		} else {
			merged[key] = mergeModel(merged[key], v)
		}
	}
	return merged
}

// sizeModel counts as the service's documentation has it.
func sizeModel(v any) int {
	size := 0
	switch v := v.(type) {
	case json.Number:
		return 8
	case bool:
		return 4
	case string:
		for _, r := range v {
			if r > 0x1f && (r < 0x7f || r > 0x9f) {
				size++
			}
		}
	case []any:
		for _, item := range v {
			size += sizeModel(item)
		}
	case map[string]any:
		for key, item := range v {
			size += sizeModel(key) + sizeModel(item)
		}
	}
	return size
}
