package translator

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"time"

	"sluice/internal/leafwire"
	"sluice/iot"
)

// Call is a direct method for a leaf, to be answered once.
type Call struct {
	Leaf    Leaf
	Name    string
	Payload json.RawMessage // nil for none
	// Timeout is how long the caller waits, beginning a moment ago. An answer
	// after that is not heard.
	Timeout time.Duration

	question
}

// Answer answers the call. The payload is JSON, or nil. Only the first answer has
// an effect. It does not wait for the gateway.
func (c *Call) Answer(status int, payload json.RawMessage) {
	c.answer(leafwire.Response{Status: status, Payload: payload})
}

// Command is a cloud-to-device message for a leaf, to be settled once. The message
// has the command's own properties; its message id is the correlation id.
type Command struct {
	Leaf    Leaf
	Message iot.Message

	question
}

// Settle ends the command: Complete, or Abandon to have it again later, or Reject
// for good. Without it the command is abandoned after a minute. Only the first
// outcome counts. Settle does not wait for the gateway.
func (c *Command) Settle(outcome iot.Outcome) {
	c.answer(leafwire.Response{Settle: outcome})
}

// question is what is to be answered.
type question struct {
	leaf     Leaf
	id       string
	answered *atomic.Bool
}

func (q *question) answer(a leafwire.Response) {
	if q.answered.Swap(true) {
		return
	}
	a.Correlation = q.id
	t := q.leaf.of
	m := q.leaf.route().Response(a)
	lost := func(err error) {
		if err != nil {
			t.opt.Log.Warn("an answer was lost", "leaf", q.leaf.id, "error", err)
		}
	}
	if size := m.Size(); size > iot.MaxMessageSize {
		lost(iot.Errorf(iot.TooLarge, "answer", iot.DeviceIdentity(q.leaf.id), "%d bytes, at most %d", size, iot.MaxMessageSize))
		return
	}
	if err := t.hand(context.Background(), m, true, lost); err != nil {
		lost(err)
	}
}

// Desired is desired properties of a leaf, or a change of them.
type Desired struct {
	// Properties is a JSON object with $version.
	Properties json.RawMessage
	// Full is whether these are all. Otherwise they are a patch, in which null
	// removes a property.
	Full bool
}

// State is how a leaf's identity is.
type State struct {
	Name   string // one of the constants
	Reason string // for people; may be empty
}

// The states of a leaf.
const (
	Registered = "registered" // it exists, and its messages reach the hub
	Refused    = "refused"    // it may not exist, for now
	Disabled   = "disabled"   // it exists, and may not send
	Deleted    = "deleted"    // it was removed
)

// inputWindow is how many inputs the gateway may send before they were handled.
const inputWindow = 64

// receive takes what comes down, one at a time.
func (c *session) receive(stop <-chan struct{}) {
	arrived := make(chan iot.Delivery, inputWindow) // no more than granted
	sub, err := c.s.Inputs(func(d iot.Delivery) { arrived <- d })
	if err != nil {
		c.end(err)
		return
	}
	defer sub.Close()
	if c.of.opt.Connected != nil {
		c.of.opt.Connected()
	}
	sub.Grant(inputWindow)
	for {
		select {
		case d := <-arrived:
			c.of.take(&d)
			c.settle(d.LockToken)
			sub.Grant(1)
		case <-stop:
			return
		}
	}
}

// settleTime is how long an input's acknowledgement may take.
const settleTime = 30 * time.Second

func (c *session) settle(token string) {
	ctx, cancel := context.WithTimeout(context.Background(), settleTime)
	defer cancel()
	if err := c.s.Settle(ctx, token, iot.Complete); err != nil {
		c.of.opt.Log.Debug("an input comes again", "error", err)
	}
}

// take gives an input to the function that is for it.
func (t *Translator) take(d *iot.Delivery) {
	if err := t.dispatch(&d.Message); err != nil {
		t.opt.Log.Warn("an input is ignored", "error", err)
	}
}

func (t *Translator) dispatch(m *iot.Message) error {
	route, err := leafwire.RouteOf(m)
	if err != nil {
		return err
	}
	leaf, err := t.Leaf(route.Leaf)
	if err != nil {
		return err
	}
	kind, err := leafwire.Type(m)
	if err != nil {
		return err
	}
	switch kind {
	case leafwire.TypeMethod:
		return t.method(leaf, m)
	case leafwire.TypeCommand:
		return t.command(leaf, m)
	case leafwire.TypeDesired:
		desired, err := leafwire.ParseDesired(m)
		if err == nil && t.opt.Desired != nil {
			t.opt.Desired(leaf, Desired{desired.Patch, desired.Full})
		}
		return err
	case leafwire.TypeState:
		name, reason, err := leafwire.ParseState(m)
		if err == nil && t.opt.State != nil {
			t.opt.State(leaf, State{string(name), reason})
		}
		return err
	}
	return fmt.Errorf("its type %.50q is not known", kind)
}

// defaultTimeout is IoT Hub's for a direct method.
const defaultTimeout = 30 * time.Second

func (t *Translator) method(leaf Leaf, m *iot.Message) error {
	ask, err := leafwire.ParseMethod(m)
	if err != nil || t.recent.saw(ask.ID) {
		return err
	}
	c := &Call{Leaf: leaf, Name: ask.Name, Payload: ask.Payload, Timeout: cmp.Or(ask.Timeout, defaultTimeout)}
	c.question = question{leaf, ask.ID, new(atomic.Bool)}
	if t.opt.Method == nil {
		c.Answer(501, json.RawMessage(`{"message":"this translator has no methods"}`))
		return nil
	}
	t.opt.Method(c)
	return nil
}

func (t *Translator) command(leaf Leaf, m *iot.Message) error {
	id := m.System.Get(iot.MessageID)
	if id == "" {
		return fmt.Errorf("leaf command: the message id is missing")
	}
	if t.recent.saw(id) {
		return nil
	}
	c := &Command{Leaf: leaf, question: question{leaf, id, new(atomic.Bool)}}
	c.Message = iot.Message{Body: m.Body, Properties: leafwire.Strip(withoutType(m.Properties))}
	for _, name := range []iot.SystemName{iot.CorrelationID, iot.UserID, iot.ContentType, iot.ContentEncoding, iot.ExpiryTime} {
		c.Message.System.Set(name, m.System.Get(name))
	}
	if t.opt.Command == nil {
		c.Settle(iot.Reject)
		return nil
	}
	t.opt.Command(c)
	return nil
}

// recent remembers the last questions, so that one that the gateway sends again is
// not asked twice. It is used by one goroutine at a time.
type recent struct {
	ids  [128]string
	next int
}

func (r *recent) saw(id string) bool {
	for _, seen := range r.ids {
		if seen == id {
			return true
		}
	}
	r.ids[r.next] = id
	r.next = (r.next + 1) % len(r.ids)
	return false
}
