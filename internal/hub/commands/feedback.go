package commands

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// A Record is what a sender is told of a command's end, in IoT Hub's words.
type Record struct {
	OriginalMessageID  string    `json:"originalMessageId"`
	Description        string    `json:"description"`
	DeviceGenerationID string    `json:"deviceGenerationId"`
	DeviceID           string    `json:"deviceId"`
	ModuleID           string    `json:"moduleId,omitempty"`
	EnqueuedTime       time.Time `json:"enqueuedTimeUtc"` // of the end
	StatusCode         string    `json:"statusCode"`
}

// feedbackTTL is how long a record waits for a reader.
const feedbackTTL = time.Hour

// maxFeedback is how many records wait; older ones make place for newer ones.
const maxFeedback = 10_000

// Feedback is the records that wait for a reader. Its methods may be called from
// any goroutine.
type Feedback struct {
	db  *pebble.DB
	opt Options

	mu    sync.Mutex
	last  uint64
	ready []entry
	out   map[uint64]entry // taken and not settled
	news  chan struct{}    // closed when something comes
}

type entry struct {
	seq uint64
	Record
}

const feedbackKey = 'b'

func recordKey(seq uint64) []byte { return binary.BigEndian.AppendUint64([]byte{feedbackKey}, seq) }

func openFeedback(db *pebble.DB, opt Options) (f *Feedback, err error) {
	f = &Feedback{db: db, opt: opt, out: map[uint64]entry{}, news: make(chan struct{})}
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte{feedbackKey}, UpperBound: []byte{feedbackKey + 1}})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return nil, err
		}
		if len(it.Key()) != 9 {
			return nil, errCorrupt
		}
		e := entry{seq: binary.BigEndian.Uint64(it.Key()[1:])}
		if err := json.Unmarshal(value, &e.Record); err != nil {
			return nil, err
		}
		f.last = e.seq
		f.ready = append(f.ready, e)
	}
	return f, it.Error()
}

// add writes records into a batch.
func (f *Feedback) add(b *pebble.Batch, records []Record) ([]entry, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	entries := make([]entry, len(records))
	for i, r := range records {
		f.last++
		entries[i] = entry{f.last, r}
		value, err := json.Marshal(r)
		if err == nil {
			err = b.Set(recordKey(f.last), value, nil)
		}
		if err != nil {
			return nil, err
		}
	}
	return entries, nil
}

// show lets readers have entries that are stored.
func (f *Feedback) show(entries []entry) {
	if len(entries) == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ready = append(f.ready, entries...)
	if over := len(f.ready) - maxFeedback; over > 0 {
		f.drop(f.ready[:over])
		f.ready = f.ready[over:]
	}
	close(f.news)
	f.news = make(chan struct{})
}

// drop removes records for good. f.mu is held. One that comes again after a crash
// does no harm, so nothing is synced.
func (f *Feedback) drop(entries []entry) {
	for _, e := range entries {
		if err := f.db.Delete(recordKey(e.seq), pebble.NoSync); err != nil {
			f.opt.Log.Error("a feedback record is kept: it could not be removed", "err", err)
		}
	}
}

// Lease is records that a reader has and must settle.
type Lease struct {
	Records []Record
	f       *Feedback
	entries []entry
}

// Take returns at most max records that wait, oldest first. If there are none,
// the lease is nil, and more is closed when there may be some.
func (f *Feedback) Take(max int) (lease *Lease, more <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.forgetOld()
	n := min(max, len(f.ready))
	if n == 0 {
		return nil, f.news
	}
	lease = &Lease{f: f, entries: f.ready[:n:n]}
	f.ready = f.ready[n:]
	for _, e := range lease.entries {
		f.out[e.seq] = e
		lease.Records = append(lease.Records, e.Record)
	}
	return lease, nil
}

func (f *Feedback) forgetOld() {
	limit := f.opt.Now().Add(-feedbackTTL)
	n := 0
	for n < len(f.ready) && f.ready[n].EnqueuedTime.Before(limit) {
		n++
	}
	f.drop(f.ready[:n])
	f.ready = f.ready[n:]
}

// Settle ends a lease: with done its records are gone, else they are there again.
func (l *Lease) Settle(done bool) {
	f := l.f
	f.mu.Lock()
	defer f.mu.Unlock()
	var back []entry
	for _, e := range l.entries {
		if _, held := f.out[e.seq]; held {
			delete(f.out, e.seq)
			back = append(back, e)
		}
	}
	if done {
		f.drop(back)
		return
	}
	if len(back) > 0 {
		f.ready = append(back, f.ready...)
		close(f.news)
		f.news = make(chan struct{})
	}
}
