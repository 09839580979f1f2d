package gateway

import (
	"math/rand/v2"
	"sync"
	"time"

	"sluice/iot"
)

// How long lanes rest. A lane that the hub refuses rests twice as long each
// time, up to a minute; while the uplink as a whole is down, lanes wait for
// that and not for themselves.
const (
	offlineRest = 500 * time.Millisecond
	firstRest   = time.Second
	longestRest = time.Minute
)

// maxStrikes is how often the hub may end the connection at the same message,
// the uplink being up all the while, before that message is given up. The rests
// between add up to some five minutes.
const maxStrikes = 10

// singleAfter strikes a lane sends one message at a time, so that only the bad
// one is blamed.
const singleAfter = 3

// faults remembers the lanes that are in trouble, and only those.
type faults struct {
	mu   sync.Mutex
	byID map[iot.Identity]fault
}

type fault struct {
	tries   int
	head    uint64 // sequence number of the message that failed first
	strikes int    // times in a row that it was that one
}

// connect notes that the hub did not let an identity in.
func (f *faults) connect(id iot.Identity) (rest time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	x := f.byID[id]
	x.tries++
	f.put(id, x)
	return backoff(x.tries)
}

// send notes that the message numbered head, and those after it, failed. With
// final the hub said that it is the message's fault, of which it was one among
// several.
func (f *faults) send(id iot.Identity, head uint64, final bool) (rest time.Duration, strikes int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	x := f.byID[id]
	x.tries++
	if x.head != head {
		x.head, x.strikes = head, 0
	}
	x.strikes++
	if final {
		x.strikes = max(x.strikes, singleAfter)
	}
	f.put(id, x)
	return backoff(x.tries), x.strikes
}

// single reports whether an identity's messages shall go one at a time.
func (f *faults) single(id iot.Identity) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.byID[id].strikes >= singleAfter
}

func (f *faults) put(id iot.Identity, x fault) {
	if f.byID == nil {
		f.byID = make(map[iot.Identity]fault)
	}
	f.byID[id] = x
}

// clear forgets an identity's trouble.
func (f *faults) clear(id iot.Identity) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.byID, id)
}

// backoff is the rest after so many tries: exponential, and spread over half of
// itself, so that what failed together does not come back together.
func backoff(tries int) time.Duration {
	d := longestRest
	if tries < 7 {
		d = min(longestRest, firstRest<<(tries-1))
	}
	return d/2 + rand.N(d/2)
}
