package provision

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sluice/internal/await"
	"sluice/internal/eventhub"
	"sluice/internal/hub/storage"
	"sluice/internal/hubevent"
	"sluice/internal/leafwire"
	"sluice/internal/service"
	"sluice/iot"
)

// follow is a source that reads the hub's own endpoint.
func (s *site) follow() func(*Service, context.Context) error {
	s.t.Helper()
	cs, opt := s.reach(storage.ServicePolicy)
	a := s.hub.AMQPAddr().(*net.TCPAddr)
	r, err := eventhub.New(cs, eventhub.Options{Roots: opt.Roots, Address: a.IP.String(), Port: a.Port})
	if err != nil {
		s.t.Fatal(err)
	}
	return func(p *Service, ctx context.Context) error { return p.Follow(ctx, r) }
}

func TestTheHubsLogIsFollowed(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	m := s.connect("site-1")
	dir := filepath.Join(t.TempDir(), "p")
	keep := func(cfg *Config) { cfg.Dir = dir }
	p := s.start(keep, s.follow())
	m.ask("leaf-1", leafwire.Create)
	m.ask("no", leafwire.Create)
	if code := m.await("leaf-1", 1); code != http.StatusCreated {
		t.Errorf("told %d", code)
	}
	if code := m.await("no", 1); code != http.StatusBadRequest {
		t.Errorf("told %d", code)
	}
	p.stop() // in the middle of a call, perhaps, which comes to its end

	// What an operator removes must not come back because the log is read again.
	if err := s.client.Delete(t.Context(), iot.DeviceIdentity("leaf-1"), ""); err != nil {
		t.Fatal(err)
	}
	m.ask("leaf-2", leafwire.Create) // while nobody reads
	s.start(keep, s.follow())
	if code := m.await("leaf-2", 1); code != http.StatusCreated {
		t.Errorf("told %d", code)
	}
	if got := m.answers("leaf-1"); len(got) != 1 || s.exists("leaf-1") {
		t.Errorf("leaf-1 was created again: told %v", got)
	}
}

// A tape is a log that is played to a service.
type tape struct {
	events []hubevent.Event
	from   chan eventhub.Position
	fail   atomic.Int32 // how often reading fails at first
}

func (r *tape) Read(ctx context.Context, from eventhub.Position, _ bool, event func(*hubevent.Event) error, _ func(error)) error {
	r.from <- from
	if r.fail.Add(-1) >= 0 {
		return errors.New("the hub is away")
	}
	for i := range r.events {
		if r.events[i].Enqueued.Before(from.Time) {
			continue
		}
		if err := event(&r.events[i]); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return ctx.Err()
}

func logged(partition int, sequence uint64, at time.Time, leaf string) hubevent.Event {
	e := hubevent.Event{Partition: partition, Sequence: sequence, Enqueued: at, Device: "site-1", Module: "itm", Source: "Telemetry"}
	m := leafwire.Event{LeafDeviceID: leaf, EdgeDeviceID: "site-1", EdgeModuleID: "itm", Operation: leafwire.Create}.Message()
	e.Properties = map[string]string{"itmtype": "LeafEvent"}
	e.SetBody("application/json", m.Body)
	return e
}

func TestAnEventIsTakenOnceWhereverReadingBegins(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.connect("site-1")
	dir := filepath.Join(t.TempDir(), "p")
	play := func(r *tape, want int64) (from eventhub.Position) {
		t.Helper()
		r.from = make(chan eventhub.Position, 10)
		p := s.start(func(cfg *Config) { cfg.Dir = dir }, func(p *Service, ctx context.Context) error { return p.Follow(ctx, r) })
		await.True(t, "the requests are taken", func() bool { return p.Counts().Asked == want && p.Counts().Open == 0 })
		p.stop()
		if got := p.Counts().Asked; got != want {
			t.Errorf("%d requests were taken, want %d", got, want)
		}
		return <-r.from
	}
	now := time.Now().Truncate(time.Millisecond)
	r := &tape{events: []hubevent.Event{
		logged(0, 1, now, "leaf-1"), logged(1, 1, now.Add(time.Second), "leaf-2"),
		{Partition: 0, Sequence: 2, Enqueued: now.Add(2 * time.Second), Source: "Telemetry", Device: "leaf-1"},
		logged(0, 3, now.Add(3*time.Second), "leaf-3"),
	}}
	if from := play(r, 3); time.Since(from.Time) > 10*time.Minute {
		t.Errorf("the first time it began at %s", from.Time)
	}
	r.events = append(r.events, logged(1, 2, now.Add(4*time.Second), "leaf-4"), logged(2, 1, now.Add(time.Second), "leaf-5"))
	if from := play(r, 2); !from.Time.Equal(now.Add(time.Second - overlap)) {
		t.Errorf("it went on at %s, want where the partition is that is behind", from.Time)
	}
	// A hub that was made anew numbers from the beginning.
	r.events = []hubevent.Event{logged(0, 1, now.Add(time.Hour), "leaf-6")}
	r.fail.Store(1)
	play(r, 1)
}

func TestReadingWaitsWhileTooMuchIsOpen(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p, err := Open(Config{Hub: s.client, Allow: list(t), Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	p.queue.count = MaxOpen
	if err := p.take(asked("leaf-1")); !errors.Is(err, ErrFull) {
		t.Errorf("taken: %v", err)
	}
	done := make(chan error, 1)
	go func() { done <- p.takeWhenThereIsRoom(t.Context(), asked("leaf-1")) }()
	select {
	case err := <-done:
		t.Errorf("taken: %v", err)
	default:
	}
	p.mu.Lock()
	p.queue.count--
	signal(&p.room)
	p.mu.Unlock()
	if err := <-done; err != nil {
		t.Errorf("when there is room: %v", err)
	}
	w := (&running{Service: p, t: t}).post([]any{event("site-1", "itm", "leaf-2", "create")})
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("Event Grid is told %d", w.Code)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

// moody is a hub that fails at first.
type moody struct {
	Hub
	errs []error
	at   atomic.Int32
}

func (h *moody) CreateDevice(ctx context.Context, d service.Device) (service.Device, error) {
	if i := int(h.at.Add(1)) - 1; i < len(h.errs) {
		return service.Device{}, h.errs[i]
	}
	return h.Hub.CreateDevice(ctx, d)
}

func TestWhatTheHubCannotDoNowIsDoneLater(t *testing.T) {
	t.Parallel()
	refusal := func(status int) error {
		return &iot.Error{Kind: iot.KindFromHTTP(status), Op: "create", Err: &service.Refusal{Status: status, RetryAfter: time.Millisecond}}
	}
	for _, c := range []struct {
		name string
		err  error
	}{
		{"busy", refusal(429)},
		{"away", fmt.Errorf("create: %w", &net.OpError{Op: "dial", Err: errors.New("refused")})},
		{"another was faster", &iot.Error{Kind: iot.Conflict, Err: &service.Refusal{Status: 409, Code: "DeviceAlreadyExists"}}},
		{"its own fault", refusal(500)},
		{"the policy lacks a right", refusal(401)},
		{"it does not like what it is sent", refusal(400)},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			m := s.connect("site-1")
			p := s.start(func(cfg *Config) { cfg.Hub = &moody{Hub: s.client, errs: []error{c.err}} })
			p.ask("leaf-1", "create")
			if code := m.await("leaf-1", 1); code != http.StatusCreated {
				t.Errorf("told %d", code)
			}
			if p.Counts().Setbacks != 1 {
				t.Errorf("%+v", p.Counts())
			}
		})
	}
}

// A hub that is away now and then, for weeks, is as good as new each time.
func TestReadingBeginsAgainSoonAfterItWentWell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, err := Open(Config{Allow: list(t), Dir: filepath.Join(t.TempDir(), "p")})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		}()
		ctx, cancel := context.WithCancel(t.Context())
		r := &weary{end: cancel}
		if err := p.Follow(ctx, r); err != nil {
			t.Error(err)
		}
		if len(r.pauses) != 10 || slices.Max(r.pauses) > 2*time.Second {
			t.Errorf("pauses: %v", r.pauses)
		}
	})
}

// A weary reader reads for an hour, and then refuses.
type weary struct {
	ended  time.Time
	pauses []time.Duration
	end    func() // after ten pauses
}

func (r *weary) Read(ctx context.Context, _ eventhub.Position, _ bool, _ func(*hubevent.Event) error, _ func(error)) error {
	if !r.ended.IsZero() {
		r.pauses = append(r.pauses, time.Since(r.ended))
	}
	if len(r.pauses) == 10 {
		r.end()
		return ctx.Err()
	}
	wait(ctx, nil, time.Now().Add(time.Hour))
	r.ended = time.Now()
	return errors.New("the keys have changed")
}
