package frame

import (
	"slices"

	"sluice/amqp10/internal/wire"
)

// Source is where a link's messages come from [AMQP 3.5.3].
type Source struct {
	Address          string
	Durable          uint32 // 0 none, 1 configuration, 2 unsettled-state
	ExpiryPolicy     wire.Symbol
	Timeout          uint32 // seconds after expiry
	Dynamic          bool   // create a node, and answer with its address
	NodeProperties   wire.Fields
	DistributionMode wire.Symbol
	Filter           wire.Fields
	DefaultOutcome   Outcome
	Outcomes         []wire.Symbol
	Capabilities     []wire.Symbol
}

// Target is where a link's messages go [AMQP 3.5.4].
type Target struct {
	Address        string
	Durable        uint32
	ExpiryPolicy   wire.Symbol
	Timeout        uint32
	Dynamic        bool
	NodeProperties wire.Fields
	Capabilities   []wire.Symbol
	// Coordinator marks the target of a transaction coordinator link
	// [AMQP 4.5.1]; only Capabilities go with it.
	Coordinator bool
}

// sessionEnd is the default expiry policy.
const sessionEnd = "session-end"

func (s *Source) field(c *wire.CompositeWriter, w *wire.Encoder) {
	if !c.Field(s != nil) {
		return
	}
	l := w.Composite(CodeSource)
	// A dynamic source has no address until its creator answers [AMQP 3.5.3].
	l.Text(s.Address != "" || !s.Dynamic, s.Address)
	l.Uint(s.Durable != 0, s.Durable)
	l.Symbol(s.ExpiryPolicy)
	l.Uint(s.Timeout != 0, s.Timeout)
	l.Bool(s.Dynamic, true)
	l.Fields(s.NodeProperties)
	l.Symbol(s.DistributionMode)
	l.Fields(s.Filter)
	s.DefaultOutcome.field(&l, w)
	l.Symbols(s.Outcomes)
	l.Symbols(s.Capabilities)
	l.End()
	c.Done()
}

func (t *Target) field(c *wire.CompositeWriter, w *wire.Encoder) {
	if !c.Field(t != nil) {
		return
	}
	defer c.Done()
	if t.Coordinator {
		l := w.Composite(CodeCoordinator)
		l.Symbols(t.Capabilities)
		l.End()
		return
	}
	l := w.Composite(CodeTarget)
	l.Text(t.Address != "", t.Address)
	l.Uint(t.Durable != 0, t.Durable)
	l.Symbol(t.ExpiryPolicy)
	l.Uint(t.Timeout != 0, t.Timeout)
	l.Bool(t.Dynamic, true)
	l.Fields(t.NodeProperties)
	l.Symbols(t.Capabilities)
	l.End()
}

// node is what sources and targets begin with.
type node struct {
	address        string
	durable        uint32
	expiryPolicy   wire.Symbol
	timeout        uint32
	dynamic        bool
	nodeProperties wire.Fields
}

func decodeNode(d *wire.Decoder, l *wire.Composite) node {
	n := node{expiryPolicy: sessionEnd}
	if l.Next() {
		n.address = d.Text()
	}
	if l.Next() {
		n.durable = d.Uint()
	}
	if l.Next() {
		n.expiryPolicy = d.Symbol()
	}
	if l.Next() {
		n.timeout = d.Uint()
	}
	if l.Next() {
		n.dynamic = d.Bool()
	}
	if l.Next() {
		n.nodeProperties = wire.DecodePairs[wire.Symbol](d, nil)
	}
	return n
}

func decodeSource(d *wire.Decoder, c *wire.Composite) *Source {
	if !c.Next() {
		return nil
	}
	if Descriptor(d) != CodeSource {
		d.Fail(wire.ErrType)
		return nil
	}
	l := d.Composite()
	n := decodeNode(d, &l)
	s := &Source{Address: n.address, Durable: n.durable, ExpiryPolicy: n.expiryPolicy,
		Timeout: n.timeout, Dynamic: n.dynamic, NodeProperties: n.nodeProperties}
	if l.Next() {
		s.DistributionMode = d.Symbol()
	}
	if l.Next() {
		s.Filter = wire.DecodePairs[wire.Symbol](d, nil)
	}
	s.DefaultOutcome = decodeOutcome(d, &l)
	if l.Next() {
		s.Outcomes = d.Symbols()
	}
	if l.Next() {
		s.Capabilities = d.Symbols()
	}
	l.End()
	return s
}

func decodeTarget(d *wire.Decoder, c *wire.Composite) *Target {
	if !c.Next() {
		return nil
	}
	switch Descriptor(d) {
	case CodeTarget:
	case CodeCoordinator:
		l := d.Composite()
		t := &Target{Coordinator: true}
		if l.Next() {
			t.Capabilities = d.Symbols()
		}
		l.End()
		return t
	default:
		d.Fail(wire.ErrType)
		return nil
	}
	l := d.Composite()
	n := decodeNode(d, &l)
	t := &Target{Address: n.address, Durable: n.durable, ExpiryPolicy: n.expiryPolicy,
		Timeout: n.timeout, Dynamic: n.dynamic, NodeProperties: n.nodeProperties}
	if l.Next() {
		t.Capabilities = d.Symbols()
	}
	l.End()
	return t
}

// Clone returns a copy whose own fields may be changed.
func (s *Source) Clone() *Source {
	if s == nil {
		return nil
	}
	c := *s
	c.Filter = slices.Clone(s.Filter)
	c.NodeProperties = slices.Clone(s.NodeProperties)
	return &c
}

// Clone returns a copy whose own fields may be changed.
func (t *Target) Clone() *Target {
	if t == nil {
		return nil
	}
	c := *t
	c.NodeProperties = slices.Clone(t.NodeProperties)
	return &c
}
