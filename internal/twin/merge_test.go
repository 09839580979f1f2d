package twin

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sluice/iot"
)

// The cases of RFC 7396, appendix A, that have an object on both sides, in keys
// that a twin allows.
func TestMergeFollowsTheStandardsExamples(t *testing.T) {
	for _, c := range []struct{ doc, patch, want string }{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`{"a":"foo"}`, `{"a":{"b":1}}`, `{"a":{"b":1}}`},
		{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
		{`{"a":1}`, `{}`, `{"a":1}`},
		{`{"a":1}`, `{"a":1.0}`, `{"a":1.0}`},
		{`{"a":1}`, `{"a":2,"a":3}`, `{"a":3}`},
		{`{"a":1}`, `{"$version":7,"$metadata":{"$lastUpdated":"x"},"b":2}`, `{"a":1,"b":2}`},
		{`{"a":1}`, "{\"b\":\"\\u0041\\ud83d\\ude00\\/\"}", `{"a":1,"b":"A😀/"}`},
	} {
		d := document(t, Reported, c.doc)
		got, err := d.Merge(json.RawMessage(c.patch), epoch)
		if err != nil || string(got.JSON()) != c.want {
			t.Errorf("%s + %s = %s, %v; want %s", c.doc, c.patch, got.JSON(), err, c.want)
		}
	}
}

func TestMergeAgreesWithTheModelAndLeavesItsDocumentAlone(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		model := any(objects(false).Draw(rt, "document"))
		d, err := NewDocument(Desired, epoch).Replace(marshal(t, model), epoch)
		must(t, d, err)
		for _, patch := range rapid.SliceOfN(objects(true), 1, 5).Draw(rt, "patches") {
			before := string(d.JSONWithMetadata())
			next, err := d.Merge(marshal(t, patch), epoch.Add(time.Hour))
			must(t, next, err)
			if string(d.JSONWithMetadata()) != before {
				rt.Fatalf("merging changed the document merged into:\n%s\n%s", before, d.JSONWithMetadata())
			}
			model = mergeModel(model, patch)
			if want := marshal(t, model); string(next.JSON()) != string(want) {
				rt.Fatalf("%s + %s\n got %s\nwant %s", d.JSON(), marshal(t, patch), next.JSON(), want)
			}
			if next.Size() != sizeModel(model) {
				rt.Fatalf("size of %s is %d, want %d", next.JSON(), next.Size(), sizeModel(model))
			}
			if next.Version() != d.Version()+1 {
				rt.Fatalf("version %d after %d", next.Version(), d.Version())
			}
			d = next
		}
	})
}

func TestReplaceIsTheBodyWithoutNulls(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		d := document(t, Tags, `{"old":{"a":1}}`)
		body := objects(true).Draw(rt, "body")
		next, err := d.Replace(marshal(t, body), epoch)
		must(t, next, err)
		if want := marshal(t, mergeModel(nil, body)); string(next.JSON()) != string(want) {
			rt.Fatalf("replace with %s\n got %s\nwant %s", marshal(t, body), next.JSON(), want)
		}
	})
}

func TestDiffMakesTheOneDocumentTheOther(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		a := document(t, Reported, string(marshal(t, objects(false).Draw(rt, "a"))))
		b := document(t, Reported, string(marshal(t, objects(false).Draw(rt, "b"))))
		patch := a.Diff(b)
		got, err := a.Merge(patch, epoch)
		must(t, got, err)
		if !got.Equal(b) || string(got.JSON()) != string(b.JSON()) {
			rt.Fatalf("%s + %s = %s, want %s", a.JSON(), patch, got.JSON(), b.JSON())
		}
		if same := string(patch) == "{}"; same != a.Equal(b) {
			rt.Fatalf("diff of %s and %s is %s", a.JSON(), b.JSON(), patch)
		}
	})
}

func TestDiffSaysOnlyWhatChanged(t *testing.T) {
	for _, c := range []struct{ from, to, want string }{
		{`{"a":1,"b":{"c":1,"d":2}}`, `{"a":1,"b":{"c":1,"d":3}}`, `{"b":{"d":3}}`},
		{`{"a":1,"b":{"c":1}}`, `{"b":{}}`, `{"a":null,"b":{"c":null}}`},
		{`{"a":[1,2]}`, `{"a":[1,3]}`, `{"a":[1,3]}`},
		{`{"a":{"b":1}}`, `{"a":5}`, `{"a":5}`},
		{`{"a":5}`, `{"a":{}}`, `{"a":{}}`},
		{`{}`, `{}`, `{}`},
	} {
		got := document(t, Desired, c.from).Diff(document(t, Desired, c.to))
		if string(got) != c.want {
			t.Errorf("diff of %s and %s is %s, want %s", c.from, c.to, got, c.want)
		}
	}
}

func TestChangeIsTheDiffWithItsVersion(t *testing.T) {
	before := document(t, Desired, `{"a":1,"b":2}`)
	after, err := before.Merge(json.RawMessage(`{"a":null,"c":{"d":1.0}}`), epoch)
	must(t, after, err)
	if got, want := string(after.Change(before)), `{"a":null,"c":{"d":1.0},"$version":3}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := string(after.Change(after)), `{"$version":3}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	followed, err := before.Follow(after.Change(before), 3, epoch)
	if must(t, followed, err); !followed.Equal(after) {
		t.Errorf("who followed has %s, not %s", followed.JSON(), after.JSON())
	}
}

func TestJoinedPatchDoesWhatTheTwoDo(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		d := document(t, Reported, string(marshal(t, objects(false).Draw(rt, "document"))))
		first, second := marshal(t, objects(true).Draw(rt, "first")), marshal(t, objects(true).Draw(rt, "second"))
		joined, ok, err := Join(first, second)
		if err != nil {
			rt.Fatal(err)
		}
		if !ok {
			return
		}
		step, err := d.Merge(first, epoch)
		must(t, step, err)
		want, err := step.Merge(second, epoch)
		must(t, want, err)
		got, err := d.Merge(joined, epoch)
		must(t, got, err)
		if !got.Equal(want) {
			rt.Fatalf("%s + %s + %s\n joined %s\n    got %s\n   want %s", d.JSON(), first, second, joined, got.JSON(), want.JSON())
		}
	})
}

func TestJoinRefusesWhatOnePatchCannotSay(t *testing.T) {
	for _, c := range []struct{ first, second, want string }{
		{`{"a":null}`, `{"a":{"x":1}}`, ""},
		{`{"a":5}`, `{"a":{"x":1}}`, ""},
		{`{"b":{"a":[]}}`, `{"b":{"a":{}}}`, ""},
		{`{"a":{"x":1}}`, `{"a":null}`, `{"a":null}`},
		{`{"a":{"x":1}}`, `{"a":{"x":null,"y":2}}`, `{"a":{"x":null,"y":2}}`},
		{`{"a":null}`, `{"b":1}`, `{"a":null,"b":1}`},
	} {
		got, ok, err := Join(json.RawMessage(c.first), json.RawMessage(c.second))
		if err != nil || ok != (c.want != "") || string(got) != c.want {
			t.Errorf("join of %s and %s = %s, %t, %v; want %q", c.first, c.second, got, ok, err, c.want)
		}
	}
}

func TestJoinNamesTheWrongPatch(t *testing.T) {
	for _, c := range [][2]string{{`[]`, `{}`}, {`{}`, `{"a.b":1}`}} {
		if _, _, err := Join(json.RawMessage(c[0]), json.RawMessage(c[1])); iot.KindOf(err) != iot.Invalid {
			t.Errorf("join of %s and %s: %v", c[0], c[1], err)
		}
	}
}

// Metadata is what a service asks for to know whether a device has taken up what
// it was told, so each property must carry the version that wrote it last, and
// every object the last of what is in it.
func TestMetadataCarriesTheVersionThatWroteEachProperty(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		d := NewDocument(Desired, epoch)
		wrote := map[string]int64{}
		for _, patch := range rapid.SliceOfN(objects(true), 1, 6).Draw(rt, "patches") {
			next, err := d.Merge(marshal(t, patch), epoch.Add(time.Duration(d.Version())*time.Second))
			d = must(t, next, err)
			noteWrites(wrote, "", patch, d.Version())
		}
		checkStamps(rt, wrote, "", d.object())
	})
}

func noteWrites(wrote map[string]int64, path string, v any, version int64) {
	wrote[path] = version
	if o, ok := v.(map[string]any); ok {
		for key, item := range o {
			noteWrites(wrote, path+"."+key, item, version)
		}
	}
}

func checkStamps(t *rapid.T, wrote map[string]int64, path string, n *node) {
	if n.stamp.version != wrote[path] {
		t.Fatalf("%q was written by version %d, not %d", path, wrote[path], n.stamp.version)
	}
	if want := epoch.Add(time.Duration(wrote[path]-1) * time.Second); !n.stamp.at.Equal(want) {
		t.Fatalf("%q was written at %s, not %s", path, n.stamp.at, want)
	}
	if n.kind == Object {
		for _, m := range n.members {
			checkStamps(t, wrote, path+"."+m.key, m.val)
		}
	}
}

func TestFollowTakesTheOtherHubsVersion(t *testing.T) {
	d, err := Received(Desired, json.RawMessage(`{"a":{"x":1},"$version":4}`), 4, epoch)
	must(t, d, err)
	next, err := d.Follow(json.RawMessage(`{"a":{"x":null,"y":2},"$version":9}`), 9, epoch)
	must(t, next, err)
	if got, want := string(next.JSONWithVersion()), `{"a":{"y":2},"$version":9}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if same, err := next.Follow(json.RawMessage(`[]`), 10, epoch); err == nil || same.Version() != 9 {
		t.Errorf("an array was followed: version %d, %v", same.Version(), err)
	}
}

// What another hub holds may be over our limits; it must not be lost for that.
func TestFollowHoldsNobodyToTheLimits(t *testing.T) {
	long := strings.Repeat("x", MaxStringLength+1)
	d, err := Received(Desired, json.RawMessage(`{"a":"`+long+`"}`), 3, epoch)
	must(t, d, err)
	next, err := d.Follow(json.RawMessage(`{"b.c":"`+long+`"}`), 4, epoch)
	if must(t, next, err).Size() != 2*len(long)+4 {
		t.Errorf("size %d", next.Size())
	}
}

func TestKeysAreSortedByTheirBytes(t *testing.T) {
	d := document(t, Tags, `{"b":1,"a":2,"Z":3,"é":4,"aa":5}`)
	var keys []string
	for _, m := range d.object().members {
		keys = append(keys, m.key)
	}
	if want := []string{"Z", "a", "aa", "b", "é"}; !slices.Equal(keys, want) {
		t.Errorf("keys %q, want %q", keys, want)
	}
}

func TestPropertiesNamedLikeMetadataAreRefused(t *testing.T) {
	for _, body := range []string{`{"$lastUpdated":1}`, `{"a":{"$lastUpdatedVersion":1}}`, `{"a":{"$metadata":{"$lastUpdated":1}}}`} {
		if _, err := Received(Desired, json.RawMessage(body), 1, epoch); iot.KindOf(err) != iot.Invalid {
			t.Errorf("received %s: %v", body, err)
		}
		if _, err := NewDocument(Desired, epoch).Follow(json.RawMessage(body), 2, epoch); iot.KindOf(err) != iot.Invalid {
			t.Errorf("followed %s: %v", body, err)
		}
		if _, err := Parse(Desired, json.RawMessage(body)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("parsed %s: %v", body, err)
		}
	}
}
