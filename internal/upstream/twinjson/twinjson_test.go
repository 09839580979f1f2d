package twinjson

import (
	"encoding/json"
	"testing"

	"sluice/iot"
)

func TestATwinIsReadWithoutItsVersions(t *testing.T) {
	for text, want := range map[string]iot.Twin{
		`{"desired":{"b":{"c":1.10},"a":null,"$version":4,"$metadata":{}},"reported":{"x":[1],"$version":9007199254740993}}`: {
			Desired: json.RawMessage(`{"a":null,"b":{"c":1.10}}`), DesiredVersion: 4,
			Reported: json.RawMessage(`{"x":[1]}`), ReportedVersion: 9007199254740993},
		`{}`:                  {Desired: json.RawMessage(`{}`), Reported: json.RawMessage(`{}`)},
		`{"desired":null}`:    {Desired: json.RawMessage(`{}`), Reported: json.RawMessage(`{}`)},
		`{"properties":true}`: {Desired: json.RawMessage(`{}`), Reported: json.RawMessage(`{}`)},
	} {
		got, err := Read([]byte(text))
		if err != nil || string(got.Desired) != string(want.Desired) || string(got.Reported) != string(want.Reported) ||
			got.DesiredVersion != want.DesiredVersion || got.ReportedVersion != want.ReportedVersion {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{``, `[]`, `{"desired":[]}`, `{"desired":{"$version":"4"}}`, `{"reported":{"$version":1.5}}`, `{"desired":{}`} {
		if got, err := Read([]byte(text)); err == nil {
			t.Errorf("%s is taken for %+v", text, got)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"desired":{"a":{"b":1},"$version":4},"reported":{"$version":9}}`))
	f.Add([]byte(`{"desired":null,"reported":{}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		twin, err := Read(text)
		if err != nil {
			return
		}
		for _, section := range []json.RawMessage{twin.Desired, twin.Reported} {
			var doc map[string]json.RawMessage
			if err := json.Unmarshal(section, &doc); err != nil || doc == nil {
				t.Errorf("section %s: %v", section, err)
			}
			if _, ok := doc["$version"]; ok {
				t.Errorf("section %s has a version", section)
			}
		}
	})
}
