package ledger

import (
	"fmt"
	"slices"
	"time"
)

// history is what all clients wrote down, gathered by message.
type history struct {
	messages []*message // in the order of the ledgers
	byName   map[name]*message
	home     map[string]string // sender to the file that holds its events
	streams  map[stream][]*receipt
	strays   []*receipt  // receipts of what was never sent there
	faults   []faultTime // by time
	end      time.Time   // of the last event
	torn     int
}

type name struct {
	sender string
	seq    uint64
}

// stream is what must arrive in order: one sender's messages at one endpoint.
type stream struct{ sender, endpoint string }

type message struct {
	name
	hash      uint64
	endpoints []string
	expires   time.Time
	place     Place // of the first attempt

	attempts        int
	first, last     int // positions of the attempts among all that was sent
	sentAt, ackedAt time.Time
	acknowledged    int
	refused         int
	receipts        map[string][]*receipt // by endpoint, in order of arrival
}

type receipt struct {
	name
	endpoint string
	as       string
	hash     uint64
	at       time.Time
	place    Place
	message  *message
}

type faultTime struct {
	what string
	at   time.Time
}

func gather(files []string) (*history, error) {
	h := &history{
		byName:  map[name]*message{},
		home:    map[string]string{},
		streams: map[stream][]*receipt{},
	}
	var received []*receipt
	for _, file := range files {
		torn, err := Read(file, func(p Place, e Event) error {
			if e.Kind == Received {
				received = append(received, newReceipt(p, e))
			}
			return h.add(p, e)
		})
		if err != nil {
			return nil, err
		}
		h.torn += torn
	}
	slices.SortStableFunc(h.faults, func(a, b faultTime) int { return a.at.Compare(b.at) })
	// A receiver's file may have been read before its senders'.
	for _, r := range received {
		if err := h.deliver(r); err != nil {
			return nil, err
		}
	}
	return h, nil
}

func newReceipt(p Place, e Event) *receipt {
	endpoint := ""
	if len(e.Endpoints) > 0 {
		endpoint = e.Endpoints[0]
	}
	return &receipt{name: name{e.Sender, e.Seq}, endpoint: endpoint, as: e.As, hash: e.Hash, at: e.Time, place: p}
}

// add takes in one event; receipts only move the end.
func (h *history) add(p Place, e Event) error {
	if e.Time.After(h.end) {
		h.end = e.Time
	}
	switch e.Kind {
	case Opened, Received:
		return nil
	case Fault:
		h.faults = append(h.faults, faultTime{e.Sender, e.Time})
		return nil
	case Sent:
		return h.sent(p, e)
	case Acknowledged, Refused, Unknown:
		return h.outcome(e)
	}
	return fmt.Errorf("unknown kind of event %q", e.Kind)
}

func (h *history) sent(p Place, e Event) error {
	if home, ok := h.home[e.Sender]; ok && home != p.File {
		return fmt.Errorf("sender %s has written to %s too, so its order cannot be known", e.Sender, home)
	}
	h.home[e.Sender] = p.File
	id := name{e.Sender, e.Seq}
	m := h.byName[id]
	if m == nil {
		m = &message{
			name: id, hash: e.Hash, endpoints: e.Endpoints, expires: e.Expires, place: p,
			first: p.Line, sentAt: e.Time, receipts: map[string][]*receipt{},
		}
		h.byName[id] = m
		h.messages = append(h.messages, m)
	}
	if m.hash != e.Hash || !slices.Equal(m.endpoints, e.Endpoints) {
		return fmt.Errorf("%s #%d was sent before with another body or to other endpoints", e.Sender, e.Seq)
	}
	m.attempts++
	m.last = p.Line
	return nil
}

func (h *history) outcome(e Event) error {
	m := h.byName[name{e.Sender, e.Seq}]
	if m == nil {
		return fmt.Errorf("%s #%d has an outcome before it was sent", e.Sender, e.Seq)
	}
	switch e.Kind {
	case Acknowledged:
		m.acknowledged++
		if m.acknowledged == 1 {
			m.ackedAt = e.Time
		}
	case Refused:
		m.refused++
	}
	return nil
}

func (h *history) deliver(r *receipt) error {
	m := h.byName[r.name]
	if m == nil || !slices.Contains(m.endpoints, r.endpoint) {
		r.message = m
		h.strays = append(h.strays, r)
		return nil
	}
	r.message = m
	s := stream{r.sender, r.endpoint}
	if before := h.streams[s]; len(before) > 0 && before[0].place.File != r.place.File {
		return fmt.Errorf("ledger %s: %s received from %s in %s too, so the order cannot be known",
			r.place, r.endpoint, r.sender, before[0].place)
	}
	h.streams[s] = append(h.streams[s], r)
	m.receipts[r.endpoint] = append(m.receipts[r.endpoint], r)
	return nil
}

// certainlyRefused reports that every attempt was answered with a refusal.
func (m *message) certainlyRefused() bool { return m.refused == m.attempts }

// A span is faults that follow each other, any of which may have caused a repeat.
type span struct{ first, last int }

// faultsBetween finds the faults in [from, to].
func (h *history) faultsBetween(from, to time.Time) (s span, ok bool) {
	at := func(f faultTime, t time.Time) int { return f.at.Compare(t) }
	first, _ := slices.BinarySearchFunc(h.faults, from, at)
	after, _ := slices.BinarySearchFunc(h.faults, to.Add(1), at)
	return span{first, after - 1}, first < after
}
