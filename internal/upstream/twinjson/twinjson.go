// Package twinjson reads the twin that a hub sends a device.
package twinjson

import (
	"encoding/json"
	"fmt"

	"sluice/iot"
)

// Read reads {"desired":{…,"$version":n},"reported":{…,"$version":n}}. A section
// that is missing is an empty object of version 0.
func Read(text []byte) (iot.Twin, error) {
	var doc struct {
		Desired  map[string]json.RawMessage `json:"desired"`
		Reported map[string]json.RawMessage `json:"reported"`
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		return iot.Twin{}, fmt.Errorf("the hub's twin: %w", err)
	}
	var t iot.Twin
	var err error
	if t.Desired, t.DesiredVersion, err = section(doc.Desired); err != nil {
		return iot.Twin{}, fmt.Errorf("the hub's twin: desired: %w", err)
	}
	if t.Reported, t.ReportedVersion, err = section(doc.Reported); err != nil {
		return iot.Twin{}, fmt.Errorf("the hub's twin: reported: %w", err)
	}
	return t, nil
}

// section takes the version out of a document.
func section(doc map[string]json.RawMessage) (json.RawMessage, int64, error) {
	var version int64
	if v, ok := doc["$version"]; ok {
		if err := json.Unmarshal(v, &version); err != nil {
			return nil, 0, fmt.Errorf("$version: %w", err)
		}
	}
	delete(doc, "$version")
	delete(doc, "$metadata")
	if len(doc) == 0 {
		return json.RawMessage("{}"), version, nil
	}
	text, err := json.Marshal(doc)
	return text, version, err
}
