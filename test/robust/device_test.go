//go:build unix

package robust

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"sluice/iot"
	"sluice/test/robust/ledger"
)

// endpoint is where messages have to arrive, but those of devices with another.
const endpoint = "$upstream"

// A device sends messages at QoS 1, and writes down what it sends before it
// sends it and what became of it when it knows. That is all that the verdict
// knows of it.
type device struct {
	t      *testing.T
	id     string
	hub    string // host name
	addr   string // of the gateway
	tls    *tls.Config
	key    iot.Secret
	ledger *ledger.Writer
	rng    *rand.Rand

	endpoint string // where its messages have to arrive; "" is the hub

	window int           // messages that may be unacknowledged
	size   int           // bytes of a body
	every  time.Duration // between bursts of up to a window
	// persistent devices send again what was not acknowledged when a connection
	// ended; others leave its fate unknown.
	persistent bool
	ttl        time.Duration // after which a message need not arrive; 0 for never
	answer     time.Duration // longest wait for an acknowledgement; 0 for ever

	next    uint64   // number of the last message
	waiting []uint64 // sent and not acknowledged, in the order of sending

	mu     sync.Mutex
	acked  []answered
	delays []time.Duration // from sending to PUBACK
	logins int
}

// answered is a message that was acknowledged.
type answered struct {
	seq     uint64
	expires time.Time // zero if it does not
}

// acknowledged returns how many messages were acknowledged.
func (d *device) acknowledged() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.acked)
}

// p99 is the 99th percentile of the times to acknowledgement since the last
// call.
func p99(devices []*device) time.Duration {
	var all []time.Duration
	for _, d := range devices {
		d.mu.Lock()
		all = append(all, d.delays...)
		d.delays = nil
		d.mu.Unlock()
	}
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[len(all)*99/100]
}

// run connects and sends, again and again, until ctx ends, and then tries for a
// while to have answers for what is on its way. Messages without one are of
// unknown fate.
func (d *device) run(ctx context.Context) {
	last, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(patience, cancel) })()
	for tries := 0; ctx.Err() == nil || d.persistent && len(d.waiting) > 0; tries++ {
		c, err := d.connect(last)
		if err != nil {
			if last.Err() != nil {
				return
			}
			pause(last, time.Duration(20+d.rng.IntN(20*min(tries+1, 10)))*time.Millisecond)
			continue
		}
		tries = 0
		d.talk(ctx, last, c)
	}
}

func (d *device) connect(ctx context.Context) (*connection, error) {
	h, err := hello(d.hub, d.id, d.key)
	if err != nil {
		return nil, err
	}
	c, err := dialMQTT(ctx, d.addr, d.tls, h)
	if err == nil {
		d.mu.Lock()
		d.logins++
		d.mu.Unlock()
	}
	return c, err
}

// talk sends over one connection until it ends, or until ctx ends and everything
// is answered.
func (d *device) talk(ctx, last context.Context, c *connection) {
	acks := make(chan uint16, 1024)
	var reading sync.WaitGroup
	defer reading.Wait()
	defer c.Close() //nolint:errcheck // ended, or said goodbye
	reading.Go(func() { d.listen(c, acks) })
	sentAt := make(map[uint64]time.Time)
	if !d.send(c, d.waiting, sentAt) {
		return
	}
	tick := time.NewTicker(d.every)
	defer tick.Stop()
	done := ctx.Done()
	for {
		if ctx.Err() != nil && len(d.waiting) == 0 {
			_, _ = c.Write(disconnect) // the end in any case
			return
		}
		select {
		case id, ok := <-acks:
			if !ok {
				d.giveUp()
				return
			}
			d.settle(append([]uint16{id}, drained(acks)...), sentAt)
		case <-tick.C:
			if d.overdue(sentAt) || ctx.Err() == nil && !d.send(c, d.burst(), sentAt) {
				d.giveUp()
				return
			}
		case <-done:
			done = nil // go round once, then wait for answers
		case <-last.Done():
			d.giveUp()
			return
		}
	}
}

// overdue reports whether the oldest answer has been awaited for too long.
func (d *device) overdue(sentAt map[uint64]time.Time) bool {
	return d.answer > 0 && len(d.waiting) > 0 && time.Since(sentAt[d.waiting[0]]) > d.answer
}

// listen passes on the numbers of PUBACKs until the connection ends.
func (d *device) listen(c *connection, acks chan<- uint16) {
	defer close(acks)
	for {
		kind, body, err := readPacket(c.in)
		if err != nil {
			return
		}
		if kind != typePuback || len(body) != 2 {
			d.t.Errorf("%s: got packet %d of %d bytes", d.id, kind, len(body))
			return
		}
		acks <- binary.BigEndian.Uint16(body)
	}
}

// drained takes what else has come in.
func drained(acks <-chan uint16) (ids []uint16) {
	for {
		select {
		case id, ok := <-acks:
			if !ok {
				return ids
			}
			ids = append(ids, id)
		default:
			return ids
		}
	}
}

// burst numbers new messages, as many as the window has room for.
func (d *device) burst() (fresh []uint64) {
	for n := d.rng.IntN(d.window) + 1; n > 0 && len(d.waiting)+len(fresh) < d.window; n-- {
		d.next++
		fresh = append(fresh, d.next)
	}
	d.waiting = append(d.waiting, fresh...)
	return fresh
}

// send writes messages down and sends them.
func (d *device) send(c *connection, seqs []uint64, sentAt map[uint64]time.Time) bool {
	if len(seqs) == 0 {
		return true
	}
	var out []byte
	events := make([]ledger.Event, len(seqs))
	for i, seq := range seqs {
		body := ledger.Body(d.id, seq, d.size)
		events[i] = ledger.Event{Kind: ledger.Sent, Sender: d.id, Seq: seq, Hash: ledger.Hash(body), Endpoints: []string{cmp.Or(d.endpoint, endpoint)}}
		out = append(out, publish(telemetry(d.id), 1, packetID(seq), body, false)...)
	}
	now := time.Now()
	for i, seq := range seqs {
		sentAt[seq] = now
		if d.ttl > 0 {
			events[i].Expires = now.Add(d.ttl)
		}
	}
	d.record(events...)
	_, err := c.Write(out)
	return err == nil
}

// packetID numbers a message for its connection: never 0, and no two alike
// within any window.
func packetID(seq uint64) uint16 { return uint16(seq%0xFFFF) + 1 }

// settle notes acknowledgements, which must come in the order of sending
// [MQTT-4.6.0-2].
func (d *device) settle(ids []uint16, sentAt map[uint64]time.Time) {
	now := time.Now()
	var events []ledger.Event
	var acked []answered
	var delays []time.Duration
	for _, id := range ids {
		if len(d.waiting) == 0 || packetID(d.waiting[0]) != id {
			d.t.Errorf("%s: PUBACK %d out of order; waiting for %v", d.id, id, d.waiting)
			return
		}
		seq := d.waiting[0]
		d.waiting = d.waiting[1:]
		events = append(events, ledger.Event{Kind: ledger.Acknowledged, Sender: d.id, Seq: seq})
		a := answered{seq: seq}
		if d.ttl > 0 {
			a.expires = sentAt[seq].Add(d.ttl)
		}
		acked, delays = append(acked, a), append(delays, now.Sub(sentAt[seq]))
		delete(sentAt, seq)
	}
	d.record(events...)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.acked, d.delays = append(d.acked, acked...), append(d.delays, delays...)
}

// giveUp notes that a connection ended before an answer came.
func (d *device) giveUp() {
	events := make([]ledger.Event, len(d.waiting))
	for i, seq := range d.waiting {
		events[i] = ledger.Event{Kind: ledger.Unknown, Sender: d.id, Seq: seq}
	}
	d.record(events...)
	if !d.persistent {
		d.waiting = nil
	}
}

func (d *device) record(events ...ledger.Event) {
	if len(events) == 0 {
		return
	}
	if err := d.ledger.Record(events...); err != nil {
		d.t.Errorf("%s: %v", d.id, err)
	}
}

// pause waits for a while, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// fleet names n devices.
func fleet(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("device-%02d", i+1)
	}
	return ids
}
