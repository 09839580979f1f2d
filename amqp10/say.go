package amqp10

import (
	"fmt"
	"strings"

	"sluice/amqp10/internal/frame"
)

// kept checks the frame that has been appended from start on, and takes it back
// if a value in it is none that AMQP has, or if the peer does not take frames
// of its length. What the application puts into a frame, such as properties
// and errors, must not break the connection. [mu held]
func (c *Conn) kept(start int) error {
	err := c.out.Err()
	if n := len(c.out.B) - start; err == nil && n > int(c.maxOut) {
		err = Errorf(ErrFrameSizeTooSmall, "frame of %d bytes, the peer takes %d", n, c.maxOut)
	}
	if err != nil {
		c.out.Undo(start)
		return fmt.Errorf("amqp10: %w", err)
	}
	return nil
}

// say appends a frame with an error, shortened if need be.
func (c *Conn) say(err *Error, f func(err *Error)) {
	start := len(c.w().B)
	f(err)
	if c.kept(start) != nil {
		f(clipped(err))
	}
}

// clipped is the part of an error that fits into every frame.
func clipped(err *Error) *Error {
	const most = 200
	if err == nil {
		return nil
	}
	e := &Error{Condition: err.Condition, Description: strings.ToValidUTF8(err.Description[:min(most, len(err.Description))], "")}
	for _, c := range e.Condition {
		if c >= 0x80 || len(e.Condition) > most {
			e.Condition = ErrInternal
		}
	}
	return e
}

// sayDisposition appends a disposition, with a shorter error and without
// annotations if need be.
func (s *Session) sayDisposition(p *frame.Disposition) {
	start := len(s.c.w().B)
	p.Append(s.c.w(), s.channel)
	if s.c.kept(start) != nil {
		p.State.Error, p.State.Annotations = clipped(p.State.Error), nil
		p.Append(s.c.w(), s.channel)
	}
}
