package eventlog

import (
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"sluice/internal/hub/storage"
	"sluice/iot"
)

const (
	commitBytes = 1 << 20 // of events in one commit, about
	pipeline    = 2       // commits between writer and syncer
)

// Append stores a batch of telemetry in the partition of sender's device, in
// order and all of it or nothing. done is called exactly once, from any
// goroutine, perhaps before Append returns: with nil when the batch is fsynced,
// else with [ErrNoSpace], [ErrClosed] or a [*FatalError]. It must not block. Of
// one caller's appends it is called in their order.
//
// The messages may be changed once Append has returned. It waits only while
// [Options.MaxPendingBytes] are pending.
func (l *Log) Append(sender iot.Identity, batch []iot.Message, done func(error)) {
	l.AppendFrom(storage.Telemetry, sender, batch, done)
}

// AppendFrom is Append for events of any source.
func (l *Log) AppendFrom(source storage.Source, sender iot.Identity, batch []iot.Message, done func(error)) {
	data, ends, err := encode(batch)
	if err != nil {
		done(err)
		return
	}
	l.inbox.append(&op{
		partition: l.partitions[l.PartitionOf(sender)],
		source:    source, data: data, ends: ends, done: done,
	})
}

// An op is one Append on its way to the disk.
type op struct {
	partition *partition
	source    storage.Source
	data      []byte
	ends      []int
	done      func(error)

	err  error
	tail mark // of the partition, after it
}

func (o *op) size() int64 { return int64(len(o.data)) + int64(len(o.ends))*(eventKeyLen+headerLen) }

// An inbox holds what the writer has not taken yet.
type inbox struct {
	max int64

	mu     sync.Mutex
	room   sync.Cond // signalled when bytes falls, and on close
	some   sync.Cond // signalled when ops grows, and on close
	ops    []*op
	bytes  int64 // not called back yet
	closed error
}

func (in *inbox) init(max int64) {
	in.max, in.room.L, in.some.L = max, &in.mu, &in.mu
}

// append waits for room and queues o. When closed it calls done at once.
func (in *inbox) append(o *op) {
	size := o.size()
	in.mu.Lock()
	for in.closed == nil && in.bytes > 0 && in.bytes+size > in.max {
		in.room.Wait()
	}
	if err := in.closed; err != nil {
		in.mu.Unlock()
		o.done(err)
		return
	}
	in.bytes += size
	in.ops = append(in.ops, o)
	in.some.Signal()
	in.mu.Unlock()
}

// take waits for ops and returns the next ones, of about max bytes. Nothing means
// that the inbox is closed and empty.
func (in *inbox) take(max int64) (ops []*op) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for len(in.ops) == 0 && in.closed == nil {
		in.some.Wait()
	}
	n, bytes := 0, int64(0)
	for n < len(in.ops) && (n == 0 || bytes+in.ops[n].size() <= max) {
		bytes += in.ops[n].size()
		n++
	}
	ops, in.ops = in.ops[:n:n], in.ops[n:]
	if len(in.ops) == 0 {
		in.ops = nil
	}
	return ops
}

// called gives back the room of ops whose dones were called.
func (in *inbox) called(bytes int64) {
	in.mu.Lock()
	in.bytes -= bytes
	in.room.Broadcast()
	in.mu.Unlock()
}

// close makes every append to come fail with err. What is queued stays.
func (in *inbox) close(err error) {
	in.mu.Lock()
	if in.closed == nil {
		in.closed = err
	}
	in.room.Broadcast()
	in.some.Broadcast()
	in.mu.Unlock()
}

// A commit is one atomic write on its way to the disk.
type commit struct {
	ops   []*op
	batch *pebble.Batch // nil when there is nothing to sync
}

// write is the writer: it makes commits of what is in the inbox, until the log
// closes, while the syncer waits for the fsync of those before.
func (l *Log) write(commits chan<- *commit) {
	defer close(commits)
	// When Pebble ends this goroutine, what is left in the inbox is still to be
	// called back.
	defer func() {
		for ops := l.inbox.take(commitBytes); len(ops) > 0; ops = l.inbox.take(commitBytes) {
			commits <- &commit{ops: ops}
		}
	}()
	for ops := l.inbox.take(commitBytes); len(ops) > 0; ops = l.inbox.take(commitBytes) {
		l.apply(&commit{ops: ops}, commits)
	}
}

// apply gives a commit to Pebble and passes it on whatever becomes of it: Pebble
// may end this goroutine rather than return, see pebbleLog.
func (l *Log) apply(c *commit, commits chan<- *commit) {
	applied := false
	defer func() {
		if !applied {
			c.batch = nil // nobody will ever sync it
		}
		commits <- c
	}()
	if l.failure.Load() != nil || !l.fill(c) {
		return
	}
	if err := l.db.ApplyNoSyncWait(c.batch, pebble.Sync); err != nil {
		l.fail(&FatalError{Op: "commit", Err: err})
		return
	}
	applied = true
}

// fill puts the ops into a batch, and reports whether there is anything in it.
func (l *Log) fill(c *commit) bool {
	if l.space.low() {
		for _, o := range c.ops {
			o.err = storage.ErrNoSpace
		}
		return false
	}
	size := int64(64)
	for _, o := range c.ops {
		size += o.size() + 16*int64(len(o.ends))
	}
	c.batch = l.db.NewBatchWithSize(int(size))
	now := l.opt.Now().UnixMicro()
	for _, o := range c.ops {
		o.place(c.batch, now)
	}
	return !c.batch.Empty()
}

// place writes an op's events at the end of their partition.
func (o *op) place(b *pebble.Batch, now int64) {
	p, begin := o.partition, 0
	for _, end := range o.ends {
		message := o.data[begin:end]
		begin = end
		p.end.latest = max(p.end.latest, now)
		d := b.SetDeferred(eventKeyLen, headerLen+len(message))
		appendEventKey(d.Key[:0], p.number, p.end.sequence)
		h := header{source: o.source, enqueued: now, latest: p.end.latest, offset: p.end.offset}
		putRecord(d.Value, d.Key, h, message)
		_ = d.Finish() // fails only on an indexed batch
		p.end.sequence++
		p.end.offset += uint64(recordLen(len(message)))
	}
	o.tail = p.end
}

// sync is the syncer: it waits for each commit's fsync, shows readers what it
// stored and calls back, in order.
func (l *Log) sync(commits <-chan *commit) {
	for c := range commits {
		if c.batch != nil {
			if err := c.batch.SyncWait(); err != nil {
				l.fail(&FatalError{Op: "commit", Err: err})
			} else {
				l.syncs.Add(1)
				_ = c.batch.Close() // only returns it to a pool
			}
		}
		l.settle(c)
	}
}

func (l *Log) settle(c *commit) {
	failure := l.Err()
	var bytes int64
	for _, o := range c.ops {
		if o.err == nil {
			o.err = failure
		}
		if o.err == nil && o.partition.publish(o.tail) > l.retention.share {
			l.retention.hurry()
		}
		bytes += o.size()
	}
	for _, o := range c.ops {
		o.done(o.err)
	}
	l.inbox.called(bytes)
}
