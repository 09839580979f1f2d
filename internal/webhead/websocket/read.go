package websocket

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"sync"
	"time"
)

// A reader is where a Conn stands in what its client sends.
type reader struct {
	mu     sync.Mutex
	frame  header // whose payload is being read
	left   uint64 // of its payload
	within bool   // more frames of the message follow
	head   [maxHeader + maxControl]byte
	have   int   // bytes of head that have come
	err    error // sticky

	since  time.Time // when counting began
	barren int       // frames without data since then
}

const (
	// A client may send so many frames that carry no data, such as pings, in so
	// long a time.
	maxBarren   = 200
	barrenCount = 10 * time.Second
)

// Read reads what the next frames with data carry. It returns io.EOF when the client
// has closed the WebSocket, and a *ProtocolError when it broke the rules.
func (c *Conn) Read(p []byte) (int, error) {
	r := &c.reading
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(p) == 0 {
		return 0, nil
	}
	for r.left == 0 {
		if r.err != nil {
			return 0, r.err
		}
		if err := r.next(c); err != nil {
			return 0, r.fail(c, err)
		}
	}
	n, err := c.in.Read(p[:min(uint64(len(p)), r.left)])
	unmask(p[:n], r.frame.mask, r.frame.length-r.left)
	r.left -= uint64(n)
	if n > 0 || err == nil {
		return n, nil
	}
	return 0, r.fail(c, err)
}

// fail makes an error stick, but for a deadline's, and tells the client of its own.
func (r *reader) fail(c *Conn, err error) error {
	var wrong *ProtocolError
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return err
	case errors.As(err, &wrong):
		c.control(opClose, binary.BigEndian.AppendUint16(nil, uint16(wrong.Status)))
	case errors.Is(err, io.EOF):
		err = io.EOF
	}
	r.err = err
	return err
}

// next reads the header of the next frame, and the whole of a control frame, which
// it serves.
func (r *reader) next(c *Conn) error {
	if err := r.fill(c, minHeader); err != nil {
		return err
	}
	size := headerSize(r.head[:])
	if err := r.fill(c, size); err != nil {
		return err
	}
	frame, wrong := parseHeader(r.head[:size], r.within)
	if wrong != nil {
		return wrong
	}
	if frame.control() {
		if err := r.fill(c, size+int(frame.length)); err != nil {
			return err
		}
		payload := r.head[size:r.have]
		unmask(payload, frame.mask, 0)
		r.have = 0
		return r.serve(c, frame.opcode, payload)
	}
	r.have = 0
	r.frame, r.left, r.within = frame, frame.length, !frame.final
	if frame.length == 0 {
		return r.countBarren()
	}
	return nil
}

// fill reads until there are n bytes of the frame.
func (r *reader) fill(c *Conn, n int) error {
	for r.have < n {
		m, err := c.in.Read(r.head[r.have:n])
		r.have += m
		if m == 0 && err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) serve(c *Conn, opcode byte, payload []byte) error {
	switch opcode {
	case opPing:
		c.owePong(payload)
	case opClose:
		return r.closed(c, payload)
	}
	return r.countBarren()
}

// countBarren counts a frame without data. So many of them that they are work for us
// and none for the client end the connection.
func (r *reader) countBarren() error {
	if now := time.Now(); now.Sub(r.since) > barrenCount {
		r.since, r.barren = now, 0
	}
	if r.barren++; r.barren > maxBarren {
		return &ProtocolError{StatusPolicy, "a flood of frames without data"}
	}
	return nil
}

// closed answers the client's close, RFC 6455 section 5.5.1.
func (r *reader) closed(c *Conn, payload []byte) error {
	status := statusNone
	switch {
	case len(payload) == 1:
		return violation("a close with half a status")
	case len(payload) > 1:
		status = int(binary.BigEndian.Uint16(payload))
	}
	if status < StatusNormal || status > 4999 {
		return violation("a close with status %d", status)
	}
	answer := []byte(nil)
	if status != statusNone {
		answer = binary.BigEndian.AppendUint16(nil, uint16(status))
	}
	c.control(opClose, answer)
	return io.EOF
}

// farewell reads until the client has answered our close, or has sent so much else
// that it does not mean to.
func (r *reader) farewell(c *Conn) {
	if !r.mu.TryLock() {
		return // somebody reads, and will find the connection closed
	}
	r.mu.Unlock()
	_, _ = io.CopyN(io.Discard, c, 64<<10) // what it says no longer matters
}
