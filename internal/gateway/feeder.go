package gateway

import (
	"sync"
	"time"

	"sluice/internal/spool"
	"sluice/iot"
)

// How much of an input is read from the spool at once.
const (
	inputRecords = 64
	inputBytes   = 256 << 10
)

// feeder reads one input, in order, as long as the flow lasts.
type feeder struct {
	f     *inputFlow
	queue *spool.Queue
	input string // its name
	lease *spool.Lease

	// the feeder's goroutine's own
	decoder    iot.Decoder
	handing    []*held
	deliveries []iot.Delivery
	meters     map[origin]*originMeter
	meter      *originMeter // of what was delivered last

	mu    sync.Mutex
	back  []*held       // abandoned, to be delivered again
	again chan struct{} // has a token when back grows; capacity 1
}

// held is a record that the module has, or is to have.
type held struct {
	feeder *feeder
	rec    *spool.Record
	count  int // times delivered before

	meter *originMeter
	since time.Time // delivered
}

func (d *feeder) run() {
	lease, err := d.queue.Acquire(d.f.ctx)
	if err != nil {
		if d.f.ctx.Err() == nil {
			d.f.s.g.log.Error("an input cannot be read", "queue", d.queue.Name(), "err", err)
		}
		return
	}
	d.lease = lease
	defer lease.Release(0)
	for d.f.ctx.Err() == nil {
		if !d.feed() {
			select {
			case <-lease.More():
			case <-d.again:
			case <-d.f.ctx.Done():
			}
		}
	}
}

// feed delivers what there is, and reports whether there was anything. What is not
// delivered because the flow ends, the lease gives back.
func (d *feeder) feed() (some bool) {
	back := d.returned()
	if !d.hand(back) {
		return true
	}
	recs, err := d.lease.Read(inputRecords, inputBytes)
	if err != nil {
		d.f.s.g.log.Error("an input cannot be read", "queue", d.queue.Name(), "err", err)
		<-d.f.ctx.Done() // trying again at once would not help
		return true
	}
	fresh := make([]held, len(recs))
	d.handing = d.handing[:0]
	for i := range recs {
		fresh[i] = held{feeder: d, rec: &recs[i]}
		d.handing = append(d.handing, &fresh[i])
	}
	d.hand(d.handing)
	clear(d.handing)
	return len(back)+len(recs) > 0
}

// hand delivers records as the module has credit for them, and reports whether it
// delivered all before the flow ended.
func (d *feeder) hand(all []*held) bool {
	for len(all) > 0 {
		n := d.f.take(d.f.ctx, len(all))
		if n == 0 {
			return false
		}
		d.deliver(all[:n])
		all = all[n:]
	}
	return true
}

// deliver gives records, for which there is credit, to the module.
func (d *feeder) deliver(some []*held) {
	now, whole := time.Now(), some[:0]
	for _, h := range some {
		m, err := d.decoder.Decode(h.rec.Data)
		if err != nil {
			d.lease.Dead(*h.rec, "unreadable")
			d.f.s.g.counts.Dead.Add(1)
			d.f.Grant(1)
			continue
		}
		m.System.Set(iot.InputName, d.input)
		tellHops(&m)
		h.meter, h.since = d.meterOf(origin{m.Sender(), m.System.Get(iot.OutputName), h.rec.Priority}), now
		whole = append(whole, h)
		d.deliveries = append(d.deliveries, iot.Delivery{Message: m, Count: h.count, Repeat: h.count > 0})
	}
	for i, token := range d.f.lock(whole) {
		d.deliveries[i].LockToken = token
		d.f.deliver(d.deliveries[i])
	}
	clear(d.deliveries)
	d.deliveries = d.deliveries[:0]
}

func (d *feeder) giveBack(h *held) {
	h.count++
	d.mu.Lock()
	d.back = append(d.back, h)
	d.mu.Unlock()
	select {
	case d.again <- struct{}{}:
	default:
	}
}

func (d *feeder) returned() []*held {
	d.mu.Lock()
	defer d.mu.Unlock()
	back := d.back
	d.back = nil
	return back
}
