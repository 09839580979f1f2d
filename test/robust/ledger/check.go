package ledger

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"time"
)

// Rules are what a run is held to. The zero value is usable.
type Rules struct {
	// Slack is how far from a fault a receipt may lie and still have been in
	// flight at it: the time that acknowledgements may take to become durable,
	// and receivers to note what they received. 0 means 2 s.
	Slack time.Duration

	// Window is how many messages the system may have in flight and so repeat
	// at one fault, all senders and endpoints together. 0 means any number.
	Window int

	// Offenders is how many violations of each breach the report describes; all
	// are counted. 0 means 10.
	Offenders int
}

// CheckDir checks all files of dir named *.ledger.
func CheckDir(dir string, rules Rules) (*Report, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.ledger"))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("no ledgers in %s", dir)
	}
	return Check(files, rules)
}

// Check reads the ledgers and reports what they prove. An error means that
// they prove nothing: one cannot be read, is damaged, or contradicts itself.
func Check(files []string, rules Rules) (*Report, error) {
	h, err := gather(files)
	if err != nil {
		return nil, err
	}
	c := checker{history: h, rules: rules, report: newReport(cmp.Or(rules.Offenders, 10))}
	c.rules.Slack = cmp.Or(rules.Slack, 2*time.Second)
	c.count()
	for _, m := range h.messages {
		c.outcome(m)
		for _, endpoint := range m.endpoints {
			c.arrival(m, endpoint)
			c.repeats(m, endpoint)
		}
	}
	c.receipts()
	c.order()
	c.windows()
	return c.report, nil
}

type checker struct {
	*history
	rules   Rules
	report  *Report
	excused []span // of each repeat, the faults that excuse it
}

func (c *checker) count() {
	r := c.report
	r.Messages, r.Faults, r.Torn = len(c.messages), len(c.faults), c.torn
	for _, m := range c.messages {
		switch {
		case m.acknowledged > 0:
			r.Acknowledged++
		case m.certainlyRefused():
			r.Refused++
		default:
			r.Unknown++
		}
	}
}

// outcome holds the answer that a sender got against what was received.
func (c *checker) outcome(m *message) {
	if !m.certainlyRefused() {
		return
	}
	for _, endpoint := range m.endpoints {
		if got := m.receipts[endpoint]; len(got) > 0 {
			c.report.add(Contradicted, got[0], "refused in all %d attempts, the first at %s", m.attempts, m.place)
		}
	}
}

// arrival finds what was acknowledged and never came.
func (c *checker) arrival(m *message, endpoint string) {
	switch {
	case m.acknowledged == 0 || len(m.receipts[endpoint]) > 0:
	case !m.expires.IsZero() && !m.expires.After(c.end):
		c.report.Expired++
	default:
		missing := &receipt{name: m.name, endpoint: endpoint, place: m.place}
		c.report.add(Lost, missing, "sent %s, acknowledged %s, never received", clock(m.sentAt), clock(m.ackedAt))
	}
}

// repeats finds receipts after the first that nothing excuses. The copies of a
// message that was sent several times come once each, and once more each after a
// fault that they were in flight at.
func (c *checker) repeats(m *message, endpoint string) {
	resent := m.attempts - 1
	got := m.receipts[endpoint]
	for i := 1; i < len(got); i++ {
		faults, inFlight := c.inFlight(m, got[i-1], got[i])
		switch {
		case inFlight:
			c.excused = append(c.excused, faults)
			c.report.InFlight++
			resent = m.attempts - 1
		case resent > 0:
			resent--
			c.report.Resent++
		default:
			c.report.add(Repeated, got[i], "received %s, at %s %s later, and at no fault between was it in flight",
				clock(got[i-1].at), got[i].place, got[i].at.Sub(got[i-1].at).Round(time.Millisecond))
		}
	}
}

// inFlight finds the faults that excuse a receipt after the one before it:
// either the system had delivered the message and may not have noted that, or
// the sender had sent it and had no answer.
func (c *checker) inFlight(m *message, before, again *receipt) (faults span, ok bool) {
	from, to := before.at.Add(-c.rules.Slack), before.at.Add(c.rules.Slack)
	if faults, ok := c.faultsBetween(from, earlier(to, again.at)); ok {
		return faults, true
	}
	until := again.at
	if m.acknowledged > 0 {
		until = earlier(until, m.ackedAt)
	}
	return c.faultsBetween(m.sentAt, until)
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// receipts judges each receipt by itself.
func (c *checker) receipts() {
	for _, r := range c.strays {
		c.report.Received++
		if r.message == nil {
			c.report.add(Phantom, r, "never sent")
		} else {
			c.report.add(Phantom, r, "sent at %s, to %v only", r.message.place, r.message.endpoints)
		}
	}
	for _, m := range c.messages {
		for _, endpoint := range m.endpoints {
			for _, r := range m.receipts[endpoint] {
				c.receipt(r)
			}
		}
	}
}

func (c *checker) receipt(r *receipt) {
	c.report.Received++
	if r.hash != r.message.hash {
		c.report.add(Corrupted, r, "sent at %s with hash %016x, received with %016x", r.message.place, r.message.hash, r.hash)
	}
	if r.as != r.sender {
		c.report.add(Misattributed, r, "received as from %q", r.as)
	}
}

// order finds messages that were overtaken. Only first receipts count. A
// message whose fate its sender did not know may come at any time, and one that
// was sent again is ordered by its last attempt when it is overtaken and by its
// first when it overtakes.
func (c *checker) order() {
	streams := make([]stream, 0, len(c.streams))
	for s := range c.streams {
		streams = append(streams, s)
	}
	slices.SortFunc(streams, func(a, b stream) int {
		return cmp.Or(cmp.Compare(a.sender, b.sender), cmp.Compare(a.endpoint, b.endpoint))
	})
	for _, s := range streams {
		var newest *receipt // of those received so far, the one sent last
		for _, r := range c.streams[s] {
			if r.message.receipts[r.endpoint][0] != r {
				continue
			}
			if newest != nil && r.message.acknowledged > 0 && newest.message.first > r.message.last {
				c.report.add(Reordered, r, "sent at %s, overtaken by #%d, sent at %s and received at %s",
					r.message.place, newest.seq, newest.message.place, newest.place)
			}
			if newest == nil || r.message.first > newest.message.first {
				newest = r
			}
		}
	}
}

// windows holds the repeats that faults excuse against the number that can have been
// in flight at each. What several faults may have caused is counted where there is
// room: taken in the order of their last, each at the first that has some, as many
// find a place as can.
func (c *checker) windows() {
	if c.rules.Window == 0 {
		return
	}
	slices.SortFunc(c.excused, func(a, b span) int { return cmp.Compare(a.last, b.last) })
	repeats, over := make([]int, len(c.faults)), make([]int, len(c.faults))
	for _, s := range c.excused {
		at := s.first
		for at < s.last && repeats[at] == c.rules.Window {
			at++
		}
		if repeats[at] < c.rules.Window {
			repeats[at]++
		} else {
			over[s.last]++
		}
	}
	for i, n := range over {
		if n > 0 {
			c.report.addText(Repeated, "%d messages repeated at the fault %s of %s, but no more than %d can have been in flight",
				c.rules.Window+n, c.faults[i].what, clock(c.faults[i].at), c.rules.Window)
		}
	}
}
