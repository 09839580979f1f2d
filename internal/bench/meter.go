package bench

import (
	"errors"
	"time"
)

// A meter is what the clients of a load have in common, whatever they speak: it
// says what is to be sent, and takes the time until it is acknowledged.
type meter struct {
	load *Load

	sent     []time.Time // by slot: when what is in flight was sent, or due
	free     []uint16    // slots
	inFlight int

	every time.Duration // between messages; 0 without a rate
	due   time.Time     // of the next

	latencies Latencies
	last      time.Time // of the last acknowledgement that counts
	err       error
}

func (l *Load) newMeter(n int) meter {
	m := meter{load: l, sent: make([]time.Time, l.Window)}
	for slot := range uint16(l.Window) {
		m.free = append(m.free, slot)
	}
	if l.Rate > 0 {
		m.every = time.Duration(float64(l.Clients) / l.Rate * float64(time.Second))
		m.due = time.Now().Add(m.every * time.Duration(n) / time.Duration(l.Clients)) // not all at once
	}
	return m
}

func (m *meter) measured() *meter { return m }

// over reports whether nothing more is to be sent.
func (m *meter) over(now time.Time) bool {
	if m.load.Count > 0 {
		return m.load.left.Load() <= 0
	}
	return now.After(m.load.until)
}

// answerTime is how long a server may take for an acknowledgement.
const answerTime = 30 * time.Second

// patience is until when to wait for something: the next message to send, or an
// acknowledgement. ended is when the last was sent, zero before.
func (m *meter) patience(ended time.Time) time.Time {
	if !ended.IsZero() {
		return ended.Add(answerTime)
	}
	if m.every > 0 && len(m.free) > 0 {
		return m.due
	}
	return time.Now().Add(answerTime)
}

// isDue reports whether it is time for the next message of a rate.
func (m *meter) isDue(now time.Time) bool {
	return m.every > 0 && !now.Before(m.due) && len(m.free) > 0
}

// next takes a slot for the next message, if there is room and it is due.
func (m *meter) next(now time.Time) (slot uint16, ok bool) {
	if len(m.free) == 0 {
		return 0, false
	}
	at := now
	if m.every > 0 {
		if m.due.After(now) {
			return 0, false
		}
		at, m.due = m.due, m.due.Add(m.every)
	}
	if m.load.Count > 0 && m.load.left.Add(-1) < 0 {
		return 0, false
	}
	slot = m.free[len(m.free)-1]
	m.free = m.free[:len(m.free)-1]
	m.sent[slot] = at
	m.inFlight++
	return slot, true
}

// acknowledged counts the acknowledgement of what was sent in a slot.
func (m *meter) acknowledged(slot int, now time.Time) error {
	if slot < 0 || slot >= len(m.sent) || m.sent[slot].IsZero() {
		return errors.New("the server acknowledged what was not sent")
	}
	l := m.load
	l.acked.Add(1)
	if !now.Before(l.from) && (l.Count > 0 || now.Before(l.until)) {
		m.latencies.Add(now.Sub(m.sent[slot]))
		m.last = now
	}
	m.sent[slot] = time.Time{}
	m.free = append(m.free, uint16(slot))
	m.inFlight--
	return nil
}

// payload is text of some size that compresses no better than telemetry does.
func payload(size int) []byte {
	b := make([]byte, size)
	x := uint32(1)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = "0123456789abcdef"[x>>28]
	}
	return b
}
