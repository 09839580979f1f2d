package rest

import (
	"encoding/json"
	"testing"
	"time"

	"sluice/internal/twin"
	"sluice/iot"
)

// What a patch of a digital twin makes is a patch of desired properties, which the twin
// takes or refuses, and what is shown of any twin is JSON.
func FuzzDigitalTwinPatch(f *testing.F) {
	f.Add("add", "/target", `21.5`, `{"target":{"value":1,"ac":200,"av":1}}`)
	f.Add("replace", "/thermostat1/unit", `"bar"`, `{"thermostat1":{"__t":"c","unit":{"value":null}}}`)
	f.Add("add", "/thermostat1", `{"$metadata":{},"limit":{"a":[1]}}`, `{"__t":"c","$metadata":7}`)
	f.Add("remove", "/a~1b/~0", ``, `{"a/b":1}`)
	f.Fuzz(func(t *testing.T, op, path, value, reported string) {
		now := time.Unix(0, 0)
		tw := twin.New(now)
		if next, err := tw.Report([]byte(reported), now); err == nil {
			tw = next
		}
		known := digitalTwin(&tw)
		if _, err := json.Marshal(known); err != nil {
			t.Fatalf("%s is shown as what is no JSON: %v", reported, err)
		}
		if !json.Valid([]byte(value)) {
			value = "null"
		}
		p := jsonPatch{Op: op, Path: path, Value: json.RawMessage(value)}
		patch, err := p.desired(iot.DeviceIdentity("d"), known)
		if err != nil {
			return
		}
		var made map[string]json.RawMessage
		if err := json.Unmarshal(patch, &made); err != nil || len(made) != 1 {
			t.Fatalf("%+v is %s: %v", p, patch, err)
		}
		next, err := tw.Patch([]byte(`{"properties":{"desired":`+string(patch)+`}}`), now)
		if err != nil {
			return // too deep, or a key that no twin has
		}
		if _, err := json.Marshal(digitalTwin(&next)); err != nil {
			t.Error(err)
		}
	})
}
