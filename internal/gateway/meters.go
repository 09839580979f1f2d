package gateway

import (
	"strings"
	"time"

	"sluice/internal/gateway/meter"
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
func (d *draining) delivered(r sent) {
	now, wall := time.Now(), d.u.g.opt.Now()
	var ages [batchMessages]float64
	for begin := 0; begin < len(r.recs); {
		of := r.origin(begin)
		end := begin
		for end < len(r.recs) && end-begin < len(ages) && r.origin(end) == of {
			ages[end-begin] = wall.Sub(r.recs[end].Stored).Seconds()
			end++
		}
		if d.meter == nil || d.meter.of != of {
			d.meter = meterOf(d.u.g.meters.Of(d.peer.id), of, meter.Series{Peer: toUpstream})
		}
		d.meter.Sent(now, r.took, ages[:end-begin]...)
		begin = end
	}
}

// origin is where a record comes from, but for its sender, who is one for all.
func (r *sent) origin(i int) origin {
	of := origin{priority: r.recs[i].Priority}
	if r.outputs != nil {
		of.output = r.outputs[i]
	}
	return of
}

// An origin is one sender of what goes to the hub or to an input, through one output and
// with one priority.
type origin struct {
	from     iot.Identity
	output   string
	priority uint32
}

// originMeter measures deliveries of what comes from an origin.
type originMeter struct {
	of origin
	*meter.Delivery
}

// meterOf makes the meter of an origin, whose names are parts of a message, for series
// that have the other labels.
func meterOf(m *meter.Meter, of origin, s meter.Series) *originMeter {
	of.output = strings.Clone(of.output)
	of.from = iot.Identity{Device: strings.Clone(of.from.Device), Module: strings.Clone(of.from.Module)}
	s.Output, s.Priority = of.output, of.priority
	return &originMeter{of, m.Delivery(s)}
}

// maxOrigins bounds the origins whose meters an input has at hand: clients choose their
// outputs' names.
const maxOrigins = 256

// meterOf returns what measures what comes from an origin.
func (d *feeder) meterOf(of origin) *originMeter {
	if d.meter != nil && d.meter.of == of {
		return d.meter // they often come in runs
	}
	if d.meter = d.meters[of]; d.meter != nil {
		return d.meter
	}
	if d.meters == nil || len(d.meters) == maxOrigins {
		d.meters = map[origin]*originMeter{}
	}
	d.meter = meterOf(d.f.s.g.meters.Of(of.from), of, meter.Series{Peer: d.f.peer, Input: d.input})
	d.meters[d.meter.of] = d.meter
	return d.meter
}

// completed counts a record that a module has taken from an input.
func (g *Gateway) completed(h *held) {
	now := time.Now()
	h.meter.Sent(now, now.Sub(h.since), g.opt.Now().Sub(h.rec.Stored).Seconds())
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
