package translator

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"sluice/internal/leafwire"
	"sluice/iot"
)

// Leaf is one device of the field. It is a name and no more: it costs nothing, may
// be made as often as is convenient, compared, and used from any goroutine.
type Leaf struct {
	id string
	of *Translator
}

// Leaf is the leaf with the given id, which will be its device id at the hub. The
// error is an [iot.Error] of kind Invalid if the id cannot be a leaf's: it is 1 to
// 128 ASCII letters, digits and the marks - . _ * ! ( ) , : = @ $ ' and has none
// that means something in a topic or a URL, does not begin with $, and is not the
// edge device's own.
func (t *Translator) Leaf(id string) (Leaf, error) {
	if err := leafwire.ValidateLeaf(id, t.opt.DeviceID); err != nil {
		return Leaf{}, &iot.Error{Kind: iot.Invalid, Op: "leaf", Detail: fmt.Sprintf("the id %.150q", id), Err: err}
	}
	return Leaf{id, t}, nil
}

// ID is the device id of the leaf.
func (l Leaf) ID() string { return l.id }

func (l Leaf) String() string { return l.id }

// Send sends telemetry of the leaf and returns when the gateway has it. The message
// is the leaf's own: its system properties, such as content type and message id,
// and its application properties reach the hub. Properties named leafDeviceId,
// moduleId and itmtype are left out.
//
// The error is ctx's, [ErrClosed] when the translator ends, or an [iot.Error] that
// says why the gateway will never take this message. In the first two cases the
// message may yet arrive.
func (l Leaf) Send(ctx context.Context, m iot.Message) error {
	return l.wait(ctx, func(done func(error)) error { return l.Post(ctx, m, done) })
}

// Post is Send without waiting for the gateway: done is called once, from any
// goroutine, with what Send would return, and must not block. Post waits while the
// window is full; if it returns an error, which is ctx's, ErrClosed, or Invalid or
// TooLarge for the message, done is not called.
func (l Leaf) Post(ctx context.Context, m iot.Message, done func(error)) error {
	m.Properties = withoutType(m.Properties)
	return l.of.post(ctx, l.route().Telemetry(m), done)
}

// withoutType removes what would make telemetry another kind of message: a device
// of the field cannot say by a property that it is to be deleted.
func withoutType(p iot.Properties) (kept iot.Properties) {
	for _, v := range p {
		if !strings.EqualFold(v.Key, leafwire.TypeProperty) {
			kept = append(kept, v)
		}
	}
	return kept
}

// Report merges a JSON object into the leaf's reported properties and returns when
// the gateway has it, with errors as of Send.
func (l Leaf) Report(ctx context.Context, patch json.RawMessage) error {
	return l.wait(ctx, func(done func(error)) error { return l.PostReport(ctx, patch, done) })
}

// PostReport is to Report what Post is to Send.
func (l Leaf) PostReport(ctx context.Context, patch json.RawMessage, done func(error)) error {
	if _, err := leafwire.ParseReported(patch); err != nil {
		return &iot.Error{Kind: iot.Invalid, Op: "report", Identity: iot.DeviceIdentity(l.id), Err: err}
	}
	return l.of.post(ctx, l.route().Reported(patch), done)
}

// Capabilities are what a leaf can take.
type Capabilities struct {
	Methods, Desired, Commands bool
}

// Hello says what the leaf can take, and returns when the gateway knows, with errors
// as of Send. What it cannot take is not sent to it: methods are then answered by
// the gateway, and commands wait. It may be said at any time, and again. To a leaf
// that takes desired properties all of them are sent after each Hello.
func (l Leaf) Hello(ctx context.Context, can Capabilities) error {
	return l.wait(ctx, func(done func(error)) error { return l.PostHello(ctx, can, done) })
}

// PostHello is to Hello what Post is to Send.
func (l Leaf) PostHello(ctx context.Context, can Capabilities, done func(error)) error {
	return l.of.post(ctx, l.route().Hello(leafwire.Hello{Methods: can.Methods, Desired: can.Desired, Commands: can.Commands}), done)
}

// Disable asks that the leaf's identity be disabled, and Delete that it be removed.
// They return when the gateway has the wish, with errors as of Send; that it was
// fulfilled is told by State.
func (l Leaf) Disable(ctx context.Context) error { return l.gone(ctx, leafwire.Disable) }

// Delete is explained at Disable.
func (l Leaf) Delete(ctx context.Context) error { return l.gone(ctx, leafwire.Delete) }

func (l Leaf) gone(ctx context.Context, operation leafwire.Operation) error {
	return l.wait(ctx, func(done func(error)) error {
		return l.of.post(ctx, l.route().Gone(operation), done)
	})
}

func (l Leaf) route() leafwire.Route { return leafwire.Route{Leaf: l.id, Module: l.of.opt.ModuleID} }

// wait calls post and waits for its done function to be called.
func (l Leaf) wait(ctx context.Context, post func(func(error)) error) error {
	safe := make(chan error, 1)
	if err := post(func(err error) { safe <- err }); err != nil {
		return err
	}
	select {
	case err := <-safe:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
