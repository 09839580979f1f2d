package topic

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"sluice/iot"
)

func TestParseBag(t *testing.T) {
	for _, tt := range []struct {
		name, bag string
		want      iot.Message
	}{
		{"empty", "", iot.Message{}},
		{"application property", "a=1", iot.Message{Properties: iot.Properties{{Key: "a", Value: "1"}}}},
		{"encoded key and value", "a%20b=%C3%A4%26", iot.Message{Properties: iot.Properties{{Key: "a b", Value: "ä&"}}}},
		{"value with an equals sign", "a=b=c", iot.Message{Properties: iot.Properties{{Key: "a", Value: "b=c"}}}},
		{"no value", "a&b=", iot.Message{Properties: iot.Properties{{Key: "a"}, {Key: "b"}}}},
		{"a plus sign is itself", "a=1+1", iot.Message{Properties: iot.Properties{{Key: "a", Value: "1+1"}}}},
		{"an escape that is none", "a=50%&b=%zz", iot.Message{Properties: iot.Properties{{Key: "a", Value: "50%"}, {Key: "b", Value: "%zz"}}}},
		{"decoded once", "a=%252F", iot.Message{Properties: iot.Properties{{Key: "a", Value: "%2F"}}}},
		{"the last of a repeated key", "a=1&b=2&a=3", iot.Message{Properties: iot.Properties{{Key: "a", Value: "3"}, {Key: "b", Value: "2"}}}},
		{"system properties", "$.mid=m1&%24.ct=application%2Fjson&$.ce=utf-8", iot.Message{System: iot.System{
			{Name: iot.MessageID, Value: "m1"}, {Name: iot.ContentType, Value: "application/json"}, {Name: iot.ContentEncoding, Value: "utf-8"}}}},
		{"Z3 a forged sender is dropped", "$.cdid=other&%24.cmid=m&x=1&deviceId=other", iot.Message{Properties: iot.Properties{
			{Key: "x", Value: "1"}, {Key: "deviceId", Value: "other"}}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got iot.Message
			if err := ParseBag(tt.bag, &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("ParseBag(%q): -want +got\n%s", tt.bag, diff)
			}
		})
	}
}

func TestZ3_ParseBagRefuses(t *testing.T) {
	for name, bag := range map[string]string{
		"10,000 pairs":       strings.Repeat("a=1&", 10_000),
		"a pair without key": "=1",
		"not UTF-8":          "a=%FF",
	} {
		var m iot.Message
		if err := ParseBag(bag, &m); iot.KindOf(err) != iot.Invalid || err == nil {
			t.Errorf("%s: error %v, want kind invalid", name, err)
		}
	}
}

func TestBagRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var want iot.Message
		for key, value := range rapid.MapOf(rapid.StringN(1, 20, -1), rapid.String()).Draw(t, "properties") {
			if _, reserved := wireKeys[key]; !reserved {
				want.Properties.Set(key, value)
			}
		}
		for _, name := range []iot.SystemName{iot.MessageID, iot.CorrelationID, iot.ContentType} {
			want.System.Set(name, rapid.String().Draw(t, name.String()))
		}
		bag := string(AppendBag(nil, &want, false))
		if strings.ContainsAny(bag, "/#+\x00") {
			t.Fatalf("bag %q has a character with a meaning in topics", bag)
		}
		var got iot.Message
		if err := ParseBag(bag, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("bag %q: -want +got\n%s", bag, diff)
		}
	})
}

func FuzzParseBag(f *testing.F) {
	f.Add("a=1&$.mid=x&%24.cdid=y")
	f.Add("%=%&&=")
	f.Fuzz(func(t *testing.T, bag string) {
		var m iot.Message
		if ParseBag(bag, &m) != nil {
			return
		}
		if !m.Sender().IsZero() {
			t.Fatalf("bag %q set the sender %v", bag, m.Sender())
		}
		var again iot.Message
		if err := ParseBag(string(AppendBag(nil, &m, false)), &again); err != nil {
			t.Fatalf("bag %q does not survive being written: %v", bag, err)
		}
		if diff := cmp.Diff(m, again); diff != "" {
			t.Fatalf("bag %q: -want +got\n%s", bag, diff)
		}
	})
}

func BenchmarkParseBag(b *testing.B) {
	const bag = "$.mid=4711&$.ct=application%2Fjson&$.ce=utf-8&temperature=21.5&unit=celsius&alarm=false"
	b.ReportAllocs()
	for b.Loop() {
		var m iot.Message
		if err := ParseBag(bag, &m); err != nil {
			b.Fatal(err)
		}
	}
}
