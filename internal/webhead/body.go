package webhead

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"unicode/utf8"

	"sluice/internal/hub/code"
	"sluice/iot"
)

// read returns the body, of at most limit bytes. What is longer is not read, and the
// connection is closed. A buffer grows with what has come: a length that is only
// announced costs nothing.
func (c *call) read(limit int64) ([]byte, error) {
	if e := strings.TrimSpace(c.r.Header.Get("Content-Encoding")); e != "" && !strings.EqualFold(e, "identity") {
		err := code.Errorf(code.ArgumentInvalid, "request", c.id, "bodies are not decompressed: Content-Encoding must not be there. The encoding of the message belongs into iothub-contentencoding")
		err.Err = &statusError{code.ArgumentInvalid, http.StatusUnsupportedMediaType}
		return nil, err
	}
	tooLarge := func() error {
		c.w.Header().Set("Connection", "close")
		return code.Errorf(code.MessageTooLarge, "request", c.id, "the body is larger than %d bytes", limit)
	}
	if c.r.ContentLength > limit {
		return nil, tooLarge()
	}
	body, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, limit))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, tooLarge()
	case err != nil:
		c.w.Header().Set("Connection", "close")
		return nil, code.Errorf(code.FormatError, "request", c.id, "the body is broken, ended early, or came too slowly")
	}
	return body, nil
}

func (c *call) malformed(format string, args ...any) error {
	return code.Errorf(code.FormatError, "request", c.id, format, args...)
}

// fields calls field for each member of the JSON object text. A name that is there
// twice is an error: two readers could take different ones.
func (c *call) fields(text []byte, field func(name string, value json.RawMessage) error) error {
	d := json.NewDecoder(bytes.NewReader(text))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return c.malformed("a JSON object belongs here")
	}
	seen := make(map[string]bool)
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return c.malformed("the body is no JSON: %v", err)
		}
		name, _ := t.(string) // names are nothing else
		if seen[name] {
			return c.malformed("%.100q is there twice", name)
		}
		seen[name] = true
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return c.malformed("the body is no JSON: %v", err)
		}
		if err := field(name, value); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil {
		return c.malformed("the body is no JSON: %v", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return c.malformed("there is more than one JSON value")
	}
	return nil
}

// readJSON is read for a body of JSON, which must be UTF-8.
func (c *call) readJSON(limit int64) ([]byte, error) {
	body, err := c.read(limit)
	switch {
	case err != nil:
		return nil, err
	case len(bytes.TrimSpace(body)) == 0:
		return nil, code.Errorf(code.ArgumentNull, "request", iot.Identity{}, "the body is empty")
	case !utf8.Valid(body):
		return nil, c.malformed("the body is not UTF-8")
	case !json.Valid(body):
		return nil, c.malformed("the body is not JSON, or nested too deeply")
	}
	return body, nil
}
