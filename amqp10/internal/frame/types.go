package frame

import (
	"fmt"

	"sluice/amqp10/internal/wire"
)

// Condition is the machine-readable part of an error [AMQP 2.8.15 to 2.8.18].
type Condition = wire.Symbol

// Error is why a connection, session or link ended, or a message was rejected
// [AMQP 2.8.14].
type Error struct {
	Condition   Condition
	Description string // for people; may be empty
	Info        wire.Fields
	// Remote says that the peer sent the error. It is not on the wire.
	Remote bool
	// Cause is the local error behind it, if any. It is not on the wire.
	Cause error
}

// Error is "condition: description", and says if the peer is the origin.
func (e *Error) Error() string {
	s := string(e.Condition)
	if e.Description != "" {
		s += ": " + e.Description
	}
	if e.Remote {
		s += " (sent by the peer)"
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Is makes errors.Is compare conditions: a target with a condition and nothing
// else matches every error of that condition.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Condition == e.Condition && t.Description == "" && t.Info == nil
}

// Errorf returns an error of ours.
func Errorf(c Condition, format string, args ...any) *Error {
	return &Error{Condition: c, Description: fmt.Sprintf(format, args...)}
}

func (e *Error) encode(w *wire.Encoder) {
	c := w.Composite(CodeError)
	c.Symbol(e.Condition)
	c.Text(e.Description != "", e.Description)
	c.Fields(e.Info)
	c.Whole()
}

// field is a field that holds an error, absent when nil.
func (e *Error) field(c *wire.CompositeWriter, w *wire.Encoder) {
	if c.Field(e != nil) {
		e.encode(w)
		c.Done()
	}
}

// decodeError reads a field that holds an error, if it is there.
func decodeError(d *wire.Decoder, c *wire.Composite) *Error {
	if !c.Next() {
		return nil
	}
	if Descriptor(d) != CodeError {
		d.Fail(wire.ErrType)
		return nil
	}
	e := &Error{Remote: true}
	l := d.Composite()
	if l.Must() {
		e.Condition = d.Symbol()
	}
	if l.Next() {
		e.Description = d.Text()
	}
	if l.Next() {
		e.Info = wire.DecodePairs[wire.Symbol](d, nil)
	}
	l.End()
	return e
}

// OutcomeKind says which outcome an [Outcome] is.
type OutcomeKind uint8

// The outcomes [AMQP 3.4]. None is the settlement of a delivery without one.
const (
	None OutcomeKind = iota
	KindAccepted
	KindRejected
	KindReleased
	KindModified
	KindReceived
	KindOther // e.g. transactional-state
)

var outcomeNames = [...]string{"none", "accepted", "rejected", "released", "modified", "received", "other"}

// String is the name of the outcome in the specification.
func (k OutcomeKind) String() string { return outcomeNames[k] }

// Outcome is the state of a delivery at its receiver. The zero value is none.
type Outcome struct {
	Kind OutcomeKind
	// Error says why a delivery was rejected; it may be nil.
	Error *Error
	// DeliveryFailed, UndeliverableHere and Annotations belong to modified:
	// count the attempt, do not send it here again, merge these.
	DeliveryFailed    bool
	UndeliverableHere bool
	Annotations       wire.Fields
	// Section and Offset belong to received, which is no terminal state.
	Section uint32
	Offset  uint64
}

// Terminal reports whether the delivery will change its state no more.
func (o Outcome) Terminal() bool { return o.Kind >= KindAccepted && o.Kind <= KindModified }

// Same reports whether two outcomes may share one disposition.
func (o Outcome) Same(p Outcome) bool {
	return o.Kind == p.Kind && o.Error == p.Error && o.DeliveryFailed == p.DeliveryFailed &&
		o.UndeliverableHere == p.UndeliverableHere && o.Annotations == nil && p.Annotations == nil &&
		o.Section == p.Section && o.Offset == p.Offset
}

func (o Outcome) encode(w *wire.Encoder) {
	code := [...]uint64{0, CodeAccepted, CodeRejected, CodeReleased, CodeModified, CodeReceived, 0}[o.Kind]
	c := w.Composite(code)
	switch o.Kind {
	case KindRejected:
		o.Error.field(&c, w)
	case KindModified:
		c.Bool(o.DeliveryFailed, true)
		c.Bool(o.UndeliverableHere, true)
		c.Fields(o.Annotations)
	case KindReceived:
		c.Uint(true, o.Section)
		c.Ulong(true, o.Offset)
	}
	c.End()
}

// field is a field that holds an outcome, absent when it is none.
func (o Outcome) field(c *wire.CompositeWriter, w *wire.Encoder) {
	if c.Field(o.Kind != None && o.Kind != KindOther) {
		o.encode(w)
		c.Done()
	}
}

// decodeOutcome reads a field that holds a delivery state, if it is there.
func decodeOutcome(d *wire.Decoder, c *wire.Composite) Outcome {
	if !c.Next() {
		return Outcome{}
	}
	switch Descriptor(d) {
	case CodeAccepted:
		d.Skip()
		return Outcome{Kind: KindAccepted}
	case CodeReleased:
		d.Skip()
		return Outcome{Kind: KindReleased}
	case CodeRejected:
		l := d.Composite()
		o := Outcome{Kind: KindRejected, Error: decodeError(d, &l)}
		l.End()
		return o
	case CodeModified:
		return decodeModified(d)
	case CodeReceived:
		return decodeReceived(d)
	}
	d.Skip()
	return Outcome{Kind: KindOther}
}

func decodeModified(d *wire.Decoder) Outcome {
	o := Outcome{Kind: KindModified}
	l := d.Composite()
	if l.Next() {
		o.DeliveryFailed = d.Bool()
	}
	if l.Next() {
		o.UndeliverableHere = d.Bool()
	}
	if l.Next() {
		o.Annotations = wire.DecodePairs[wire.Symbol](d, nil)
	}
	l.End()
	return o
}

func decodeReceived(d *wire.Decoder) Outcome {
	o := Outcome{Kind: KindReceived}
	l := d.Composite()
	if l.Must() {
		o.Section = d.Uint()
	}
	if l.Must() {
		o.Offset = d.Ulong()
	}
	l.End()
	return o
}
