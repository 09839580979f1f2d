package mqttbridge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"reflect"
	"sync"
	"sync/atomic"

	"sluice/iot"
	"sluice/translator"
)

// Options are what the configuration does not say.
type Options struct {
	// Translator is how the bridge reaches its gateway; the zero value does as the
	// environment says. The bridge sets its functions.
	Translator translator.Options
	// Listening is called with the address of the bridge's own broker.
	Listening func(net.Addr)
	Log       *slog.Logger // nil discards
}

// Bridge is the translator for plain MQTT.
type Bridge struct {
	cfg     *Config
	log     *slog.Logger
	t       *translator.Translator
	mapping atomic.Pointer[mapping]
	in      *inbox
	leaves  leaves
	calls   calls
	field   field
	refused refusals

	// Stats counts since the bridge was made.
	Stats Stats
}

// Stats counts publications since the bridge was made, but for Leaves, which is how
// many there are.
type Stats struct {
	Messages atomic.Int64 // that the gateway has
	Refused  atomic.Int64 // that can never become a message
	Dropped  atomic.Int64 // of QoS 0, because too many waited
	Leaves   atomic.Int64
}

// field is a broker, from the bridge's side.
type field interface {
	// run serves until ctx ends.
	run(ctx context.Context) error
	// deliver gives a payload to a leaf, and calls done, once, when it has it or
	// cannot have it. It does not block.
	deliver(d delivery, done func(error))
	// can is what a leaf can take now.
	can(leaf string) translator.Capabilities
	// remapped is called after the mapping changed.
	remapped()
}

// delivery is something for a leaf.
type delivery struct {
	kind    kind
	leaf    string
	topic   string
	payload []byte
	retain  bool // it is of use to those who come later
}

// New makes a bridge. The error says which part of the configuration cannot be, or
// that this process is no module.
func New(cfg *Config, opt Options) (*Bridge, error) {
	b := &Bridge{cfg: cfg, log: opt.Log, in: newInbox()}
	if b.log == nil {
		b.log = slog.New(slog.DiscardHandler)
	}
	b.refused.log = b.log
	b.calls.begin()
	m, err := cfg.compile(cfg.Broker == "")
	if err != nil {
		return nil, err
	}
	b.mapping.Store(m)
	to := opt.Translator
	to.Window, to.WindowBytes = 1024, 4<<20
	to.Method, to.Command, to.Desired, to.State, to.Configure = b.method, b.command, b.desired, b.state, b.configure
	to.Log = b.log
	if b.t, err = translator.New(to); err != nil {
		return nil, err
	}
	if cfg.Broker == "" {
		b.field, err = newBroker(b, opt.Listening)
	} else {
		b.field, err = newClient(b)
	}
	return b, err
}

// Run serves until ctx ends, or the field's side cannot be served at all. What was
// not acknowledged then was not acknowledged to its sender.
func (b *Bridge) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var parts sync.WaitGroup
	errs := make(chan error, 3)
	for _, part := range []func(context.Context) error{b.t.Run, b.field.run, b.pump} {
		parts.Go(func() {
			defer cancel()
			errs <- part(ctx)
		})
	}
	parts.Wait()
	b.calls.end()
	return errors.Join(<-errs, <-errs, <-errs)
}

// pump moves publications to the gateway, as fast as that takes them.
func (b *Bridge) pump(ctx context.Context) error {
	defer b.in.close()
	for {
		switch leaf, p := b.in.next(); {
		case leaf != "":
			b.greet(ctx, leaf)
		case p != nil:
			b.take(ctx, p)
		default:
			select {
			case <-b.in.wake:
			case <-ctx.Done():
			}
		}
		if ctx.Err() != nil {
			return nil
		}
	}
}

// take makes of a publication what it is.
func (b *Bridge) take(ctx context.Context, p *publication) {
	m := b.mapping.Load()
	if m.response != nil && m.response.matches(p.topic) {
		b.settle(p, b.answered(m.response, p))
		return
	}
	if m.reported != nil && m.reported.matches(p.topic) {
		b.reported(ctx, m.reported, p)
		return
	}
	for i := range m.messages {
		if m.messages[i].topic.matches(p.topic) {
			b.telemetry(ctx, &m.messages[i], p)
			return
		}
	}
	b.settle(p, refuse("no topic of the configuration fits"))
}

func (b *Bridge) telemetry(ctx context.Context, how *messages, p *publication) {
	id, m, err := how.message(p)
	if err != nil {
		b.settle(p, refuse("%v", err))
		return
	}
	leaf, err := b.speaker(ctx, id, p)
	if err == nil {
		err = leaf.Post(ctx, m, func(err error) { b.posted(p, err) })
	}
	if err != nil {
		b.settle(p, err)
	}
}

func (b *Bridge) reported(ctx context.Context, topic *pattern, p *publication) {
	var id string
	topic.match(p.topic, func(name, value string) {
		if name == "id" {
			id = value
		}
	})
	leaf, err := b.speaker(ctx, id, p)
	if err == nil {
		err = leaf.PostReport(ctx, p.payload, func(err error) { b.posted(p, err) })
	}
	if err != nil {
		b.settle(p, err)
	}
}

// speaker is the leaf that a publication is of, if its sender may speak for it.
func (b *Bridge) speaker(ctx context.Context, id string, p *publication) (translator.Leaf, error) {
	if p.own != "" && p.own != id {
		return translator.Leaf{}, refuse("own_topics lets this client speak for %q, not for %.150q", p.own, id)
	}
	return b.known(ctx, id)
}

// posted learns what the gateway did with a publication.
func (b *Bridge) posted(p *publication, err error) {
	if err == nil {
		b.Stats.Messages.Add(1)
	}
	b.settle(p, err)
}

// settle acknowledges a publication that is safe, or that nobody will ever take.
// For every other error its sender has to send it again.
func (b *Bridge) settle(p *publication, err error) {
	if kind := iot.KindOf(err); err != nil && (kind == iot.Invalid || kind == iot.TooLarge) {
		b.Stats.Refused.Add(1)
		b.refused.tell(p, err)
		err = nil
	}
	p.ack(err)
}

// refuse makes the error of what can never become a message.
func refuse(format string, args ...any) error {
	return iot.Errorf(iot.Invalid, "publication", iot.Identity{}, format, args...)
}

// configure takes the mapping from the module's desired properties.
func (b *Bridge) configure(desired json.RawMessage) error {
	m, err := b.cfg.parseMapping(desired)
	if err != nil {
		return fmt.Errorf("the mapping stays as it was: %w", err)
	}
	if !reflect.DeepEqual(m, b.mapping.Load()) {
		b.mapping.Store(m)
		b.field.remapped()
	}
	return nil
}
