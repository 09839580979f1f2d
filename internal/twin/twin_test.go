package twin

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"sluice/iot"
)

func TestNewTwinIsTheServices(t *testing.T) {
	got, err := New(epoch).Full(Owner{DeviceID: "d1", DeviceETag: "MTIz", Status: "enabled", ConnectionState: "Disconnected", AuthenticationType: "sas", Capabilities: &Capabilities{}})
	if err != nil {
		t.Fatal(err)
	}
	want := `{
		"deviceId": "d1", "deviceEtag": "MTIz", "status": "enabled",
		"statusUpdateTime": "0001-01-01T00:00:00Z", "connectionState": "Disconnected",
		"lastActivityTime": "0001-01-01T00:00:00Z", "cloudToDeviceMessageCount": 0,
		"authenticationType": "sas", "x509Thumbprint": {"primaryThumbprint": null, "secondaryThumbprint": null},
		"modelId": "", "capabilities": {"iotEdge": false},
		"etag": "AAAAAAAAAAE=", "version": 2, "tags": {},
		"properties": {
			"desired": {"$metadata": {"$lastUpdated": "2024-02-29T23:59:59.1234567Z"}, "$version": 1},
			"reported": {"$metadata": {"$lastUpdated": "2024-02-29T23:59:59.1234567Z"}, "$version": 1}
		}
	}`
	if diff := cmp.Diff(unmarshal(t, []byte(want)), unmarshal(t, got)); diff != "" {
		t.Error(diff)
	}
}

func TestTwinMetadataOfTheService(t *testing.T) {
	tw, err := New(epoch).Patch(json.RawMessage(`{"deviceId":"d1","tags":{"site":{"floor":2}},"properties":{"desired":{"a":{"b":1},"l":[{"x":1}]},"reported":{"no":1}}}`), epoch.Add(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if tw, err = tw.Report(json.RawMessage(`{"a":{"b":1}}`), epoch.Add(2*time.Second)); err != nil {
		t.Fatal(err)
	}
	full, err := tw.Full(Owner{DeviceID: "d1"})
	if err != nil {
		t.Fatal(err)
	}
	const one, two = "2024-03-01T00:00:00.1234567Z", "2024-03-01T00:00:01.1234567Z"
	want := `{
		"desired": {"a": {"b": 1}, "l": [{"x": 1}], "$version": 2, "$metadata": {
			"$lastUpdated": "` + one + `", "$lastUpdatedVersion": 2,
			"a": {"$lastUpdated": "` + one + `", "$lastUpdatedVersion": 2, "b": {"$lastUpdated": "` + one + `", "$lastUpdatedVersion": 2}},
			"l": {"$lastUpdated": "` + one + `", "$lastUpdatedVersion": 2}}},
		"reported": {"a": {"b": 1}, "$version": 2, "$metadata": {
			"$lastUpdated": "` + two + `",
			"a": {"$lastUpdated": "` + two + `", "b": {"$lastUpdated": "` + two + `"}}}}
	}`
	got := unmarshal(t, full)
	if diff := cmp.Diff(unmarshal(t, []byte(want)), got["properties"]); diff != "" {
		t.Error(diff)
	}
	if string(tw.Tags.JSONWithMetadata()) != `{"site":{"floor":2}}` {
		t.Errorf("tags %s", tw.Tags.JSONWithMetadata())
	}
}

func TestETagIsTheServicesAlone(t *testing.T) {
	tw := New(epoch)
	reported, err := tw.Report(json.RawMessage(`{"a":1}`), epoch)
	if err != nil || reported.ETag() != tw.ETag() || reported.Version() != tw.Version()+1 {
		t.Errorf("after a report: %s %d, %v", reported.ETag(), reported.Version(), err)
	}
	patched, err := tw.Patch(json.RawMessage(`{"tags":{"a":1}}`), epoch)
	if err != nil || patched.ETag() != "AAAAAAAAAAI=" || patched.Version() != tw.Version()+1 {
		t.Errorf("after a patch: %s %d, %v", patched.ETag(), patched.Version(), err)
	}
	if patched.Desired.Version() != tw.Desired.Version() {
		t.Error("a patch of tags made a version of desired properties")
	}
}

func TestServicePatchIsWholeOrNothing(t *testing.T) {
	tw := New(epoch)
	for _, c := range []struct {
		body string
		kind iot.Kind
	}{
		{`{"tags":{"a":1},"properties":{"desired":{"b.c":1}}}`, iot.Invalid},
		{`{"tags":[]}`, iot.Invalid},
		{`{"tags":{"a":1},"properties":[]}`, iot.Invalid},
		{`[]`, iot.Invalid},
		{`{"tags":` + fill(MaxTagsSize+1) + `}`, iot.TooLarge},
	} {
		for name, apply := range map[string]func(json.RawMessage, time.Time) (Twin, error){"patch": tw.Patch, "replace": tw.Replace} {
			got, err := apply(json.RawMessage(c.body), epoch)
			if err == nil || iot.KindOf(err) != c.kind || got.Version() != tw.Version() || got.Tags.Size() != 0 {
				t.Errorf("%s with %.60s: version %d, %v", name, c.body, got.Version(), err)
			}
		}
	}
}

func TestReplaceLeavesWhatTheBodyDoesNotName(t *testing.T) {
	tw, err := New(epoch).Patch(json.RawMessage(`{"tags":{"a":1},"properties":{"desired":{"b":1}}}`), epoch)
	if err != nil {
		t.Fatal(err)
	}
	tw, err = tw.Replace(json.RawMessage(`{"tags":null,"properties":{"desired":{"c":2,"$version":1,"$metadata":{}}}}`), epoch)
	if err != nil || string(tw.Tags.JSON()) != `{"a":1}` || string(tw.Desired.JSON()) != `{"c":2}` {
		t.Errorf("tags %s, desired %s, %v", tw.Tags.JSON(), tw.Desired.JSON(), err)
	}
}

func TestPatchOfNullEmptiesWhatItNames(t *testing.T) {
	full, err := New(epoch).Patch(json.RawMessage(`{"tags":{"a":1},"properties":{"desired":{"b":{"c":1}}}}`), epoch)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ patch, tags, desired, told string }{
		{`{"properties":{"desired":null}}`, `{"a":1}`, `{}`, `{"b":null,"$version":3}`},
		{`{"tags":null}`, `{}`, `{"b":{"c":1}}`, ""},
		{`{"tags": null ,"properties":null}`, `{}`, `{"b":{"c":1}}`, ""},
		{`{"tags":{},"properties":{}}`, `{"a":1}`, `{"b":{"c":1}}`, ""},
	} {
		tw, err := full.Patch(json.RawMessage(c.patch), epoch)
		if err != nil || string(tw.Tags.JSON()) != c.tags || string(tw.Desired.JSON()) != c.desired {
			t.Errorf("%s: tags %s, desired %s, %v", c.patch, tw.Tags.JSON(), tw.Desired.JSON(), err)
		}
		if told := string(tw.Desired.Change(full.Desired)); c.told != "" && told != c.told {
			t.Errorf("%s: the device is told %s, want %s", c.patch, told, c.told)
		}
	}
}

func TestDeviceSeesBareProperties(t *testing.T) {
	tw, err := New(epoch).Patch(json.RawMessage(`{"tags":{"secret":1},"properties":{"desired":{"a":1.0}}}`), epoch)
	if err != nil {
		t.Fatal(err)
	}
	want := iot.Twin{Desired: json.RawMessage(`{"a":1.0}`), DesiredVersion: 2, Reported: json.RawMessage(`{}`), ReportedVersion: 1}
	if diff := cmp.Diff(want, tw.ForDevice()); diff != "" {
		t.Error(diff)
	}
}

func TestStoredTwinComesBackWhole(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		tw := New(epoch)
		for _, patch := range rapid.SliceOfN(objects(true), 0, 4).Draw(rt, "patches") {
			var err error
			if tw, err = tw.Report(marshal(t, patch), epoch.Add(time.Second)); err != nil {
				rt.Fatal(err)
			}
			body := map[string]any{"tags": patch, "properties": map[string]any{"desired": patch}}
			if tw, err = tw.Patch(marshal(t, body), epoch.Add(time.Minute)); err != nil {
				rt.Fatal(err)
			}
		}
		b, err := json.Marshal(tw)
		if err != nil {
			rt.Fatal(err)
		}
		var back Twin
		if err := json.Unmarshal(b, &back); err != nil {
			rt.Fatal(err)
		}
		if want, got := full(t, tw), full(t, back); got != want {
			rt.Fatalf("stored\n%s\n came back as\n%s", want, got)
		}
		if back.Tags.Version() != tw.Tags.Version() || back.Desired.Size() != tw.Desired.Size() {
			rt.Fatalf("stored %+v came back as %+v", tw, back)
		}
	})
}

func full(t testing.TB, tw Twin) string {
	t.Helper()
	b, err := tw.Full(Owner{DeviceID: "d"})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestCorruptTwinIsAnErrorAndChangesNothing(t *testing.T) {
	for _, stored := range []string{
		`[]`,
		`{}`,
		`{"tags":{},"desired":{},"reported":[]}`,
		`{"tags":{},"desired":{"$version":1.5},"reported":{}}`,
		`{"tags":{},"desired":{"$version":"1"},"reported":{}}`,
		`{"tags":{},"desired":{"a":1,"$metadata":{"a":{"$lastUpdated":"yesterday"}}},"reported":{}}`,
		`{"tags":{},"desired":{"$metadata":{"$lastUpdatedVersion":"x"}},"reported":{}}`,
	} {
		tw := New(epoch)
		err := json.Unmarshal([]byte(stored), &tw)
		if !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", stored, err)
		}
		if tw.Revision != 1 || tw.Desired.Version() != 1 {
			t.Errorf("%s changed the twin", stored)
		}
	}
}

func TestZeroDocumentIsEmpty(t *testing.T) {
	var d Document
	if string(d.JSON()) != "{}" || d.Version() != 0 || d.Size() != 0 || !d.Updated().IsZero() || d.Section() != Desired {
		t.Errorf("%s %d %d", d.JSON(), d.Version(), d.Size())
	}
	next, err := d.Merge(json.RawMessage(`{"a":1}`), epoch)
	if must(t, next, err).Version() != 1 || !next.Updated().Equal(epoch) || !d.Equal(NewDocument(Desired, epoch)) {
		t.Errorf("%s %d", next.JSON(), next.Version())
	}
}
