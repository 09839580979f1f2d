package twin

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var someOwner = Owner{
	DeviceID: "d1", ModuleID: "m", DeviceETag: "MQ==", Status: "enabled", StatusReason: "<new>",
	ConnectionState: "Connected", LastActivityTime: epoch.Add(150), AuthenticationType: "sas",
	Capabilities: &Capabilities{IoTEdge: true}, ParentScopes: []string{"ms-azure-iot-edge://e-1"},
	Configurations: map[string]Configuration{"10-example": {"Applied"}},
}

func drawTwin(t *rapid.T) Twin {
	tw := New(epoch)
	for i, patch := range rapid.SliceOfN(objects(true), 0, 3).Draw(t, "patches") {
		b, err := json.Marshal(map[string]any{"tags": patch, "properties": map[string]any{"desired": patch}})
		if err != nil {
			t.Fatal(err)
		}
		if tw, err = tw.Patch(b, epoch.Add(time.Duration(i)*time.Second)); err != nil {
			t.Fatal(err)
		}
		if b, err = json.Marshal(patch); err != nil {
			t.Fatal(err)
		}
		if tw, err = tw.Report(b, epoch.Add(time.Duration(i)*time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	return tw
}

func TestStoredTwinComesBackTheSame(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		tw := drawTwin(rt)
		b, err := tw.AppendBinary([]byte("before"))
		if err != nil {
			rt.Fatal(err)
		}
		var back Twin
		if err := back.UnmarshalBinary(b[len("before"):]); err != nil {
			rt.Fatal(err)
		}
		if full(t, back) != full(t, tw) || back.Tags.Version() != tw.Tags.Version() {
			rt.Fatalf("stored\n%s\n came back as\n%s", full(t, tw), full(t, back))
		}
	})
}

func TestStoredTwinThatIsCutIsAnError(t *testing.T) {
	tw, err := New(epoch).Report(json.RawMessage(typical), epoch)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := tw.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range whole {
		back := New(epoch)
		if err := back.UnmarshalBinary(whole[:cut]); !errors.Is(err, ErrCorrupt) || back.Revision != 1 || back.Reported.Version() != 1 {
			t.Fatalf("cut at %d: %v", cut, err)
		}
	}
	if err := new(Twin).UnmarshalBinary(append(whole, 0)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a byte more: %v", err)
	}
	if _, err := StoredView(someOwner, whole[:9]); !errors.Is(err, ErrCorrupt) {
		t.Errorf("view: %v", err)
	}
}

// What a view finds must be what the service shows, whether it was read whole,
// bit by bit from storage, or made of a twin in memory.
func TestViewFindsWhatTheServiceShows(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		tw := drawTwin(rt)
		shown, err := tw.Full(someOwner)
		if err != nil {
			rt.Fatal(err)
		}
		all, err := ParseValue(shown)
		if err != nil {
			rt.Fatal(err)
		}
		stored, err := tw.AppendBinary(nil)
		if err != nil {
			rt.Fatal(err)
		}
		eachPath(all, nil, func(path []string, want Value) {
			fromStored, err := StoredView(someOwner, stored)
			if err != nil {
				rt.Fatal(err)
			}
			for _, view := range []*View{NewView(someOwner, tw), fromStored} {
				got, ok := view.Lookup(path)
				if !ok || string(got.AppendJSON(nil)) != string(want.AppendJSON(nil)) || view.Err() != nil {
					rt.Fatalf("%q: got %s, %t, %v; want %s", path, got.AppendJSON(nil), ok, view.Err(), want.AppendJSON(nil))
				}
				if _, ok := view.Lookup(append(slices.Clone(path), "missing")); ok {
					rt.Fatalf("%q has something below it that is missing", path)
				}
			}
		})
	})
}

func eachPath(v Value, path []string, visit func([]string, Value)) {
	visit(path, v)
	for i, m := range v.n.members {
		key := m.key
		if v.Kind() == Array {
			key = string(rune('0' + i))
		}
		eachPath(Value{m.val}, append(slices.Clone(path), key), visit)
	}
}

func TestViewReadsOnlyWhatItIsAskedFor(t *testing.T) {
	stored, err := New(epoch).AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	broken := []byte(strings.Replace(string(stored), `"$version":1`, `"$version":x`, 2))
	view, err := StoredView(someOwner, broken)
	if err != nil {
		t.Fatal(err)
	}
	if v, ok := view.Lookup([]string{"deviceId"}); !ok || v.Text() != "d1" || view.Err() != nil {
		t.Errorf("deviceId %q, %v", v.Text(), view.Err())
	}
	if _, ok := view.Lookup([]string{"tags", "a"}); ok || view.Err() != nil {
		t.Errorf("tags: %v", view.Err())
	}
	if _, ok := view.Lookup([]string{"properties", "reported", "a"}); ok || view.Err() != nil {
		t.Errorf("a property: %v", view.Err())
	}
	if _, ok := view.Lookup([]string{"properties", "reported", "$version"}); ok && view.Err() == nil {
		t.Errorf("the version: %v", view.Err())
	}
	if _, err := view.JSON(); !errors.Is(err, ErrCorrupt) {
		t.Errorf("whole: %v", err)
	}
}

func TestViewLeavesOutWhatTheServiceDoes(t *testing.T) {
	view := NewView(Owner{DeviceID: "d"}, New(epoch))
	for _, path := range []string{"moduleId", "capabilities", "deviceScope", "tags.x", "tags.$version", "nothing", "properties.other", "properties.reported.$metadata.$lastUpdatedVersion", "deviceId.x"} {
		if v, ok := view.Lookup(strings.Split(path, ".")); ok {
			t.Errorf("%s is %s", path, v.AppendJSON(nil))
		}
	}
}

func TestOwnerWithAnImpossibleTimeIsAnError(t *testing.T) {
	owner := Owner{DeviceID: "d", StatusUpdateTime: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}
	view := NewView(owner, New(epoch))
	if _, err := view.JSON(); err == nil {
		t.Error("a year of five digits has a form in JSON")
	}
	if _, ok := view.Lookup(nil); ok {
		t.Error("the whole was found")
	}
	if _, ok := view.Lookup([]string{"modelId"}); ok {
		t.Error("a part was found")
	}
}

func TestValuesOfEachKind(t *testing.T) {
	v, err := ParseValue(json.RawMessage(` {"n":1.50,"s":"é","t":true,"z":null,"a":[1,[2]],"$x y":{}} `))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]struct {
		kind Kind
		text string
		len  int
	}{
		"n": {Number, "1.50", 0}, "s": {String, "é", 0}, "t": {Bool, "true", 0}, "z": {Null, "", 0},
		"a": {Array, "", 2}, "a.1.0": {Number, "2", 0}, "$x y": {Object, "", 0},
	} {
		got, ok := v.Lookup(strings.Split(path, "."))
		if !ok || got.Kind() != want.kind || got.Text() != want.text || got.Len() != want.len {
			t.Errorf("%s is %s %q of %d, %t", path, got.Kind(), got.Text(), got.Len(), ok)
		}
	}
	for _, path := range []string{"a.2", "a.-1", "a.x", "n.0", "z.a"} {
		if got, ok := v.Lookup(strings.Split(path, ".")); ok {
			t.Errorf("%s is %s", path, got.AppendJSON(nil))
		}
	}
	var none Value
	if none.Kind() != Null || none.Text() != "" || none.Len() != 0 || string(none.AppendJSON(nil)) != "null" {
		t.Error("the zero value is not null")
	}
}

func TestValuesThatAreMadeAreThoseThatAreRead(t *testing.T) {
	made := map[string]Value{`"x\n"`: StringValue("x\n"), `-7`: NumberValue(-7), `true`: BoolValue(true), `false`: BoolValue(false)}
	for _, text := range slices.Sorted(maps.Keys(made)) {
		read, err := ParseValue(json.RawMessage(text))
		if err != nil || !read.n.equal(made[text].n) {
			t.Errorf("%s: %v, %v", text, read, err)
		}
	}
	if _, err := ParseValue(json.RawMessage(`{"a":1} 2`)); err == nil || !strings.Contains(err.Error(), "JSON: not JSON at byte 8") {
		t.Errorf("%v", err)
	}
}

func TestScanFindsDamageWhereItLooks(t *testing.T) {
	for text, says := range map[string]string{
		`{a":1}`:           "expected a property name",
		`{"a"1}`:           "expected :",
		`{"a`:              "does not end",
		`{"a":[1,{"b":2}`:  "a value does not end",
		`{"a":"x`:          "a string does not end",
		`{"a":"x\`:         "a string does not end",
		`{"a":1,"b":tru}`:  "a value is missing",
		`{"a":1,"b":[1,}`:  "a value is missing",
		`{"a":1,"b":{"c":`: "a value is missing",
	} {
		path := []string{"b"}
		if strings.Contains(text, `"c"`) {
			path = []string{"b", "c"}
		}
		if v, ok, err := scan(text, path); ok || err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %s, %v; want %s", text, v.AppendJSON(nil), err, says)
		}
	}
	if _, ok, err := scan(`{"a":{"$metadata":1,"b":2}}`, []string{"a", "b"}); !ok || err != nil {
		t.Errorf("behind a property that is named $metadata: %t, %v", ok, err)
	}
	if _, ok, err := scan(`{"a":1,"$metadata":{"b`, []string{"b"}); ok || err != nil {
		t.Errorf("damage behind the properties: %t, %v", ok, err)
	}
}
