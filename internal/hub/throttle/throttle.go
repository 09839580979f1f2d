// Package throttle limits how often a hub does things, as IoT Hub limits a hub of some
// tier and size ("IoT Hub quotas and throttling"): an application that works here at
// that size will not be throttled there.
//
// Each kind of operation has a rate for the whole hub. As in IoT Hub's traffic shaping
// a minute's worth may be used at once; what comes then, above the rate, is refused.
package throttle

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Operation is a kind of operation that has a rate of its own.
type Operation uint8

// The operations.
const (
	Free     Operation = iota // is never refused
	Registry                  // create, get, list, change, delete identities
	Connect                   // new connections of devices
	Send                      // batches of messages from devices
	Command                   // sending cloud-to-device messages
	Upload                    // beginning file uploads
	Method                    // direct methods, in units of 4 KiB
	Query
	TwinRead
	TwinUpdate
	Job           // create, list, cancel jobs
	Configuration // create, change, list, delete configurations
	operations
)

// A rate is how many operations a second a hub of a tier may do: the larger of those
// for the hub and for each unit.
type rate struct{ hub, unit float64 }

const minute = 1.0 / 60

// rates are those of the three sizes of tiers, 1, 2 and 3.
var rates = [operations][3]rate{
	Registry:      {{0, 100 * minute}, {0, 100 * minute}, {0, 5000 * minute}},
	Connect:       {{100, 12}, {0, 120}, {0, 6000}},
	Send:          {{100, 12}, {0, 120}, {0, 6000}},
	Command:       {{0, 100 * minute}, {0, 100 * minute}, {0, 5000 * minute}},
	Upload:        {{0, 100 * minute}, {0, 100 * minute}, {0, 5000 * minute}},
	Method:        {{0, 160 / 4}, {0, 480 / 4}, {0, 24000 / 4}},
	Query:         {{0, 20 * minute}, {0, 20 * minute}, {0, 1000 * minute}},
	TwinRead:      {{100, 0}, {100, 10}, {0, 500}},
	TwinUpdate:    {{50, 0}, {50, 5}, {0, 250}},
	Job:           {{0, 100 * minute}, {0, 100 * minute}, {0, 5000 * minute}},
	Configuration: {{0, 20 * minute}, {0, 20 * minute}, {0, 20 * minute}},
}

// maxUnits is how many units a hub of each size has at most.
var maxUnits = [3]int{200, 200, 10}

// A Throttle keeps count for one hub. Its methods may be called from any goroutine. A
// nil Throttle refuses nothing.
type Throttle struct {
	now func() time.Time

	mu      sync.Mutex
	buckets [operations]bucket
}

// A bucket holds what may be done at once.
type bucket struct {
	rate float64 // operations a second
	left float64
	at   time.Time
}

// New makes a throttle for a hub such as S1x2: a tier, F1, B1 to B3 or S1 to S3, and
// how many units of it; S1 is S1x1. A nil now is time.Now.
func New(size string, now func() time.Time) (*Throttle, error) {
	tier, units, several := strings.Cut(strings.ToUpper(size), "X")
	n := 1
	if several {
		var err error
		if n, err = strconv.Atoi(units); err != nil {
			n = 0
		}
	}
	number := strings.Index("123", strings.TrimLeft(tier, "FBS"))
	if len(tier) != 2 || number < 0 || tier[0] == 'F' && (number > 0 || n > 1) || n < 1 || n > maxUnits[number] {
		return nil, fmt.Errorf("%q is no size of a hub: it is a tier and a number of units, such as S1x2", size)
	}
	if now == nil {
		now = time.Now
	}
	t := &Throttle{now: now}
	for op := range rates {
		r := rates[op][number]
		b := &t.buckets[op]
		b.rate = max(r.hub, r.unit*float64(n))
		b.left, b.at = b.burst(), now()
	}
	return t, nil
}

// burst is how much may be done at once.
func (b *bucket) burst() float64 { return max(b.rate*60, 1) }

// Take does n operations, or refuses them and says when to try again.
func (t *Throttle) Take(op Operation, n int) (again time.Duration, ok bool) {
	if t == nil || op == Free {
		return 0, true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	b, now := &t.buckets[op], t.now()
	b.left = min(b.left+max(now.Sub(b.at).Seconds(), 0)*b.rate, b.burst())
	b.at = now
	if missing := float64(n) - b.left; missing > 0 {
		return time.Duration(missing / b.rate * float64(time.Second)), false
	}
	b.left -= float64(n)
	return 0, true
}

// Units is how many operations a method with a payload of this many bytes counts for.
func Units(payload int) int { return max(1, (payload+4095)/4096) }
