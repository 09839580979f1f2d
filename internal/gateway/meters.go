package gateway

import (
	"strings"
	"time"

	"sluice/internal/gateway/meter"
	"sluice/internal/spool"
	"sluice/iot"
)

// The words of edgeHub's labels.
const (
	toUpstream     = "upstream"
	atEdgeHub      = "edge_hub"
	noRoute        = "no_route"
	loop           = "loop" // our own
	storageFailure = "storage_failure"
	sendOperation  = "SendMessageToCloud"
)

// arrivals sums the messages of a batch that came from one output; a device has
// only the one without a name.
type arrivals struct {
	output   string
	n        int
	unrouted int
	looped   int
}

// countArrival counts a message in the last of sums, or in a new one.
func countArrival(sums []arrivals, m *iot.Message) []arrivals {
	output := m.System.Get(iot.OutputName)
	if n := len(sums); n == 0 || sums[n-1].output != output {
		sums = append(sums, arrivals{output: output})
	}
	sums[len(sums)-1].n++
	return sums
}

// stored counts a batch that is safe.
func (s *session) stored(sums []arrivals) {
	for _, sum := range sums {
		s.g.counts.Received.Add(uint64(sum.n))
		s.g.counts.Unrouted.Add(uint64(sum.unrouted))
		s.g.counts.Looped.Add(uint64(sum.looped))
		s.meter.Add(meter.Series{Quantity: meter.MessagesReceived, Output: sum.output}, sum.n)
		s.meter.Add(meter.Series{Quantity: meter.MessagesDropped, Reason: noRoute, Output: sum.output}, sum.unrouted)
		s.meter.Add(meter.Series{Quantity: meter.MessagesDropped, Reason: loop, Output: sum.output}, sum.looped)
	}
}

// refused counts a batch that could not be stored.
func (s *session) refused(sums []arrivals) {
	for _, sum := range sums {
		s.g.counts.Refused.Add(uint64(sum.n))
		s.meter.Add(meter.Series{Quantity: meter.MessagesUnacked, Reason: storageFailure, Output: sum.output}, sum.n)
	}
}

// outputsOf lists where the messages of a batch come from; nil for a device, which
// has no outputs.
func outputsOf(sender iot.Identity, msgs []iot.Message) []string {
	if !sender.IsModule() {
		return nil
	}
	outputs := make([]string, len(msgs))
	for i := range msgs {
		outputs[i] = msgs[i].System.Get(iot.OutputName)
	}
	return outputs
}

// delivered counts records of one sender that the hub has acknowledged, in runs
// that share their labels.
func delivered(m *meter.Meter, now time.Time, took time.Duration, recs []spool.Record, outputs []string) {
	output := func(i int) string {
		if outputs == nil {
			return ""
		}
		return outputs[i]
	}
	var ages [batchMessages]float64
	for begin := 0; begin < len(recs); {
		end, priority := begin, recs[begin].Priority
		for end < len(recs) && end-begin < len(ages) && recs[end].Priority == priority && output(end) == output(begin) {
			ages[end-begin] = now.Sub(recs[end].Stored).Seconds()
			end++
		}
		m.Add(meter.Series{Quantity: meter.MessagesSent, Peer: toUpstream, Output: output(begin), Priority: priority}, end-begin)
		m.Observe(meter.Series{Quantity: meter.SendDuration, Peer: toUpstream, Output: output(begin)}, took.Seconds())
		m.Observe(meter.Series{Quantity: meter.ProcessDuration, Peer: toUpstream, Priority: priority}, ages[:end-begin]...)
		begin = end
	}
}

// An origin is one sender of what an input gets, through one output and with one
// priority.
type origin struct {
	from     iot.Identity
	output   string
	priority uint32
}

// A gauge measures what comes from an origin.
type gauge struct {
	sent, took, age meter.Figure
}

// maxGauges bounds the gauges that an input has at hand: clients choose their outputs'
// names.
const maxGauges = 256

// gauge returns what measures what comes from an origin.
func (d *feeder) gauge(of origin) *gauge {
	if g := d.gauges[of]; g != nil {
		return g
	}
	if d.gauges == nil || len(d.gauges) == maxGauges {
		d.gauges = map[origin]*gauge{}
	}
	of.output = strings.Clone(of.output) // it is a part of a message
	of.from = iot.Identity{Device: strings.Clone(of.from.Device), Module: strings.Clone(of.from.Module)}
	m, peer := d.f.s.g.meters.Of(of.from), d.f.peer
	g := &gauge{
		sent: m.Figure(meter.Series{Quantity: meter.MessagesSent, Peer: peer, Output: of.output, Input: d.input, Priority: of.priority}),
		took: m.Figure(meter.Series{Quantity: meter.SendDuration, Peer: peer, Output: of.output, Input: d.input}),
		age:  m.Figure(meter.Series{Quantity: meter.ProcessDuration, Peer: peer, Priority: of.priority}),
	}
	d.gauges[of] = g
	return g
}

// completed counts a record that a module has taken from an input.
func (g *Gateway) completed(h held) {
	h.gauge.sent.Add(1)
	h.gauge.took.Observe(time.Since(h.since).Seconds())
	h.gauge.age.Observe(g.opt.Now().Sub(h.rec.Stored).Seconds())
}

// timed counts something that is done, and measures how long it took since began.
func timed(m *meter.Meter, count, duration meter.Quantity, peer string, began time.Time) {
	m.Add(meter.Series{Quantity: count, Peer: peer}, 1)
	m.Observe(meter.Series{Quantity: duration, Peer: peer}, time.Since(began).Seconds())
}

// retried counts an identity's messages being put off.
func (u *uplink) retried(id iot.Identity) {
	u.g.counts.Retries.Add(1)
	u.g.meters.Of(id).Add(meter.Series{Quantity: meter.Retries, Reason: sendOperation}, 1)
}

// noteLoss counts that the hub was lost.
func (u *uplink) noteLoss() {
	u.lost = time.Now()
	u.g.counts.Offline.Add(1)
	u.g.meters.Of(u.g.own.id).Add(meter.Series{Quantity: meter.OfflineCount}, 1)
}

// found measures for how long the hub was lost.
func (u *uplink) found() {
	if !u.lost.IsZero() {
		u.g.meters.Of(u.g.own.id).Observe(meter.Series{Quantity: meter.OfflineDuration}, time.Since(u.lost).Seconds())
		u.lost = time.Time{}
	}
}
