package twin

import (
	"encoding/json"
	"testing"

	"sluice/iot"
)

func FuzzMerge(f *testing.F) {
	for _, seed := range [][2]string{
		{`{}`, `{"a":1}`},
		{`{"a":{"b":1.10}}`, `{"a":{"b":null,"c":[1,{"d":"\u00e9\ud83d\ude00"}]}}`},
		{`{"a":1}`, `{"a":2,"a":null,"$version":1}`},
		{`{"a":[[[]]]}`, `{"a":-0.0e+1}`},
		{`{"k":"` + "\u0080" + `"}`, `{"k":"\u0000"}`},
	} {
		f.Add([]byte(seed[0]), []byte(seed[1]))
	}
	f.Fuzz(func(t *testing.T, body, patch []byte) {
		d, err := NewDocument(Desired, epoch).Replace(body, epoch)
		if err != nil {
			checkRefusal(t, err)
			return
		}
		before := string(d.JSONWithMetadata())
		next, err := d.Merge(patch, epoch)
		if string(d.JSONWithMetadata()) != before {
			t.Fatal("the document merged into changed")
		}
		if err != nil {
			checkRefusal(t, err)
			return
		}
		if !json.Valid(patch) {
			t.Fatalf("accepted %q", patch)
		}
		checkDocument(t, next)
		applied, err := d.Merge(d.Diff(next), epoch)
		if err != nil || !applied.Equal(next) {
			t.Fatalf("%s + %s = %s, %v; want %s", d.JSON(), d.Diff(next), applied.JSON(), err, next.JSON())
		}
	})
}

func checkRefusal(t *testing.T, err error) {
	if kind := iot.KindOf(err); kind != iot.Invalid && kind != iot.TooLarge {
		t.Fatalf("%v: %v", kind, err)
	}
}

// checkDocument checks what holds for every document that the package makes:
// its JSON is JSON, it keeps the limits, and it reads back the same.
func checkDocument(t *testing.T, d Document) {
	if !json.Valid(d.JSON()) || !json.Valid(d.JSONWithMetadata()) {
		t.Fatalf("not JSON: %s", d.JSONWithMetadata())
	}
	if size := sizeModel(unmarshal(t, d.JSON())); d.Size() != size || size > MaxPropertiesSize {
		t.Fatalf("size %d, want %d", d.Size(), size)
	}
	back, err := Parse(d.Section(), d.JSONWithMetadata())
	if err != nil || string(back.JSONWithMetadata()) != string(d.JSONWithMetadata()) {
		t.Fatalf("%s came back as %s, %v", d.JSONWithMetadata(), back.JSONWithMetadata(), err)
	}
}

func FuzzStored(f *testing.F) {
	f.Add([]byte(`{"a":{"b":1},"$metadata":{"$lastUpdated":"2024-01-01T00:00:00Z","a":{"$lastUpdatedVersion":3}},"$version":3}`))
	f.Add([]byte(`{"$version":-1,"$metadata":[]}`))
	f.Fuzz(func(t *testing.T, stored []byte) {
		d, err := Parse(Reported, stored)
		if err != nil {
			return
		}
		back, err := Parse(Reported, d.JSONWithMetadata())
		if err != nil || string(back.JSONWithMetadata()) != string(d.JSONWithMetadata()) {
			t.Fatalf("%s came back as %s, %v", d.JSONWithMetadata(), back.JSONWithMetadata(), err)
		}
	})
}

func FuzzBinary(f *testing.F) {
	seed, err := New(epoch).AppendBinary(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, stored []byte) {
		var tw Twin
		if tw.UnmarshalBinary(stored) != nil {
			return
		}
		again, err := tw.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		var back Twin
		if err := back.UnmarshalBinary(again); err != nil || full(t, back) != full(t, tw) {
			t.Fatalf("%s came back as %s, %v", full(t, tw), full(t, back), err)
		}
	})
}

func FuzzScan(f *testing.F) {
	f.Add([]byte(`{"a":{"b":[1,{"c":"d\\"}]},"e":"}","$metadata":{}}`), "a", "b")
	f.Add([]byte(`{"":{"\u0000":0}}`), "", "\x00")
	f.Fuzz(func(t *testing.T, text []byte, first, second string) {
		path := []string{first, second}
		_, _, _ = scan(string(text), path) // must come to an end
		d, err := Parse(Reported, text)
		if err != nil || first == keyMetadata || first == keyVersion {
			return
		}
		want, there := d.Lookup(path)
		got, ok, err := scan(string(d.JSONWithMetadata()), path)
		if err != nil || ok != there || string(got.AppendJSON(nil)) != string(want.AppendJSON(nil)) {
			t.Fatalf("%q in %s: %s, %t, %v; want %s, %t", path, d.JSON(), got.AppendJSON(nil), ok, err, want.AppendJSON(nil), there)
		}
	})
}
