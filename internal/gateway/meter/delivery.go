package meter

import "time"

// A Delivery has at hand what is measured of messages that go one way: how many there
// were, how long each sending took, and how old they were.
type Delivery struct {
	sent, took, age Figure
}

// Delivery returns the series that a delivery counts in, by the labels of s.
func (m *Meter) Delivery(s Series) *Delivery {
	sent, took, age := s, s, Series{Peer: s.Peer, Priority: s.Priority}
	sent.Quantity, took.Quantity, age.Quantity = MessagesSent, SendDuration, ProcessDuration
	took.Priority = 0
	return &Delivery{m.Figure(sent), m.Figure(took), m.Figure(age)}
}

// Sent counts messages that were sent together, by the monotonic time, how long that
// took, and their ages in seconds.
func (d *Delivery) Sent(now time.Time, took time.Duration, ages ...float64) {
	mu := &d.sent.meter.mu
	mu.Lock()
	defer mu.Unlock()
	d.sent.find().count += uint64(len(ages))
	one := [1]float64{took.Seconds()}
	d.took.find().observe(now, one[:])
	d.age.find().observe(now, ages)
}
