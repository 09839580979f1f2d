package provision

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"sluice/internal/hub/code"
	"sluice/internal/leafwire"
	"sluice/internal/service"
	"sluice/iot"
)

// Limits and their defaults.
const (
	DefaultRate    = 200 // requests a second of one module
	DefaultWorkers = 32  // requests that are done at once

	// MaxOpen is how many requests may be open. Beyond it none is taken: Event Grid
	// and the hub's log keep them.
	MaxOpen = 100_000

	// Keep is how long a request is tried. A module that has no answer asks again.
	Keep = 24 * time.Hour

	// callbackTimeout is how long a module may take to answer.
	callbackTimeout = 30 * time.Second
)

// Config is what a Service needs.
type Config struct {
	Hub   Hub
	Allow func(id string) Listing
	Dir   string // where the journal is kept; made if it is not there

	Modules []string // only modules of these names may ask; empty: any
	Rate    float64  // requests a second of one module; 0: DefaultRate
	Workers int      // requests done at once; 0: DefaultWorkers
	Log     *slog.Logger
}

// A Service does what translation modules ask for. Its methods may be called from
// any goroutine.
type Service struct {
	hub     Hub
	allow   func(string) Listing
	modules []string
	workers int
	log     *slog.Logger
	journal *journal
	unlock  func() error
	counts  counts
	grace   time.Duration // for what is being done when the service ends

	mu      sync.Mutex
	queue   *queue
	changed chan struct{} // closed and replaced when there may be something to do
	room    chan struct{} // the same, when something has come to its end
}

// ErrFull is returned when MaxOpen requests are open.
var ErrFull = errors.New("provision: too many requests are open")

// Open opens the journal, and takes up what is open in it. A Service that is not run
// must be closed.
func Open(cfg Config) (*Service, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Rate == 0 {
		cfg.Rate = DefaultRate
	}
	if cfg.Workers == 0 {
		cfg.Workers = DefaultWorkers
	}
	if err := private(cfg.Dir); err != nil {
		return nil, fmt.Errorf("provision: %w", err)
	}
	unlock, err := lock(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("provision: %w", err)
	}
	j, err := openJournal(cfg.Dir)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("provision: %w", err), unlock())
	}
	s := &Service{
		hub: cfg.Hub, allow: cfg.Allow, modules: cfg.Modules, workers: cfg.Workers, log: cfg.Log, journal: j, unlock: unlock,
		grace: stopGrace, queue: newQueue(cfg.Rate), changed: make(chan struct{}), room: make(chan struct{}),
	}
	for _, p := range j.pending() {
		if superfluous, found := s.queue.add(p.number, p.Request, p.Taken); found {
			if err := j.end(superfluous); err != nil {
				return nil, errors.Join(err, s.Close())
			}
		}
	}
	if n := s.queue.count; n > 0 {
		s.log.Info("requests are taken up again", "open", n)
	}
	return s, nil
}

// Close closes the journal. Run does it by itself.
func (s *Service) Close() error { return errors.Join(s.journal.close(), s.unlock()) }

// take notes a request; it is on stable storage after the next sync of the journal.
func (s *Service) take(r Request) error {
	if len(s.modules) > 0 && !slices.Contains(s.modules, r.Sender.Module) {
		s.counts.bad.Add(1)
		s.log.Warn("a module that is no translation module asks for a leaf", "module", r.Sender.String(), "leaf", r.Leaf)
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.queue.count >= MaxOpen {
		return ErrFull
	}
	now := time.Now()
	n, err := s.journal.ask(r, now)
	if err != nil {
		return err
	}
	s.counts.asked.Add(1)
	superfluous, found := s.queue.add(n, r, now)
	signal(&s.changed)
	if found {
		return s.journal.end(superfluous)
	}
	return nil
}

// signal wakes all who wait on a channel. The lock that guards it is held.
func signal(c *chan struct{}) {
	close(*c)
	*c = make(chan struct{})
}

// Run does what is asked until ctx ends, and closes the journal. What is being done
// then has some seconds to come to its end, so that it is not done again after the
// next start. Run returns early, with an error, if the disk fails.
func (s *Service) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	calls, hangUp := context.WithCancel(context.WithoutCancel(ctx))
	defer hangUp()
	var group sync.WaitGroup
	for range s.workers {
		group.Go(func() {
			if err := s.work(ctx, calls); err != nil {
				cancel(err)
			}
		})
	}
	<-ctx.Done()
	late := time.AfterFunc(s.grace, hangUp)
	group.Wait()
	late.Stop()
	err := s.Close()
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		err = errors.Join(cause, err)
	}
	return err
}

// work does one request after the other until ctx ends, with calls that end with
// another.
func (s *Service) work(ctx, calls context.Context) error {
	for {
		t := s.next(ctx)
		if t == nil {
			return nil
		}
		r, least := s.do(calls, t)
		if err := s.finish(calls, t, r, least); err != nil {
			return err
		}
	}
}

// next waits for a task; it returns nil when ctx ends.
func (s *Service) next(ctx context.Context) *task {
	for ctx.Err() == nil {
		s.mu.Lock()
		t, at := s.queue.next(time.Now())
		changed := s.changed
		s.mu.Unlock()
		if t != nil {
			return t
		}
		wait(ctx, changed, at)
	}
	return nil
}

// wait returns when ctx ends, something has changed, or it is the time at, if that is
// set.
func wait(ctx context.Context, changed <-chan struct{}, at time.Time) {
	var due <-chan time.Time
	if !at.IsZero() {
		t := time.NewTimer(time.Until(at))
		defer t.Stop()
		due = t.C
	}
	select {
	case <-ctx.Done():
	case <-changed:
	case <-due:
	}
}

func (s *Service) finish(ctx context.Context, t *task, r result, least time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r != answered && r != ended && time.Since(t.taken) > Keep {
		s.log.Warn("a request is given up", "leaf", t.request.Leaf, "module", t.request.Sender.String(), "taken", t.taken)
		r = ended
	}
	if ctx.Err() != nil && r != answered {
		return nil // it failed because the service ends, and is done after the next start
	}
	number, before := t.number, t.desk.failures
	end := s.queue.finish(t, r, time.Now(), least)
	if before == 0 && t.desk.failures > 0 {
		s.log.Warn("a module does not answer; it is called again, and what it asks for waits", "module", t.request.Sender.String(), "open", len(t.desk.open))
	}
	signal(&s.changed)
	if !end {
		return nil
	}
	signal(&s.room)
	return s.journal.end(number)
}

// do does a request and tells the module.
func (s *Service) do(ctx context.Context, t *task) (result, time.Duration) {
	d, err := s.decide(ctx, t)
	log := s.log.With("leaf", t.request.Leaf, "operation", t.request.Operation, "module", t.request.Sender.String())
	switch {
	case errors.Is(err, errGone):
		log.Warn("a request cannot be done", "err", err)
		return ended, 0
	case err != nil:
		return s.setback(ctx, log, err)
	}
	result, err := s.hub.InvokeMethod(ctx, t.request.Sender, iot.MethodCall{
		Name: leafwire.CallbackMethod, ResponseTimeout: callbackTimeout,
		Payload: leafwire.Callback{DeviceID: t.request.Leaf, ResultCode: d.code, Description: d.text, Operation: t.request.Operation}.Payload(),
	})
	switch {
	case notFound(err):
		log.Warn("the module that asked is gone", "err", err)
		return ended, 0
	case mute(err):
		s.counts.mute.Add(1)
		log.Debug("a call is not answered", "err", err)
		return deskMute, 0
	case err != nil:
		return s.setback(ctx, log, err)
	}
	s.tell(log, d, result.Status)
	return answered, 0
}

// tell logs and counts what a module has been told.
func (s *Service) tell(log *slog.Logger, d decision, answer int) {
	if d.code >= http.StatusMultipleChoices {
		s.counts.refused.Add(1)
		log.Warn("refused", "code", d.code, "reason", d.text)
	} else {
		log.Info(d.text, "code", d.code)
	}
	if answer >= http.StatusMultipleChoices {
		log.Warn("the module does not know what to do with the answer", "status", answer)
	}
	s.counts.answered.Add(1)
}

// mute reports whether a call failed because the module is not there or takes too
// long. A connection that broke meanwhile says the same of it: if it is the hub that
// is away, the next request will tell.
func mute(err error) bool {
	var refusal *service.Refusal
	return errors.Is(err, code.DeviceNotOnline) || errors.Is(err, code.GatewayTimeout) || err != nil && !errors.As(err, &refusal)
}

// setback judges an error of the hub.
func (s *Service) setback(ctx context.Context, log *slog.Logger, err error) (result, time.Duration) {
	if ctx.Err() != nil {
		return failed, 0
	}
	s.counts.setbacks.Add(1)
	var refusal *service.Refusal
	if !errors.As(err, &refusal) {
		log.Warn("the hub cannot be reached; it is tried again", "err", err)
		return hubFailed, 0
	}
	switch {
	case refusal.Status == http.StatusConflict, refusal.Status == http.StatusPreconditionFailed:
		log.Debug("somebody else has changed the device; it is looked at again", "err", err)
		return failed, 0
	case refusal.Status == http.StatusTooManyRequests:
		log.Debug("the hub is busy; it is tried again", "err", err)
		return hubFailed, refusal.RetryAfter
	case refusal.Status == http.StatusBadRequest, refusal.Status == http.StatusNotFound:
		log.Error("the hub does not take the request; it is tried again", "err", err)
		return failed, 0
	}
	log.Error("the hub refuses; it is tried again", "err", err)
	return hubFailed, refusal.RetryAfter
}

// counts are what the service has done since it was opened.
type counts struct {
	asked, bad, created, updated, disabled, deleted, refused, answered, mute, setbacks atomic.Int64
}

// Counts are what a Service has done since it was opened, and what is open.
type Counts struct {
	Open     int   `json:"open"`
	Asked    int64 `json:"asked"`
	Bad      int64 `json:"bad"` // events that should be requests, and are none
	Created  int64 `json:"created"`
	Updated  int64 `json:"updated"`
	Disabled int64 `json:"disabled"`
	Deleted  int64 `json:"deleted"`
	Refused  int64 `json:"refused"`
	Answered int64 `json:"answered"` // by the module, a refusal too
	Mute     int64 `json:"mute"`     // calls that the module did not answer
	Setbacks int64 `json:"setbacks"` // errors of the hub
}

// Counts returns the counts.
func (s *Service) Counts() Counts {
	s.mu.Lock()
	open := s.queue.count
	s.mu.Unlock()
	c := &s.counts
	return Counts{
		Open: open, Asked: c.asked.Load(), Bad: c.bad.Load(), Created: c.created.Load(), Updated: c.updated.Load(),
		Disabled: c.disabled.Load(), Deleted: c.deleted.Load(), Refused: c.refused.Load(), Answered: c.answered.Load(),
		Mute: c.mute.Load(), Setbacks: c.setbacks.Load(),
	}
}
