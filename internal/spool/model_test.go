package spool

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"
)

// A model is a store in a hundred lines: slices in a map.
type model struct {
	strands map[strandKey][]modelRecord
	letters map[string]bool // dead letters, by what a letter is told by
	clock   *testClock
}

type modelRecord struct {
	data    string
	expires time.Time
}

func (m *model) expired(r modelRecord) bool {
	return !r.expires.IsZero() && !m.clock.Now().Before(r.expires)
}

// lanes returns the priority of the most urgent live record of each lane.
func (m *model) lanes(queue string) map[string]uint32 {
	out := map[string]uint32{}
	for k, recs := range m.strands {
		live := slices.ContainsFunc(recs, func(r modelRecord) bool { return !m.expired(r) })
		if best, ok := out[k.lane]; k.queue == queue && live && (!ok || k.priority < best) {
			out[k.lane] = k.priority
		}
	}
	return out
}

// most returns the highest urgency that a lane can be given for: the store may not
// have noticed yet that a record has expired.
func (m *model) most(queue, lane string) (best uint32, ok bool) {
	for k := range m.strands {
		if k.queue == queue && k.lane == lane && (!ok || k.priority < best) {
			best, ok = k.priority, true
		}
	}
	return best, ok
}

// order returns a lane's live records in the order in which they are read, and
// forgets the expired ones among them.
func (m *model) order(queue, lane string) (data []string) {
	var priorities []uint32
	for k := range m.strands {
		if k.queue == queue && k.lane == lane {
			priorities = append(priorities, k.priority)
		}
	}
	slices.Sort(priorities)
	for _, p := range priorities {
		for _, r := range m.strands[strandKey{queue, lane, p}] {
			if !m.expired(r) {
				data = append(data, r.data)
			}
		}
	}
	return data
}

func (m *model) remove(queue, lane string, gone func(modelRecord) bool) {
	for k, recs := range m.strands {
		if k.queue == queue && (lane == "*" || k.lane == lane) {
			m.strands[k] = slices.DeleteFunc(recs, gone)
			if len(m.strands[k]) == 0 {
				delete(m.strands, k)
			}
		}
	}
}

func (m *model) length(queue string) (n uint64) {
	for k, recs := range m.strands {
		if k.queue == queue {
			n += uint64(len(recs))
		}
	}
	return n
}

// A trial runs the same random operations on a store and on the model.
type trial struct {
	testing.TB
	rng    *rand.Rand
	fs     *vfs.MemFS
	s      *Store
	m      model
	serial int

	journal int64 // bytes: how often there is a checkpoint
}

func (tr *trial) open() {
	tr.Helper()
	s, err := Open("/s", Options{
		FS: tr.fs, Now: tr.m.clock.Now, WindowBytes: 1500,
		JournalBytes: tr.journal, AckDelay: 50 * time.Microsecond, SweepEvery: time.Hour, BallastBytes: -1,
	})
	if err != nil {
		tr.Fatal(err)
	}
	tr.s = s
}

// kill goes on with the disk as it is, without the store having been closed.
func (tr *trial) kill() {
	put(tr, tr.s) // what was settled is durable
	disk := tr.fs.CrashClone(vfs.CrashCloneCfg{})
	if err := tr.s.Close(); err != nil {
		tr.Fatal(err)
	}
	tr.fs = disk
	tr.open()
}

func (tr *trial) queue() string { return fmt.Sprint("q", tr.rng.IntN(3)) }

func (tr *trial) step() {
	switch n := tr.rng.IntN(100); {
	case n < 45:
		tr.append()
	case n < 85:
		tr.deliver(tr.queue())
	case n < 90:
		tr.m.clock.step(time.Duration(tr.rng.IntN(900)) * time.Millisecond)
	case n < 93:
		tr.sweep()
	case n < 95:
		tr.purge(tr.queue())
	case n < 97:
		tr.requeue()
	case n < 98:
		if err := tr.s.Close(); err != nil {
			tr.Fatal(err)
		}
		tr.open()
	default:
		tr.kill()
	}
	tr.check()
	if tr.rng.IntN(8) == 0 {
		checkShared(tr, tr.s)
	}
}

func (tr *trial) append() {
	var entries []Entry
	places := tr.rng.Perm(9) // queues and lanes: no two records with the same data share one
	for i := range 1 + tr.rng.IntN(4) {
		e := Entry{
			Queue: fmt.Sprint("q", places[i]%3), Lane: fmt.Sprint("l", places[i]/3), Priority: uint32(tr.rng.IntN(3)) * 1_000_000_000,
		}
		if i > 0 && tr.rng.IntN(2) == 0 {
			e.Data = entries[i-1].Data
		} else {
			tr.serial++
			e.Data = fmt.Appendf(nil, "%d", tr.serial)
		}
		if tr.rng.IntN(5) == 0 {
			e.Expires = tr.m.clock.Now().Add(time.Duration(tr.rng.IntN(3000)) * time.Millisecond)
		}
		entries = append(entries, e)
		k := strandKey{e.Queue, e.Lane, e.Priority}
		tr.m.strands[k] = append(tr.m.strands[k], modelRecord{string(e.Data), e.Expires})
	}
	put(tr, tr.s, entries...)
}

// deliver leases a lane if the model has one, compares what it reads, and
// settles some of it.
func (tr *trial) deliver(queue string) {
	l, lane := tr.lease(queue)
	if l == nil {
		return
	}
	want := tr.m.order(queue, lane)
	want = want[:min(len(want), 1+tr.rng.IntN(6))]
	var recs []Record
	for max := 0; len(recs) < len(want); {
		max = 1 + tr.rng.IntN(len(want)-len(recs))
		more := read(tr, l, max)
		if len(more) == 0 {
			break
		}
		recs = append(recs, more...)
	}
	var got []string
	for _, r := range recs {
		got = append(got, string(r.Data))
	}
	if len(want) == 0 && len(read(tr, l, 1)) != 0 {
		tr.Fatalf("lane %s/%s has something to read", queue, lane)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		tr.Fatalf("lane %s/%s (-want +got):\n%s", queue, lane, diff)
	}
	tr.settle(l, queue, lane, recs)
	l.Release(0)
	put(tr, tr.s) // what was settled is applied: the lane can be leased again
}

func (tr *trial) lease(queue string) (*Lease, string) {
	lanes := tr.m.lanes(queue)
	if len(lanes) == 0 {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if l, err := tr.s.Queue(queue).Acquire(ctx); err == nil && len(read(tr, l, 1)) != 0 {
			tr.Fatalf("queue %s is empty in the model, yet a lane has something", queue)
		} else if err == nil {
			l.Release(0)
		}
		return nil, ""
	}
	l := acquire(tr, tr.s.Queue(queue))
	got, ok := tr.m.most(queue, l.Lane())
	for lane, best := range lanes {
		if !ok || got > best {
			tr.Fatalf("queue %s gave lane %s of priority %d (%v), lane %s has %d", queue, l.Lane(), got, ok, lane, best)
		}
	}
	return l, l.Lane()
}

func (tr *trial) settle(l *Lease, queue, lane string, recs []Record) {
	gone := map[string]bool{}
	for _, r := range recs {
		switch n := tr.rng.IntN(10); {
		case n < 6:
			l.Ack(r, r) // the second is ignored
			gone[string(r.Data)] = true
		case n < 7:
			l.Dead(r, "refused")
			l.Ack(r)
			gone[string(r.Data)] = true
			tr.m.letters[letterName(queue, lane, r.Data)] = true
		}
	}
	tr.m.remove(queue, lane, func(r modelRecord) bool { return gone[r.data] })
}

// sweep runs what the keeper does every now and then; it must not change what a
// reader sees.
func (tr *trial) sweep() { tr.s.sweep() }

func (tr *trial) purge(queue string) {
	if _, err := tr.s.Queue(queue).Purge(); err != nil {
		tr.Fatal(err)
	}
	tr.m.remove(queue, "*", func(modelRecord) bool { return true })
}

func (tr *trial) requeue() {
	letters := tr.letters()
	if len(letters) == 0 {
		return
	}
	l := letters[tr.rng.IntN(len(letters))]
	if err := tr.s.Requeue(l.Seq, time.Time{}); err != nil {
		tr.Fatal(err)
	}
	if err := tr.s.Requeue(l.Seq, time.Time{}); !errors.Is(err, ErrNotFound) {
		tr.Fatalf("requeued twice: %v", err)
	}
	delete(tr.m.letters, letterName(l.Queue, l.Lane, l.Data))
	k := strandKey{l.Queue, l.Lane, l.Priority}
	tr.m.strands[k] = append(tr.m.strands[k], modelRecord{data: string(l.Data)})
}

func letterName(queue, lane string, data []byte) string {
	return fmt.Sprintf("%s/%s: %s", queue, lane, data)
}

func (tr *trial) letters() []DeadLetter {
	letters, err := tr.s.DeadLetters(0, 1<<20)
	if err != nil {
		tr.Fatal(err)
	}
	return letters
}

// check compares the lengths. The store may have settled expired records that
// the model still has; it must not have settled others.
func (tr *trial) check() {
	tr.Helper()
	for i := range 3 {
		queue := fmt.Sprint("q", i)
		st := tr.s.Queue(queue).Stats()
		got, most := st.Records, tr.m.length(queue)
		least := most
		for k, recs := range tr.m.strands {
			for _, r := range recs {
				if k.queue == queue && tr.m.expired(r) {
					least--
				}
			}
		}
		if got < least || got > most {
			tr.Fatalf("queue %s has %d records, the model %d to %d", queue, got, least, most)
		}
	}
	if got := tr.s.DeadStats().Letters; got > len(tr.m.letters) {
		tr.Fatalf("%d dead letters, the model has %d", got, len(tr.m.letters))
	}
}

// end drains everything and compares the last time.
func (tr *trial) end() {
	if got := len(tr.letters()); got != len(tr.m.letters) {
		tr.Fatalf("%d dead letters, want %d", got, len(tr.m.letters))
	}
	for i := range 3 {
		queue := fmt.Sprint("q", i)
		for len(tr.m.lanes(queue)) > 0 {
			l, lane := tr.lease(queue)
			want := fmt.Sprint(tr.m.order(queue, lane))
			recs := read(tr, l, 1<<20)
			if got := "[" + texts(recs) + "]"; got != want {
				tr.Fatalf("lane %s/%s: %s, want %s", queue, lane, got, want)
			}
			l.Ack(recs...)
			l.Release(0)
			tr.m.remove(queue, lane, func(modelRecord) bool { return true })
		}
	}
	tr.m.clock.step(time.Hour)
	tr.sweep()
	put(tr, tr.s)
	tr.m.strands = nil
	tr.check()
	sweptBehind(tr, tr.s)
	checkShared(tr, tr.s)
	if got := tr.s.Stats().Bytes; got != 0 {
		tr.Fatalf("%d bytes are left in an empty store", got)
	}
}

func TestRandomOperationsAgreeWithTheModel(t *testing.T) {
	trials := 90
	if testing.Short() {
		trials = 20
	}
	first := testSeed(t)
	for i := range trials {
		seed := first + uint64(i)
		tr := &trial{
			TB: t, rng: rand.New(rand.NewPCG(seed, 4)), fs: vfs.NewCrashableMem(),
			m: model{strands: map[strandKey][]modelRecord{}, letters: map[string]bool{}, clock: newTestClock()},
		}
		tr.journal = [...]int64{256, 1 << 10, 64 << 10}[i%3]
		tr.open()
		for range 300 {
			tr.step()
		}
		tr.end()
		tr.s.Close()
		if t.Failed() {
			t.Fatalf("repeat with -seed=%d", seed)
		}
	}
}
