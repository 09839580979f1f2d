package commands

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"sluice/internal/disk"
	"sluice/internal/hub/code"
	"sluice/internal/hub/documents"
	"sluice/internal/hub/notices"
	"sluice/internal/hub/storage"
	"sluice/iot"
)

// IoT Hub's limits and defaults.
const (
	MaxDeliveries = 10        // after which a command is given up
	DefaultTTL    = time.Hour // of a command that names no expiry
	MaxTTL        = 48 * time.Hour
	DefaultLock   = time.Minute // until a delivery that is not settled comes again
)

// Options are the knobs of a Store. Generation is required.
type Options struct {
	// Generation returns the generation of an identity, or false if there is no
	// such identity. Commands of another generation are nobody's.
	Generation func(iot.Identity) (string, bool)

	Lock time.Duration    // 0: DefaultLock
	TTL  time.Duration    // 0: DefaultTTL
	Now  func() time.Time // wall clock; nil: time.Now
	Log  *slog.Logger     // nil discards
}

// A Store holds the commands of one hub. Its methods may be called from any
// goroutine.
type Store struct {
	db       *pebble.DB
	opt      Options
	feedback *feedback

	mu     sync.Mutex
	queues map[iot.Identity]*queue // those that hold a command or have a receiver
	last   uint64                  // sequence number
}

var _ storage.Commands = (*Store)(nil)

// Open reads the commands that are in db, which stays the caller's to close,
// after the last use of the Store.
func Open(db *pebble.DB, opt Options) (*Store, error) {
	if opt.Lock == 0 {
		opt.Lock = DefaultLock
	}
	if opt.TTL == 0 {
		opt.TTL = DefaultTTL
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	s := &Store{db: db, opt: opt, queues: map[iot.Identity]*queue{}}
	if err := s.load(); err != nil {
		return nil, fmt.Errorf("open commands: %w", err)
	}
	var err error
	s.feedback, err = notices.Open[storage.FeedbackRecord](documents.New(db), notices.Options{Kind: feedbackKey, Now: opt.Now, Log: opt.Log})
	if err != nil {
		return nil, fmt.Errorf("open feedback: %w", err)
	}
	return s, nil
}

func (s *Store) load() error {
	return disk.Each(s.db, []byte{commandKey}, func(key, value []byte) error {
		id, seq, err := parseKey(key)
		if err != nil {
			return err
		}
		h, _, err := parseRecord(value)
		if err != nil {
			return fmt.Errorf("command %d of %s: %w", seq, id, err)
		}
		s.last = max(s.last, seq)
		s.queue(id).add(&command{seq: seq, header: h})
		return nil
	})
}

// queue returns the queue of an identity, and makes it. s.mu is held, or the
// store is being opened.
func (s *Store) queue(id iot.Identity) *queue {
	q := s.queues[id]
	if q == nil {
		q = &queue{store: s, id: id}
		s.queues[id] = q
	}
	return q
}

// Send stores a command for target. Errors carry a [code.Code]: DeviceNotFound or
// ModuleNotFound, QueueDepthExceeded, MessageTooLarge, ArgumentInvalid.
func (s *Store) Send(target iot.Identity, m iot.Message) error {
	generation, ok := s.opt.Generation(target)
	if !ok {
		return notFound(target)
	}
	h, err := s.admit(target, generation, &m)
	if err != nil {
		return err
	}
	c, err := s.reserve(target, h)
	if err != nil {
		return err
	}
	value, err := appendRecord(nil, h, &m)
	if err == nil {
		err = s.db.Set(keyOf(target, c.seq), value, pebble.Sync)
	}
	s.mu.Lock()
	q := s.queue(target)
	q.arriving--
	if err != nil {
		s.mu.Unlock()
		return &iot.Error{Kind: iot.Internal, Op: "command", Identity: target, Err: err}
	}
	q.add(c)
	ready := q.match()
	s.mu.Unlock()
	s.serve(ready)
	return nil
}

func notFound(id iot.Identity) error {
	if id.IsModule() {
		return code.Errorf(code.ModuleNotFound, "command", id, "module '%s' is not registered on device '%s'", id.Module, id.Device)
	}
	return code.Errorf(code.DeviceNotFound, "command", id, "device '%s' is not registered", id.Device)
}

// admit checks a command and finds when it expires.
func (s *Store) admit(id iot.Identity, generation string, m *iot.Message) (header, error) {
	if n := m.Size(); n > storage.MaxCommandSize {
		return header{}, code.Errorf(code.MessageTooLarge, "command", id, "it has %d bytes; the limit is %d", n, storage.MaxCommandSize)
	}
	now := s.opt.Now()
	h := header{generation: generation, enqueued: now, expires: now.Add(s.opt.TTL)}
	if m.System.Get(iot.ExpiryTime) != "" {
		h.expires = m.Expiry()
		if h.expires.IsZero() || h.expires.After(now.Add(MaxTTL)) {
			return header{}, code.Errorf(code.ArgumentInvalid, "command", id, "expiry %q: it must be a time at most %v from now", m.System.Get(iot.ExpiryTime), MaxTTL)
		}
	}
	var ok bool
	if h.ack, ok = parseAck(m.System.Get(iot.Ack)); !ok {
		return header{}, code.Errorf(code.ArgumentInvalid, "command", id, "iothub-ack %q: it must be none, positive, negative or full", m.System.Get(iot.Ack))
	}
	h.messageID = m.System.Get(iot.MessageID)
	return h, nil
}

// reserve takes a place in the queue.
func (s *Store) reserve(id iot.Identity, h header) (*command, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queue(id)
	if len(q.commands)+q.arriving >= storage.MaxCommands {
		return nil, code.Errorf(code.QueueDepthExceeded, "command", id, "its queue holds %d commands, the limit", storage.MaxCommands)
	}
	q.arriving++
	s.last++
	return &command{seq: s.last, header: h}, nil
}

// Count is how many commands wait for an identity.
func (s *Store) Count(id iot.Identity) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if q := s.queues[id]; q != nil {
		return len(q.commands)
	}
	return 0
}

// Purge ends all commands of an identity, and returns how many there were.
func (s *Store) Purge(id iot.Identity) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[id]
	if q == nil {
		return 0, nil
	}
	ended := q.commands
	return len(ended), s.end(q, ended, purged)
}

// Forget removes the commands of an identity that was deleted, without feedback.
func (s *Store) Forget(id iot.Identity) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[id]
	if q == nil {
		return nil
	}
	return s.end(q, q.commands, forgotten)
}

// end removes commands for good, with their feedback. s.mu is held.
func (s *Store) end(q *queue, ended []*command, why result) error {
	if len(ended) == 0 {
		return nil
	}
	b := s.db.NewBatch()
	defer b.Close() //nolint:errcheck // committed, or given up
	var records []storage.FeedbackRecord
	for _, c := range ended {
		if err := b.Delete(keyOf(q.id, c.seq), nil); err != nil {
			return failed(q.id, err)
		}
		if c.wants(why) {
			records = append(records, c.record(q.id, why, s.opt.Now()))
		}
	}
	var told storage.Batch
	entries, err := s.feedback.Add(&told, records...)
	if err == nil {
		err = documents.Append(b, told)
	}
	if err == nil {
		err = b.Commit(pebble.Sync)
	}
	if err != nil {
		return failed(q.id, err)
	}
	s.feedback.Show(entries)
	q.remove(ended)
	s.tidy(q)
	return nil
}

// tidy forgets a queue that holds nothing. s.mu is held.
func (s *Store) tidy(q *queue) {
	if len(q.commands) == 0 && q.arriving == 0 && q.receiver == nil && s.queues[q.id] == q {
		delete(s.queues, q.id)
	}
}

func failed(id iot.Identity, err error) error {
	return &iot.Error{Kind: iot.Internal, Op: "command", Identity: id, Err: err}
}

// sweepEvery is how often commands that expired, and locks that ended, are looked
// for.
const sweepEvery = time.Second

// Run ends what expires, and gives back what is not settled, until ctx ends.
func (s *Store) Run(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.sweep()
			s.feedback.Sweep()
		}
	}
}

func (s *Store) sweep() {
	s.mu.Lock()
	var ready []*receiver
	for _, q := range s.queues {
		if err := q.expire(); err != nil {
			s.opt.Log.Error("expired commands are kept: they could not be removed", "identity", q.id, "err", err)
		}
		ready = append(ready, q.match())
	}
	s.mu.Unlock()
	for _, r := range ready {
		s.serve(r)
	}
}

// The key of a command.
const commandKey = 'c'

func keyOf(id iot.Identity, seq uint64) []byte {
	k := append([]byte{commandKey}, id.Device...)
	k = append(k, 0)
	k = append(k, id.Module...)
	k = append(k, 0)
	return binary.BigEndian.AppendUint64(k, seq)
}
