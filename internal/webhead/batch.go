package webhead

import (
	"encoding/base64"
	"encoding/json"
	"strings"

	"sluice/iot"
)

// readBatch reads a request that is a JSON array of messages:
//
//	[{"body": "…", "base64Encoded": true, "properties": {"iothub-app-{name}": "…"}}, …]
//
// base64Encoded is true unless it says false. Names of properties are those of
// headers, and their values are strings, numbers or booleans.
func (c *call) readBatch() ([]iot.Message, error) {
	text, err := c.readJSON(maxBatch)
	if err != nil {
		return nil, err
	}
	var items []json.RawMessage
	if err := json.Unmarshal(text, &items); err != nil {
		return nil, c.malformed("a batch is a JSON array")
	}
	batch := make([]iot.Message, len(items))
	for i, item := range items {
		if err := c.readItem(item, &batch[i]); err != nil {
			return nil, err
		}
	}
	return batch, nil
}

// readItem reads one message of a batch.
func (c *call) readItem(item json.RawMessage, m *iot.Message) error {
	var body string
	encoded, there := true, false
	err := c.fields(item, func(name string, value json.RawMessage) error {
		var err error
		switch {
		case strings.EqualFold(name, "body"):
			there = true
			err = json.Unmarshal(value, &body)
		case strings.EqualFold(name, "base64Encoded"):
			err = json.Unmarshal(value, &encoded)
		case strings.EqualFold(name, "properties"):
			return c.readBatchProperties(value, m)
		}
		if err != nil {
			return c.malformed("%s of a message is not what it must be", name)
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case !there:
		return c.malformed("a message has no body")
	case !encoded:
		m.Body = []byte(body)
	default:
		if m.Body, err = base64.StdEncoding.DecodeString(body); err != nil {
			return c.malformed("the body of a message is not base64, and base64Encoded is not false")
		}
	}
	return c.check(m)
}

func (c *call) readBatchProperties(text json.RawMessage, m *iot.Message) error {
	if string(text) == "null" {
		return nil
	}
	return c.fields(text, func(name string, value json.RawMessage) error {
		var v any
		if err := json.Unmarshal(value, &v); err != nil {
			return c.malformed("property %.100q: %v", name, err)
		}
		switch v := v.(type) {
		case string:
			return setProperty(m, name, v)
		case float64, bool:
			return setProperty(m, name, string(value)) // as it was written
		}
		return c.malformed("property %.100q is neither text nor a number", name)
	})
}
