package twin

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"sluice/iot"
)

func nested(open string, depth int, inner string) string {
	closing := map[string]string{`{"a":`: "}", "[": "]"}[open]
	return strings.Repeat(open, depth) + inner + strings.Repeat(closing, depth)
}

// fill is a document of exactly size bytes as the service counts.
func fill(size int) string {
	var b strings.Builder
	b.WriteByte('{')
	for i := 0; size > 0; i++ {
		value := min(size-4, 4000)
		if rest := size - 4 - value; rest > 0 && rest < 4 {
			value -= 4
		}
		fmt.Fprintf(&b, `"k%03d":%q,`, i, strings.Repeat("v", value))
		size -= 4 + value
	}
	return strings.TrimSuffix(b.String(), ",") + "}"
}

func TestW3_limitsExactlyAtAndExactlyAbove(t *testing.T) {
	for _, c := range []struct {
		name, at, above string
		kind            iot.Kind
		says            string
	}{
		{"depth of objects", nested(`{"a":`, 11, `1`), nested(`{"a":`, 12, `1`), iot.Invalid, "properties.reported.a.a.a.a.a.a.a.a.a.a.a: objects and arrays are nested more than 10 deep"},
		{"depth of arrays", `{"a":` + nested("[", 10, "") + `}`, `{"a":` + nested("[", 11, "") + `}`, iot.Invalid, "properties.reported.a[0][0][0][0][0][0][0][0][0][0]: objects and arrays are nested more than 10 deep"},
		{"name", `{"` + strings.Repeat("k", 1024) + `":1}`, `{"` + strings.Repeat("k", 1025) + `":1}`, iot.Invalid, "1025 bytes long"},
		{"name in bytes of UTF-8", `{"` + strings.Repeat("é", 512) + `":1}`, `{"` + strings.Repeat("é", 512) + `k":1}`, iot.Invalid, "1025 bytes long"},
		{"string", `{"a":"` + strings.Repeat("v", 4096) + `"}`, `{"a":"` + strings.Repeat("v", 4097) + `"}`, iot.Invalid, "properties.reported.a: the string is 4097 bytes long"},
		{"escaped string", `{"a":"` + strings.Repeat(`\u0041`, 4096) + `"}`, `{"a":"` + strings.Repeat(`\u0041`, 4097) + `"}`, iot.Invalid, "4097 bytes long"},
		{"largest integer", `{"a":4503599627370495}`, `{"a":4503599627370496}`, iot.Invalid, "properties.reported.a: the integer"},
		{"smallest integer", `{"a":-4503599627370496}`, `{"a":-4503599627370497}`, iot.Invalid, "properties.reported.a: the integer"},
		{"integer beyond 64 bits", `{"a":0}`, `{"a":99999999999999999999}`, iot.Invalid, "properties.reported.a: the integer"},
		{"real", `{"a":1e308}`, `{"a":1e309}`, iot.Invalid, "beyond the range"},
		{"size of properties", fill(32 << 10), fill(32<<10 + 1), iot.TooLarge, "properties.reported: 32769 bytes, as IoT Hub counts, are over the limit of 32768"},
		{"null in an array", `{"a":[1]}`, `{"a":{"b":[1,null]}}`, iot.Invalid, "properties.reported.a.b[1]: null is not allowed inside an array"},
		{"null in an object in an array", `{"a":[{"b":1}]}`, `{"a":[[{"b":{"c":null}}]]}`, iot.Invalid, "properties.reported.a[0][0]: null is not allowed inside an array"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := NewDocument(Reported, epoch)
			if _, err := d.Merge(json.RawMessage(c.at), epoch); err != nil {
				t.Errorf("at the limit: %v", err)
			}
			next, err := d.Merge(json.RawMessage(c.above), epoch)
			if iot.KindOf(err) != c.kind || err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("above the limit: %v; want %v and %q", err, c.kind, c.says)
			}
			if next.Version() != d.Version() {
				t.Error("a refused patch made a version")
			}
		})
	}
}

func TestW3_sizeLimitOfEachSection(t *testing.T) {
	for s, limit := range map[Section]int{Tags: 8 << 10, Desired: 32 << 10, Reported: 32 << 10} {
		d, err := NewDocument(s, epoch).Merge(json.RawMessage(fill(limit)), epoch)
		if must(t, d, err).Size() != limit {
			t.Fatalf("%s: filled to %d, not %d", s, d.Size(), limit)
		}
		if _, err := d.Merge(json.RawMessage(`{"z":""}`), epoch); iot.KindOf(err) != iot.TooLarge {
			t.Errorf("%s: a byte more: %v", s, err)
		}
		if _, err := d.Merge(json.RawMessage(`{"k000":null,"z":true}`), epoch); err != nil {
			t.Errorf("%s: shrinking: %v", s, err)
		}
	}
}

func TestW3_aDocumentThatIsTooLargeMayShrink(t *testing.T) {
	d, err := Received(Reported, json.RawMessage(fill(40<<10)), 1, epoch)
	must(t, d, err)
	if _, err := d.Merge(json.RawMessage(`{"z":1}`), epoch); iot.KindOf(err) != iot.TooLarge {
		t.Errorf("growing: %v", err)
	}
	if _, err := d.Merge(json.RawMessage(`{"k000":null}`), epoch); err != nil {
		t.Errorf("shrinking: %v", err)
	}
}

func TestSizeIsCountedAsTheServiceDoes(t *testing.T) {
	for body, want := range map[string]int{
		`{}`:                              0,
		`{"a":1}`:                         9,
		`{"a":1.23456789012345678}`:       9,
		`{"a":true}`:                      5,
		`{"a":"xyz"}`:                     4,
		`{"aé":"é\u0085\n\u007fx"}`:       4,
		`{"a":{"b":{"c":false}}}`:         7,
		`{"a":[1,"xy",{"b":true},[]]}`:    16,
		`{"a":1,"$metadata":{"x":"yyy"}}`: 9,
	} {
		if got := document(t, Desired, body).Size(); got != want {
			t.Errorf("size of %s is %d, want %d", body, got, want)
		}
	}
}

func TestPatchesThatAreRefused(t *testing.T) {
	for _, c := range []struct{ patch, says string }{
		{``, "must be a JSON object"},
		{`null`, "must be a JSON object"},
		{`[]`, "must be a JSON object"},
		{`"a"`, "must be a JSON object"},
		{`{`, "not JSON at byte 1: expected a property name in quotes"},
		{`{"a"}`, "not JSON at byte 4: expected : after a property name"},
		{`{"a":}`, "tags.a: not JSON at byte 5: a value is missing"},
		{`{"a":1,}`, "not JSON at byte 7: expected a property name"},
		{`{"a":1 "b":2}`, "expected , or }"},
		{`{"a":[1 2]}`, "tags.a: not JSON at byte 8: expected , or ]"},
		{`{"a":[1,]}`, "a value is missing"},
		{`{"a":1}x`, "something follows"},
		{`{"a":01}`, "expected , or }"},
		{`{"a":-}`, "no digits"},
		{`{"a":1.}`, "no digits after its point"},
		{`{"a":1e}`, "no digits in its exponent"},
		{`{"a":tru}`, "a value is missing"},
		{`{"a":"x`, "does not end"},
		{`{"a":"\`, "does not end"},
		{`{"a":"\n`, "does not end"},
		{`{"a":"\x"}`, "unknown escape"},
		{`{"a":"\u00g0"}`, "unknown escape"},
		{`{"a":"\ud800"}`, "half a surrogate"},
		{`{"a":"\udc00\ud800"}`, "half a surrogate"},
		{"{\"a\":\"\x01\"}", "control character"},
		{"{\"a\":\"\\n\x01\"}", "control character"},
		{"{\"a\":\"\xff\"}", "not UTF-8"},
		{"{\"a\":\"\\n\xff\"}", "not UTF-8"},
		{`{"":1}`, "name is empty"},
		{`{"a b":1}`, `the property name "a b" has ' ' in it`},
		{`{"a.b":1}`, "has '.' in it"},
		{`{"$x":1}`, "has '$' in it"},
		{`{"x":{"$version":1}}`, `tags.x: the property name "$version" has '$'`},
		{`{"a\u0001":1}`, "control characters"},
		{`{"a\u0085":1}`, "control characters"},
		{`{"$metadata":{"x":}}`, "a value is missing"},
		{`{"$version":` + nested("[", 100, "") + `}`, "more than 64 deep"},
	} {
		_, err := NewDocument(Tags, epoch).Merge(json.RawMessage(c.patch), epoch)
		var e *iot.Error
		if !errors.As(err, &e) || e.Kind != iot.Invalid || !strings.HasPrefix(e.Detail, "tags") || !strings.Contains(e.Detail, c.says) {
			t.Errorf("%q: %v; want %q", c.patch, err, c.says)
		}
	}
}

func TestErrorsDoNotRepeatALongNameWhole(t *testing.T) {
	patch := `{"a":{"` + strings.Repeat("é", 400) + `.":1}}`
	_, err := NewDocument(Tags, epoch).Merge(json.RawMessage(patch), epoch)
	if err == nil || len(err.Error()) > 250 {
		t.Errorf("%v", err)
	}
}
