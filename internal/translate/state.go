package translate

import (
	"math/rand/v2"
	"time"

	"sluice/internal/leafwire"
)

// A State is what is known about a leaf's device at the hub.
type State string

// The states.
const (
	Fresh       State = "new"         // never asked for, or to be asked for again
	Registering State = "registering" // asked for, and not answered
	Registered  State = "registered"
	Refused     State = "refused"
	Retiring    State = "retiring" // its translator retires it; asked for, and not answered
	Disabled    State = "disabled"
	Deleted     State = "deleted"
)

// Leaf is what is kept of a leaf.
type Leaf struct {
	ID    string
	State State
	Since time.Time // of the state

	// Operation is what the cloud was asked for last: create in state Registering,
	// disable or delete in state Retiring.
	Operation leafwire.Operation `json:",omitempty"`
	// Tries is how often it was asked in vain, and Due when it is to be asked
	// again. In state Refused, Due is when the refusal is forgotten.
	Tries int       `json:",omitzero"`
	Due   time.Time `json:",omitzero"`
	// Retired is the number of the kept message by which the leaf was retired last:
	// it and all before it have had their effect.
	Retired uint64 `json:",omitzero"`
	// Reason is why the leaf is in its state, for people.
	Reason string `json:",omitempty"`

	// Module is the translator that spoke last for the leaf.
	Module string `json:",omitempty"`
	// Hello is what it said the leaf supports; nil if it did not say.
	Hello *leafwire.Hello `json:",omitempty"`
}

// Patience is how often things are tried, and when they are given up.
type Patience struct {
	// AskAgain is when a request that is not answered is repeated for the first
	// time; each later time is twice as long, at most AskLongest, and anything
	// between half of it and all of it.
	AskAgain, AskLongest time.Duration
	// Refusal is how long a refusal is remembered.
	Refusal time.Duration
	// Doubt is how long the gateway may refuse a registered leaf's session before
	// the leaf is registered anew; six times as long after it was registered, since
	// a gateway learns of a new device with a delay.
	Doubt time.Duration
	// Retry and RetryLongest are the same as AskAgain and AskLongest, for sessions.
	Retry, RetryLongest time.Duration
}

var defaultPatience = Patience{
	AskAgain: 30 * time.Second, AskLongest: 15 * time.Minute,
	Refusal: 10 * time.Minute, Doubt: 5 * time.Minute,
	Retry: time.Second, RetryLongest: time.Minute,
}

// backoff is the pause after so many tries: half of it is certain, the rest is by
// chance, so that ten thousand leaves do not come at once again.
func backoff(first, longest time.Duration, tries int) time.Duration {
	d := longest
	if tries < 30 && first<<tries > 0 {
		d = min(longest, first<<tries)
	}
	return d/2 + rand.N(d/2+1)
}

// become is l in another state.
func (l Leaf) become(s State, reason string, now time.Time) Leaf {
	l.State, l.Since, l.Reason = s, now, reason
	l.Tries, l.Due, l.Operation = 0, time.Time{}, ""
	return l
}

// asked is l after a request to the cloud was sent.
func (l Leaf) asked(p *Patience, now time.Time) Leaf {
	if l.State == Fresh {
		l = l.become(Registering, "", now)
		l.Operation = leafwire.Create
	}
	l.Due = now.Add(backoff(p.AskAgain, p.AskLongest, l.Tries))
	l.Tries++
	return l
}

// retire is l when its translator has no more of it.
func (l Leaf) retire(op leafwire.Operation, now time.Time) Leaf {
	l = l.become(Retiring, "its translator retired it", now)
	l.Operation, l.Due = op, now
	return l
}

// answered is l after the cloud's answer; unchanged if the answer changes nothing.
// An answer may come twice, late, or without a question: somebody at the hub may
// bring a refused leaf in, or a registered one out.
func (l Leaf) answered(c leafwire.Callback, p *Patience, now time.Time) Leaf {
	op := c.Operation
	if op == "" { // the sample does not say
		op = leafwire.Create
		if l.State == Retiring {
			op = l.Operation
		}
	}
	if op == leafwire.Create {
		return l.created(c, p, now)
	}
	done := c.Succeeded() || l.State == Retiring && c.ResultCode == 404
	switch {
	case done && op == leafwire.Delete:
		return l.become(Deleted, c.Description, now)
	case done:
		return l.become(Disabled, c.Description, now)
	case l.State == Retiring && op == l.Operation && c.Refused():
		return l.become(Registered, c.Description, now)
	}
	return l
}

func (l Leaf) created(c leafwire.Callback, p *Patience, now time.Time) Leaf {
	switch {
	case l.State == Retiring, l.State == Registered:
		return l
	case c.Succeeded():
		return l.become(Registered, c.Description, now)
	case c.Refused() && (l.State == Fresh || l.State == Registering):
		l = l.become(Refused, c.Description, now)
		l.Due = now.Add(p.Refusal)
	case l.State == Registering:
		l.Reason = c.Description // it may pass; asked again when it is due
	}
	return l
}

// doubted is l when the gateway has refused its session for too long.
func (l Leaf) doubted(now time.Time) Leaf {
	return l.become(Fresh, "the gateway refuses its session", now)
}

// spoke is l when its translator sent something: after a refusal is forgotten, or
// the device deleted, that is first contact again. A disabled leaf comes back by a
// hello only, so that what it still had to say does not bring it back.
func (l Leaf) spoke(hello bool, now time.Time) Leaf {
	switch {
	case l.State == Refused && !now.Before(l.Due),
		l.State == Deleted,
		l.State == Disabled && hello:
		return l.become(Fresh, "", now)
	}
	return l
}

// open reports whether the leaf's lane may be read.
func (l *Leaf) open() bool { return l.State == Registered }

// asks reports whether the cloud has something to answer.
func (l *Leaf) asks() bool { return l.State == Fresh || l.State == Registering || l.State == Retiring }

// clamp is l with a Due that can be: a clock that was set back must not hold a leaf
// off for longer than anything is held off.
func (l Leaf) clamp(p *Patience, now time.Time) Leaf {
	longest := p.AskLongest
	if l.State == Refused {
		longest = p.Refusal
	}
	if l.Due.Sub(now) > longest {
		l.Due = now.Add(longest)
	}
	return l
}

// operation is what the cloud is to be asked for.
func (l *Leaf) operation() leafwire.Operation {
	if l.State == Retiring {
		return l.Operation
	}
	return leafwire.Create
}
