package provision

import (
	"context"
	"errors"
	"maps"
	"strconv"
	"sync"
	"time"

	"sluice/internal/eventhub"
	"sluice/internal/hubevent"
)

// A Reader reads a hub's log; an eventhub.Reader is one.
type Reader interface {
	Read(ctx context.Context, from eventhub.Position, follow bool, event func(*hubevent.Event) error, lost func(error)) error
}

// advanceEvery is how often it is noted how far the log has been read, while nothing
// in it is a request. What is a request is noted with it.
const advanceEvery = 5 * time.Second

// overlap is how far before its marks reading begins: for what a partition that has no
// mark yet received at the time of the others', and for clocks that differ. What was
// read before is known by its number.
const overlap = time.Minute

// start is the partition of the mark where reading began the first time.
const start = "start"

// Follow reads the hub's log until ctx ends, and takes the requests in it. It begins
// where it ended the last time: nothing is missed, as far as the log goes back, and
// nothing is taken twice. The first time it begins with what came in the last minute.
//
// While too many requests are open it waits. A hub that is away, or refuses, is tried
// again. It ends early, with an error, if the disk fails.
func (s *Service) Follow(ctx context.Context, r Reader) error {
	f := &follower{service: s, noted: s.journal.marks()}
	f.read = maps.Clone(f.noted)
	if len(f.read) == 0 {
		s.log.Info("the hub's log is read from now on")
		f.read[start] = mark{At: time.Now().UTC()}
		if err := f.advance(); err != nil {
			return err
		}
	}
	from := f.begin()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel(nil)
	group.Go(func() {
		if err := f.note(ctx); err != nil {
			cancel(err)
		}
	})
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		began := time.Now()
		err := r.Read(ctx, from, true, func(e *hubevent.Event) error { return f.take(ctx, e) }, func(err error) {
			s.log.Warn("the connection to the hub's log is lost; it is made again", "err", err)
		})
		switch {
		case ctx.Err() != nil:
			return errors.Join(f.advance(), cause(ctx))
		case f.failed != nil:
			return f.failed
		}
		// The hub may not be there yet, or has changed its keys: an operator sees to it.
		s.log.Error("the hub's log cannot be read; it is tried again", "err", err)
		from = f.begin()
		if time.Since(began) > maxPause {
			pause = firstPause // it went well for some time
		}
		wait(ctx, nil, time.Now().Add(pause))
	}
}

// cause is why ctx ended, if that is more than that it should.
func cause(ctx context.Context) error {
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// follower is how far the log has been read.
type follower struct {
	service *Service
	failed  error // of the journal; ends reading

	mu    sync.Mutex
	read  map[string]mark // by partition
	noted map[string]mark // what the journal has of it
}

// begin is where reading begins: where the partition is that is furthest behind. What
// others bring again is known by its number.
func (f *follower) begin() eventhub.Position {
	f.mu.Lock()
	defer f.mu.Unlock()
	var oldest time.Time
	for partition, m := range f.read {
		if partition != start && (oldest.IsZero() || m.At.Before(oldest)) {
			oldest = m.At
		}
	}
	if oldest.IsZero() {
		oldest = f.read[start].At // nothing has come yet
	}
	return eventhub.Position{Time: oldest.Add(-overlap)}
}

// take looks at one event.
func (f *follower) take(ctx context.Context, e *hubevent.Event) error {
	partition := strconv.Itoa(e.Partition)
	now := mark{e.Sequence, e.Enqueued}
	f.mu.Lock()
	before, known := f.read[partition]
	f.mu.Unlock()
	// A hub that was made anew begins with small numbers again, at later times.
	if known && now.Sequence <= before.Sequence && !now.At.After(before.At) {
		return nil
	}
	r, err := fromLog(e)
	switch {
	case errors.Is(err, errOther):
	case err != nil:
		f.service.bad(err)
	default:
		if err := f.service.takeWhenThereIsRoom(ctx, r); err != nil {
			return f.fail(err)
		}
		if err := f.service.journal.advance(partition, now); err != nil {
			return f.fail(err)
		}
	}
	f.mu.Lock()
	f.read[partition] = now
	f.mu.Unlock()
	return nil
}

func (f *follower) fail(err error) error {
	if !errors.Is(err, context.Canceled) {
		f.failed = err
	}
	return err
}

// takeWhenThereIsRoom is take, but waits while too many requests are open.
func (s *Service) takeWhenThereIsRoom(ctx context.Context, r Request) error {
	for {
		s.mu.Lock()
		room := s.room
		s.mu.Unlock()
		err := s.take(r)
		if !errors.Is(err, ErrFull) {
			return err
		}
		wait(ctx, room, time.Time{})
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// note writes now and then how far the log has been read.
func (f *follower) note(ctx context.Context) error {
	tick := time.NewTicker(advanceEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := f.advance(); err != nil {
				return err
			}
		}
	}
}

func (f *follower) advance() error {
	f.mu.Lock()
	fresh := maps.Clone(f.read)
	maps.DeleteFunc(fresh, func(p string, m mark) bool { return f.noted[p] == m })
	maps.Copy(f.noted, fresh)
	f.mu.Unlock()
	for p, m := range fresh {
		if err := f.service.journal.advance(p, m); err != nil {
			return err
		}
	}
	return nil
}
