package query

import (
	"encoding/json"
	"fmt"

	"sluice/internal/twin"
)

// JSONRow is a row that is any JSON: a job, or a twin from elsewhere.
type JSONRow struct {
	text  json.RawMessage
	value twin.Value
}

// ParseRow reads a row, and keeps text.
func ParseRow(text json.RawMessage) (JSONRow, error) {
	v, err := twin.ParseValue(text)
	if err != nil {
		return JSONRow{}, fmt.Errorf("query: a row: %w", err)
	}
	return JSONRow{text, v}, nil
}

// Lookup finds the value at path.
func (r JSONRow) Lookup(path []string) (twin.Value, bool) { return r.value.Lookup(path) }

// JSON is the row as it was given. It must not be changed.
func (r JSONRow) JSON() (json.RawMessage, error) { return r.text, nil }
