// Package notices keeps what a hub has to tell its service applications: what became
// of commands, and which files devices have uploaded. Each kind has a [Queue], which
// is durable.
//
// A notice waits until an application takes it. It is locked then: the application
// says that it has it, and it is gone, or gives it back; one whose lock ends comes
// again. It ends unheard when nobody took it within its time to live, when it was
// taken too often, or when too many came after it.
//
// Notices are few and small; a queue holds them in memory, too.
package notices

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"sluice/internal/hub/storage"
)

// IoT Hub's defaults.
const (
	TTL           = time.Hour   // that a notice waits
	Lock          = time.Minute // until a notice that is not settled comes again
	MaxDeliveries = 100         // after which a notice is given up
)

// maxWaiting is how many notices of a queue wait; older ones make place for newer
// ones.
const maxWaiting = 10_000

// A Record is a notice in its JSON form.
type Record interface {
	// Time is when it was made.
	Time() time.Time
}

// Options are the knobs of a Queue. Kind is required.
type Options struct {
	Kind byte // the first of its keys' bytes, which it shares with nobody
	TTL  time.Duration
	Lock time.Duration
	Now  func() time.Time // wall clock; nil: time.Now
	Log  *slog.Logger     // nil discards
}

// A Queue is the notices of one kind. Its methods may be called from any goroutine.
type Queue[R Record] struct {
	docs storage.Documents
	opt  Options

	mu    sync.Mutex
	last  uint64
	ready []*Entry[R]
	out   map[*Entry[R]]*lease[R] // taken and not settled
	news  chan struct{}           // closed when something comes
}

// An Entry is a record with its place in a queue.
type Entry[R Record] struct {
	seq    uint64
	record R
	count  int // times taken, since the hub was started
}

// Open reads the notices that are in docs.
func Open[R Record](docs storage.Documents, opt Options) (*Queue[R], error) {
	if opt.TTL == 0 {
		opt.TTL = TTL
	}
	if opt.Lock == 0 {
		opt.Lock = Lock
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	q := &Queue[R]{docs: docs, opt: opt, out: map[*Entry[R]]*lease[R]{}, news: make(chan struct{})}
	if err := q.load(); err != nil {
		return nil, fmt.Errorf("open notices %q: %w", opt.Kind, err)
	}
	return q, nil
}

func (q *Queue[R]) load() error {
	return q.docs.Scan([]byte{q.opt.Kind}, []byte{q.opt.Kind + 1}, func(key, value []byte) (bool, error) {
		if len(key) != 9 {
			return false, errors.New("corrupt key")
		}
		e := &Entry[R]{seq: binary.BigEndian.Uint64(key[1:])}
		if err := json.Unmarshal(value, &e.record); err != nil {
			return false, err
		}
		q.last = e.seq
		q.ready = append(q.ready, e)
		return true, nil
	})
}

func (q *Queue[R]) key(seq uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{q.opt.Kind}, seq)
}

// Add writes records into a batch. When that is stored they are to be shown.
func (q *Queue[R]) Add(b *storage.Batch, records ...R) ([]*Entry[R], error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	entries := make([]*Entry[R], len(records))
	for i, r := range records {
		q.last++
		entries[i] = &Entry[R]{seq: q.last, record: r}
		value, err := json.Marshal(r)
		if err != nil {
			return nil, err
		}
		b.Set(q.key(q.last), value)
	}
	return entries, nil
}

// Show lets applications have entries that are stored.
func (q *Queue[R]) Show(entries []*Entry[R]) {
	if len(entries) == 0 {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ready = append(q.ready, entries...)
	if over := len(q.ready) - maxWaiting; over > 0 {
		q.drop(q.ready[:over])
		q.ready = q.ready[over:]
	}
	q.ring()
}

// ring wakes who waits. q.mu is held.
func (q *Queue[R]) ring() {
	close(q.news)
	q.news = make(chan struct{})
}

// drop removes entries for good. q.mu is held. One that comes again after a crash
// does no harm, so nothing is synced.
func (q *Queue[R]) drop(entries []*Entry[R]) {
	var b storage.Batch
	for _, e := range entries {
		b.Delete(q.key(e.seq))
	}
	if len(b) == 0 {
		return
	}
	if err := q.docs.Note(b); err != nil {
		q.opt.Log.Error("notices are kept: they could not be removed", "notices", len(b), "err", err)
	}
}

// A lease is notices that an application has.
type lease[R Record] struct {
	entries []*Entry[R]
	until   time.Time // of the lock
}

// Take returns at most max notices that wait, oldest first. If there are none, the
// lease is nil, and more is closed when there may be some.
func (q *Queue[R]) Take(max int) (taken *storage.Lease[R], more <-chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.forgetOld()
	n := min(max, len(q.ready))
	if n == 0 {
		return nil, q.news
	}
	l := &lease[R]{entries: slices.Clone(q.ready[:n]), until: q.opt.Now().Add(q.opt.Lock)}
	taken = &storage.Lease[R]{Count: l.entries[0].count, Settle: func(done bool) { q.settle(l, done) }}
	q.ready = q.ready[n:]
	for _, e := range l.entries {
		e.count++
		q.out[e] = l
		taken.Records = append(taken.Records, e.record)
	}
	return taken, nil
}

// forgetOld ends what has waited too long. q.mu is held.
func (q *Queue[R]) forgetOld() {
	limit := q.opt.Now().Add(-q.opt.TTL)
	n := 0
	for n < len(q.ready) && q.ready[n].record.Time().Before(limit) {
		n++
	}
	q.drop(q.ready[:n])
	q.ready = q.ready[n:]
}

// settle ends a lease. Notices whose lock has ended are another's.
func (q *Queue[R]) settle(l *lease[R], done bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	var held []*Entry[R]
	for _, e := range l.entries {
		if q.out[e] == l {
			delete(q.out, e)
			held = append(held, e)
		}
	}
	if done {
		q.drop(held)
		return
	}
	q.giveBack(held)
}

// giveBack has notices wait again, or ends those that were taken too often. q.mu is
// held.
func (q *Queue[R]) giveBack(entries []*Entry[R]) {
	n := len(entries)
	entries = slices.DeleteFunc(entries, func(e *Entry[R]) bool {
		if e.count < MaxDeliveries {
			return false
		}
		q.drop([]*Entry[R]{e})
		return true
	})
	if n == 0 {
		return
	}
	q.ready = append(entries, q.ready...)
	slices.SortFunc(q.ready, func(a, b *Entry[R]) int { return int(int64(a.seq - b.seq)) })
	q.ring()
}

// Sweep ends locks whose time is over, and what has waited too long. It is to be
// called every second or so.
func (q *Queue[R]) Sweep() {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.opt.Now()
	var back []*Entry[R]
	for e, l := range q.out {
		if !now.Before(l.until) {
			delete(q.out, e)
			back = append(back, e)
		}
	}
	q.giveBack(back)
	q.forgetOld()
}
