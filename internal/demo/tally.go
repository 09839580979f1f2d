package demo

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// tally is what the demonstration knows of its messages: which were
// acknowledged to their device, and which the hub has. It is the judge of
// --once, so it believes only what happened at the two ends.
type tally struct {
	mu      sync.Mutex
	devices map[string]*account
	ackTime reservoir // from sending to acknowledgement
	hubTime reservoir // from sending to the hub's event log
	repeats int
	faults  []string
}

// account is one device's messages, numbered from 1.
type account struct {
	sentAt  []time.Time
	acked   []bool
	arrived []int // times that the hub received it
	last    int   // highest number that has arrived
	nAcked  int
	nHub    int // distinct messages at the hub
}

func newTally(devices []string) *tally {
	t := &tally{devices: make(map[string]*account)}
	for _, d := range devices {
		t.devices[d] = &account{}
	}
	return t
}

// next numbers a device's next message.
func (t *tally) next(device string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := t.devices[device]
	a.sentAt = append(a.sentAt, time.Now())
	a.acked = append(a.acked, false)
	a.arrived = append(a.arrived, 0)
	return len(a.sentAt)
}

// acknowledge notes that the gateway took a message.
func (t *tally) acknowledge(device string, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := t.devices[device]
	if a.acked[n-1] {
		return
	}
	a.acked[n-1] = true
	a.nAcked++
	t.ackTime.add(time.Since(a.sentAt[n-1]))
}

// arrive notes that the hub has a message.
func (t *tally) arrive(device string, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := t.devices[device]
	if a == nil || n < 1 || n > len(a.arrived) {
		t.faults = append(t.faults, fmt.Sprintf("the hub has message %d of %q, which nobody sent", n, device))
		return
	}
	a.arrived[n-1]++
	if a.arrived[n-1] > 1 {
		t.repeats++
		return
	}
	a.nHub++
	t.hubTime.add(time.Since(a.sentAt[n-1]))
	if n < a.last {
		t.faults = append(t.faults, fmt.Sprintf("message %d of %s reached the hub after message %d", n, device, a.last))
	}
	a.last = max(a.last, n)
}

// missing counts the messages that were acknowledged and are not at the hub.
func (t *tally) missing() (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, a := range t.devices {
		n += a.missing()
	}
	return n
}

func (a *account) missing() (n int) {
	for i, acked := range a.acked {
		if acked && a.arrived[i] == 0 {
			n++
		}
	}
	return n
}

// verdict lists what is wrong; nothing, if every acknowledged message is at the
// hub and each device's first deliveries are in order.
func (t *tally) verdict() []string {
	missing := t.missing()
	t.mu.Lock()
	defer t.mu.Unlock()
	faults := slices.Clone(t.faults)
	if missing > 0 {
		faults = append(faults, fmt.Sprintf("%d acknowledged messages are not at the hub", missing))
	}
	return faults
}

// count is a device's line, or the sum of all.
type count struct{ sent, acked, hub int }

func (t *tally) count(device string) count {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := t.devices[device]
	return count{len(a.sentAt), a.nAcked, a.nHub}
}

func (t *tally) total() (sum count, repeats int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, a := range t.devices {
		sum.sent += len(a.sentAt)
		sum.acked += a.nAcked
		sum.hub += a.nHub
	}
	return sum, t.repeats
}

// latency returns percentiles of the recent times to acknowledgement and to the
// hub.
func (t *tally) latency(p float64) (ack, hub time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ackTime.percentile(p), t.hubTime.percentile(p)
}

// reservoir keeps the latest durations.
type reservoir struct {
	kept []time.Duration
	at   int
}

const reservoirSize = 1024

func (r *reservoir) add(d time.Duration) {
	if len(r.kept) < reservoirSize {
		r.kept = append(r.kept, d)
		return
	}
	r.kept[r.at] = d
	r.at = (r.at + 1) % reservoirSize
}

func (r *reservoir) percentile(p float64) time.Duration {
	if len(r.kept) == 0 {
		return 0
	}
	sorted := slices.Clone(r.kept)
	slices.Sort(sorted)
	return sorted[min(len(sorted)-1, int(p*float64(len(sorted))))]
}
