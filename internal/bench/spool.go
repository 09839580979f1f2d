package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"sluice/internal/spool"
)

// A Disk measures what a directory's file system gives a spool.
type Disk struct {
	Dir      string // where a spool is made, and removed at the end
	Writers  int    // that each wait for a message to be safe before the next
	Size     int    // bytes of a message
	Duration time.Duration
}

// A DiskResult is what a Disk has measured.
type DiskResult struct {
	Writers      int     `json:"writers"`
	Size         int     `json:"size"`
	Seconds      float64 `json:"seconds"`
	Appended     int64   `json:"appended"`
	AppendRate   float64 `json:"appendedPerSecond"`
	Latency      Summary `json:"appendLatencyMs"` // until a message is safe
	CommitRate   float64 `json:"commitsPerSecond"`
	OpenMs       float64 `json:"openMs"`        // to open it again, with all that in it
	ReadRate     float64 `json:"readPerSecond"` // read and acknowledged, from the first
	BareSync     Summary `json:"bareSyncMs"`    // a write and an fsync, alone
	BareSyncRate float64 `json:"bareSyncsPerSecond"`
}

// bareTime is how long bare writes and fsyncs are measured.
const bareTime = time.Second

// Run makes a spool in a new directory below Dir, fills it, empties it and removes
// it.
func (d *Disk) Run(ctx context.Context) (r DiskResult, err error) {
	if d.Writers < 1 || d.Size < 0 {
		return r, fmt.Errorf("%d writers of %d bytes", d.Writers, d.Size)
	}
	home, err := os.MkdirTemp(d.Dir, "sluice-bench-")
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(home)) }()
	r.Writers, r.Size = d.Writers, d.Size
	if err := d.bare(ctx, filepath.Join(home, "bare"), &r); err != nil {
		return r, err
	}
	dir := filepath.Join(home, "spool")
	if err := d.fill(ctx, dir, &r); err != nil {
		return r, err
	}
	return r, d.empty(ctx, dir, &r)
}

// fill appends to a new spool.
func (d *Disk) fill(ctx context.Context, dir string, r *DiskResult) error {
	s, err := spool.Open(dir, spool.Options{})
	if err != nil {
		return err
	}
	return errors.Join(d.append(ctx, s, r), s.Close())
}

// empty opens a spool again and reads all of it.
func (d *Disk) empty(ctx context.Context, dir string, r *DiskResult) error {
	begin := time.Now()
	s, err := spool.Open(dir, spool.Options{})
	if err != nil {
		return err
	}
	r.OpenMs = float64(time.Since(begin)) / float64(time.Millisecond)
	return errors.Join(d.drain(ctx, s, r), s.Close())
}

// bare writes and fsyncs a file, one message at a time: what no store can beat for
// one writer.
func (d *Disk) bare(ctx context.Context, name string, r *DiskResult) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	data := payload(d.Size)
	var l Latencies
	begin := time.Now()
	for now := begin; now.Sub(begin) < bareTime; {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := f.Write(data); err != nil {
			return err
		}
		if err := f.Sync(); err != nil {
			return err
		}
		after := time.Now()
		l.Add(after.Sub(now))
		now = after
	}
	r.BareSync, r.BareSyncRate = l.Summary(), float64(l.count)/time.Since(begin).Seconds()
	return nil
}

const benchQueue = "$upstream"

func (d *Disk) append(ctx context.Context, s *spool.Store, r *DiskResult) error {
	all := make([]Latencies, d.Writers)
	errs := make([]error, d.Writers)
	var group sync.WaitGroup
	begin := time.Now()
	until := begin.Add(d.Duration)
	before := s.Stats().Commits
	for i := range d.Writers {
		group.Go(func() { errs[i] = d.write(ctx, s, fmt.Sprintf("device-%04d", i), until, &all[i]) })
	}
	group.Wait()
	elapsed := time.Since(begin).Seconds()
	var l Latencies
	for i := range all {
		l.Merge(&all[i])
	}
	r.Seconds, r.Appended, r.AppendRate = elapsed, int64(l.count), float64(l.count)/elapsed
	r.Latency, r.CommitRate = l.Summary(), float64(s.Stats().Commits-before)/elapsed
	return errors.Join(errors.Join(errs...), ctx.Err())
}

// write appends to one lane until a time, one message after the other.
func (d *Disk) write(ctx context.Context, s *spool.Store, lane string, until time.Time, l *Latencies) error {
	data := payload(d.Size)
	result := make(chan error, 1)
	done := func(err error) { result <- err }
	for now := time.Now(); now.Before(until) && ctx.Err() == nil; {
		s.Append([]spool.Entry{{Queue: benchQueue, Lane: lane, Data: data}}, done)
		if err := <-result; err != nil {
			return err
		}
		after := time.Now()
		l.Add(after.Sub(now))
		now = after
	}
	return nil
}

// readers is how many goroutines empty the spool: as many as a gateway's uplink.
const readers = 4

func (d *Disk) drain(ctx context.Context, s *spool.Store, r *DiskResult) error {
	if r.Appended == 0 {
		return nil
	}
	ctx, empty := context.WithCancel(ctx)
	defer empty()
	var left atomic.Int64
	left.Store(r.Appended)
	errs := make([]error, readers)
	var group sync.WaitGroup
	begin := time.Now()
	for i := range readers {
		group.Go(func() {
			for left.Load() > 0 && errs[i] == nil {
				errs[i] = drainLane(ctx, s.Queue(benchQueue), &left)
			}
			empty() // or it failed: the others need not wait
		})
	}
	group.Wait()
	r.ReadRate = float64(r.Appended-left.Load()) / time.Since(begin).Seconds()
	if left.Load() <= 0 {
		return nil
	}
	return errors.Join(errs...)
}

// drainLane empties the lane that is next.
func drainLane(ctx context.Context, q *spool.Queue, left *atomic.Int64) error {
	lease, err := q.Acquire(ctx)
	if err != nil {
		return err
	}
	defer lease.Release(0)
	for {
		records, err := lease.Read(1000, 1<<20)
		if err != nil || len(records) == 0 {
			return err
		}
		lease.Ack(records...)
		left.Add(-int64(len(records)))
	}
}
