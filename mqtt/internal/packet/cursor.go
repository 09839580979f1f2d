package packet

import (
	"bytes"
	"encoding/binary"
	"unicode/utf8"
)

// A cursor reads a body. Its first error sticks, and everything read after it is
// zero, so that a decoder checks once, at its end.
type cursor struct {
	b   []byte
	err error
}

// take returns the next n bytes, which alias the body.
func (c *cursor) take(n int) []byte {
	if c.err == nil && n > len(c.b) {
		c.err = Errorf("", "packet ends %d bytes early", n-len(c.b))
	}
	if c.err != nil {
		return nil
	}
	v := c.b[:n:n]
	c.b = c.b[n:]
	return v
}

func (c *cursor) byte() byte {
	if v := c.take(1); v != nil {
		return v[0]
	}
	return 0
}

func (c *cursor) uint16() uint16 {
	if v := c.take(2); v != nil {
		return binary.BigEndian.Uint16(v)
	}
	return 0
}

// id returns a packet identifier, which must not be zero.
func (c *cursor) id() uint16 {
	id := c.uint16()
	if c.err == nil && id == 0 {
		c.err = Errorf("MQTT-2.3.1-1", "packet identifier 0")
	}
	return id
}

// bytes returns what follows a length of two bytes.
func (c *cursor) bytes() []byte { return c.take(int(c.uint16())) }

// text returns a string's bytes, checked by section 1.5.3.
func (c *cursor) text() []byte {
	v := c.bytes()
	switch {
	case c.err != nil:
		return nil
	case !utf8.Valid(v): // surrogates and overlong forms are not valid either
		c.err = Errorf("MQTT-1.5.3-1", "string is not UTF-8")
	case bytes.IndexByte(v, 0) >= 0:
		c.err = Errorf("MQTT-1.5.3-2", "string contains U+0000")
	default:
		return v
	}
	return nil
}

func (c *cursor) string() string { return string(c.text()) }

// end returns the first error, or one if anything is left.
func (c *cursor) end() error {
	if c.err == nil && len(c.b) > 0 {
		c.err = Errorf("", "%d bytes after the end of the packet", len(c.b))
	}
	return c.err
}

func appendString[T string | []byte](b []byte, s T) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(s)))
	return append(b, s...)
}
