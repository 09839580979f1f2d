package module

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"sluice/iot"
)

// How often it is asked for a module's identity, of memory most of the time: if there
// is none, and if there may be another.
const (
	identityEvery   = 500 * time.Millisecond
	generationEvery = 10 * time.Second
	createEvery     = 5 * time.Minute // after an attempt to make one that the hub has answered
)

// sweepLimit bounds the wait for processes that were killed.
const sweepLimit = 5 * time.Second

// A unit is one module of the deployment, and the goroutine that looks after it.
type unit struct {
	r    *Runtime
	name string
	book *logbook
	wake chan struct{} // there are other orders
	done chan struct{} // closed when the goroutine has ended
	life context.Context
	end  context.CancelFunc

	identified time.Time // when the hub last answered a wish for an identity; the goroutine's own

	tried chan struct{} // closed when a start was tried, or there was none to try
	once  sync.Once

	mu       sync.Mutex
	orders   int // counts what a running process must be ended for
	answered int // the orders by which a start was last tried
	status   Status
	next     time.Time // when to start; zero for never
}

func (r *Runtime) newUnit(s Spec) *unit {
	u := &unit{
		r: r, name: s.Name,
		book:  newLogbook(filepath.Join(r.opt.Dir, "logs", s.Name+".log"), r.log),
		wake:  make(chan struct{}, 1),
		done:  make(chan struct{}),
		tried: make(chan struct{}),
	}
	u.status.State = Unknown
	u.order(s)
	u.life, u.end = context.WithCancel(context.Background())
	go func() {
		defer close(u.done)
		u.run(u.life)
	}()
	return u
}

// order says what the module is to be from now on. The process is ended if what it
// is has changed; other changes reach it where it stands.
func (u *unit) order(s Spec) {
	u.mu.Lock()
	defer u.mu.Unlock()
	before := u.status.Spec
	u.status.Spec = s
	rests := u.status.PID == 0 && before.Restart != s.Restart // another policy may want it back
	if u.orders == 0 || rests || !before.sameProcess(&s) {
		u.anew()
	}
	u.rest()
	u.book.limit(max(s.options.maxSize, 1), max(s.options.maxFile, 1))
	u.poke()
}

// rest puts a module down that is not to run. u.mu is held.
func (u *unit) rest() {
	s := &u.status.Spec
	if s.Type == TypeProcess && !s.Stopped {
		return
	}
	u.next = time.Time{}
	switch {
	case u.status.PID != 0: // it is being ended
	case s.Stopped:
		u.status.State, u.status.Description = Stopped, "stopped"
	default:
		u.status.State = Failed
		u.status.Description = fmt.Sprintf("type %q is not supported here; only %q is", s.Type, TypeProcess)
	}
}

// anew lets the module be started at once. u.mu is held.
func (u *unit) anew() {
	u.orders++
	u.next = time.Now()
	u.status.Restarts = 0
}

// restart ends the process, if there is one, and starts another. It returns the
// number of these orders.
func (u *unit) restart() (orders int, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.status.Spec.Type != TypeProcess || u.status.Spec.Stopped {
		return 0, fmt.Errorf("module %s: %s", u.name, u.status.Description)
	}
	u.anew()
	u.status.Restarted = time.Now()
	u.poke()
	return u.orders, nil
}

// outcome reports whether a start was tried by these orders, and how that went.
func (u *unit) outcome(orders int) (tried bool, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.answered < orders {
		return false, nil
	}
	if u.status.PID == 0 {
		return true, fmt.Errorf("module %s: %s", u.name, u.status.Description)
	}
	return true, nil
}

func (u *unit) poke() {
	select {
	case u.wake <- struct{}{}:
	default:
	}
}

func (u *unit) get() Status {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.status
}

// attempted notes that a start was tried, or there is none to try.
func (u *unit) attempted() { u.once.Do(func() { close(u.tried) }) }

// run keeps the module as it was ordered until ctx ends.
func (u *unit) run(ctx context.Context) {
	defer u.book.close()
	defer u.attempted()
	var api socket
	defer api.close()
	for u.due(ctx) {
		s, orders := u.take()
		u.attempt(ctx, s, orders, &api)
		u.attempted()
		u.r.changed()
	}
}

// take returns the orders.
func (u *unit) take() (Spec, int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.status.Spec, u.orders
}

// due waits until the module is to be started; false if ctx ended before.
func (u *unit) due(ctx context.Context) bool {
	for ctx.Err() == nil {
		u.mu.Lock()
		next := u.next
		u.mu.Unlock()
		pause := time.Until(next)
		if next.IsZero() {
			u.attempted()
			pause = time.Hour // or until there are orders
		} else if pause <= 0 {
			return true
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-u.wake:
		case <-ctx.Done():
		}
		timer.Stop()
	}
	return false
}

// attempt starts the module and stays with it until it has ended.
func (u *unit) attempt(ctx context.Context, s Spec, orders int, api *socket) {
	_, generation, ok := u.r.opt.Keys(ctx, u.name)
	if !ok {
		u.identify(ctx, orders)
		return
	}
	// The kernel kills the process when the thread that started it ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	p, err := u.start(&s, orders, generation, api)
	if err != nil {
		u.r.log.Error("module not started", "module", u.name, "err", err)
		u.note(orders, func(st *Status) (time.Duration, bool) { return st.fail(err, u.r.opt.Backoff) })
		return
	}
	u.r.log.Info("module started", "module", u.name, "pid", p.pid())
	u.attempted()
	u.r.changed()
	asked := u.watch(ctx, p, begun{orders, generation, s.options})
	u.r.log.Info("module ended", "module", u.name, "pid", p.pid(), "code", p.code, "asked", asked, "alsoKilled", p.left)
	if p.leftErr != nil {
		u.r.log.Error("processes that a module left behind are not killed", "module", u.name, "err", p.leftErr)
	}
	u.note(orders, func(st *Status) (time.Duration, bool) { return st.end(p.code, asked, u.r.opt.Backoff, time.Now()) })
}

// identify has an identity made for the module, and lets it wait for that.
func (u *unit) identify(ctx context.Context, orders int) {
	if create := u.r.opt.Create; create != nil && time.Since(u.identified) > createEvery {
		err := create(ctx, u.name)
		switch {
		case err == nil:
			u.identified = time.Now()
			u.r.log.Info("module has an identity at the hub now", "module", u.name)
		case !iot.KindOf(err).Retryable():
			u.identified = time.Now()
			u.r.log.Warn("module waits: an identity cannot be made for it", "module", u.name, "err", err)
		}
	}
	u.note(orders, func(st *Status) (time.Duration, bool) {
		st.State, st.Description = Waiting, "the hub has no identity for it, or has not been asked yet"
		return identityEvery, true
	})
}

// note changes the status and says when the module is to be started next, unless
// there are other orders, which say so themselves.
func (u *unit) note(orders int, change func(*Status) (time.Duration, bool)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	pause, again := change(&u.status)
	u.answered = max(u.answered, orders)
	switch {
	case u.orders != orders:
		u.rest()
	case again:
		u.next = time.Now().Add(pause)
	default:
		u.next = time.Time{}
	}
}

// begun is what a process was started by.
type begun struct {
	orders     int
	generation string
	options    options
}

// watch returns when the process has ended, and whether it was told to: at the end of
// ctx, by other orders, or because its identity was made again.
func (u *unit) watch(ctx context.Context, p *process, by begun) (asked bool) {
	look := time.NewTicker(u.r.opt.lookEvery)
	defer look.Stop()
	for {
		select {
		case <-p.gone:
			return false
		case <-ctx.Done():
		case <-u.wake:
			if _, now := u.take(); now == by.orders {
				continue
			}
		case <-look.C:
			if _, now, ok := u.r.opt.Keys(ctx, u.name); !ok || now == by.generation {
				continue
			}
			u.r.log.Info("module has another identity; it is restarted", "module", u.name)
		}
		late, stop := u.r.late(by.options.grace())
		defer stop()
		p.stop(by.options.StopSignal, late)
		return true
	}
}

// owns reports whether a process is of the module.
func (u *unit) owns(pid int) bool {
	leader := u.get().PID
	return leader != 0 && descends(pid, leader)
}
