// Package meter counts what a gateway does, for each identity by itself: how many
// messages, how large, how fast, and what else it was asked for. It knows nothing
// of the form in which figures are shown.
//
// A [Meter] is one identity's. Whoever works for an identity holds its meter, so
// that counting takes a lock that hardly anybody else wants. A [Book] has the
// meters. It is bounded: identities beyond its limit are counted together, and so
// is what one identity does under more names than it may have.
package meter

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	"sluice/iot"
)

// A Quantity is something that is counted or measured. Those measured are in
// seconds, or, sizes, in bytes.
type Quantity uint8

// The quantities, with the labels of [Series] that tell their series apart.
const (
	MessagesReceived Quantity = iota // stored and acknowledged; Output
	MessagesSent                     // acknowledged by Peer; Output, Peer, Input, Priority
	MessageSize                      // of what was received
	SendDuration                     // from giving it to Peer to its acknowledgement; as MessagesSent
	ProcessDuration                  // from storing it to its acknowledgement; Peer, Priority
	MessagesDropped                  // Reason, Output
	MessagesUnacked                  // not stored; Reason, Output
	TwinsRead                        // Peer is where it was read
	TwinReadDuration                 // as TwinsRead
	ReportsTaken                     // patches of reported properties; Peer is where they went
	ReportDuration                   // as ReportsTaken
	MethodsCalled                    // of the identity; Peer is who called
	MethodDuration                   // as MethodsCalled
	ConnectsFailed                   // Reason
	Connects                         // sessions begun
	Disconnects                      // sessions ended
	Retries                          // Reason is what is tried again
	OfflineCount                     // times the hub was lost
	OfflineDuration                  // until it was back
	Quantities                       // how many there are
)

// A Series is one figure of an identity. Fields that its quantity does not use are
// empty.
type Series struct {
	Quantity Quantity
	Peer     string
	Output   string
	Input    string
	Reason   string
	Priority uint32
}

// maxSeries is how many series an identity may have. Outputs have names that
// clients choose.
const maxSeries = 128

// Others is the name in those labels of a series that would be one too many, and
// the id of the identities that are.
const Others = "(others)"

func (s Series) folded() Series {
	for _, label := range []*string{&s.Peer, &s.Output, &s.Input} {
		if *label != "" {
			*label = Others
		}
	}
	s.Priority = 0
	return s
}

// A Meter has the figures of one identity. Its methods may be called from any
// goroutine.
type Meter struct {
	mu     sync.Mutex
	series map[Series]*figure
}

type figure struct {
	count uint64
	sum   float64
	dist  *distribution // nil for what is only counted
}

// Add counts n more.
func (m *Meter) Add(s Series, n int) {
	f := m.Figure(s)
	f.Add(n)
}

// Observe notes measurements.
func (m *Meter) Observe(s Series, values ...float64) {
	f := m.Figure(s)
	f.Observe(values...)
}

// A Figure is one series of a meter at hand, for who counts in it again and again: to
// find it by its labels costs more than to count. It must not be copied once it is
// used; its methods may be called from any goroutine.
type Figure struct {
	meter  *Meter
	series Series
	at     *figure // nil until it is first used; guarded by the meter's mu
}

// Figure returns a series of the meter.
func (m *Meter) Figure(s Series) Figure { return Figure{meter: m, series: s} }

// Add counts n more.
func (f *Figure) Add(n int) {
	if n <= 0 {
		return
	}
	f.meter.mu.Lock()
	defer f.meter.mu.Unlock()
	f.find().count += uint64(n)
}

// Observe notes measurements.
func (f *Figure) Observe(values ...float64) {
	if len(values) == 0 {
		return
	}
	f.meter.mu.Lock()
	defer f.meter.mu.Unlock()
	f.find().observe(time.Now(), values)
}

// find finds the figure. The meter's mu is held.
func (f *Figure) find() *figure {
	if f.at == nil {
		f.at = f.meter.figure(f.series)
	}
	return f.at
}

func (f *figure) observe(now time.Time, values []float64) {
	if f.dist == nil {
		f.dist = new(distribution)
	}
	f.count += uint64(len(values))
	for _, v := range values {
		f.sum += v
	}
	f.dist.add(now, values)
}

func (m *Meter) figure(s Series) *figure {
	f := m.series[s]
	if f != nil {
		return f
	}
	if len(m.series) >= maxSeries {
		s = s.folded()
		if f = m.series[s]; f != nil {
			return f
		}
	}
	if m.series == nil {
		m.series = map[Series]*figure{}
	}
	f = new(figure)
	s.Output = strings.Clone(s.Output) // it is a part of a message
	m.series[s] = f
	return f
}

// A Value is what a series has come to.
type Value struct {
	Series
	Count     uint64
	Sum       float64   // of measurements
	Quantiles []float64 // by [Levels], of the last half hour or more; nil for what is only counted
}

// Levels are the quantiles that a [Value] has, as edgeHub's.
var Levels = [...]float64{0.1, 0.5, 0.9, 0.99}

func (m *Meter) values() []Value {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]Value, 0, len(m.series))
	for s, f := range m.series {
		v := Value{Series: s, Count: f.count, Sum: f.sum}
		if f.dist != nil {
			v.Quantiles = f.dist.quantiles(Levels[:])
		}
		out = append(out, v)
	}
	return out
}

// A Book has the meters of a gateway. Its methods may be called from any
// goroutine.
type Book struct {
	max    int
	others Meter

	mu   sync.RWMutex
	byID map[iot.Identity]*Meter
}

// DefaultMax is how many identities have a meter of their own.
const DefaultMax = 1000

// NewBook makes a book for so many identities; 0 means [DefaultMax].
func NewBook(max int) *Book {
	return &Book{max: cmp.Or(max, DefaultMax), byID: map[iot.Identity]*Meter{}}
}

// Of returns the meter of an identity. The zero identity is that of those who did
// not prove who they are.
func (b *Book) Of(id iot.Identity) *Meter {
	b.mu.RLock()
	m := b.byID[id]
	full := len(b.byID) >= b.max
	b.mu.RUnlock()
	switch {
	case m != nil:
		return m
	case full:
		return &b.others
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if m = b.byID[id]; m == nil {
		m = new(Meter)
		b.byID[id] = m
	}
	return m
}

// A Page is the figures of one identity.
type Page struct {
	ID     string // text form; [Others] for those beyond the limit
	Values []Value
}

// Pages returns all figures, by id.
func (b *Book) Pages() []Page {
	b.mu.RLock()
	meters := make(map[string]*Meter, len(b.byID)+1)
	for id, m := range b.byID {
		meters[text(id)] = m
	}
	b.mu.RUnlock()
	meters[Others] = &b.others
	pages := make([]Page, 0, len(meters))
	for id, m := range meters {
		if values := m.values(); len(values) > 0 {
			pages = append(pages, Page{id, values})
		}
	}
	slices.SortFunc(pages, func(a, b Page) int { return cmp.Compare(a.ID, b.ID) })
	return pages
}

// text is the identity's form, and empty for the one that names nothing.
func text(id iot.Identity) string {
	if id.IsZero() {
		return ""
	}
	return id.String()
}
