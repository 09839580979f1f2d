package presence

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sluice/internal/auth"
	"sluice/internal/sas"
	"sluice/iot"
)

type session struct {
	Seat
	name string
}

// A register is a directory that can be changed.
type register struct {
	mu   sync.Mutex
	regs map[iot.Identity]iot.Registration
}

func (r *register) Registration(id iot.Identity) (iot.Registration, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	reg, ok := r.regs[id]
	return reg, ok
}

func (r *register) EdgeDevice(string) (iot.Registration, bool) { return iot.Registration{}, false }

func (r *register) set(reg iot.Registration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.regs[reg.Identity] = reg
}

func (r *register) remove(id iot.Identity) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.regs, id)
}

type fixture struct {
	*Table[*session]
	reg  *register
	key  iot.Secret
	left []string
	told map[string]error
}

var dev = iot.DeviceIdentity("dev")

func newFixture() *fixture {
	f := &fixture{key: sas.NewKey(), told: map[string]error{}}
	f.reg = &register{regs: map[iot.Identity]iot.Registration{}}
	f.reg.set(f.registration(true))
	f.Table = NewTable(Options[*session]{
		Auth: auth.Authenticator{Directory: f.reg, Hosts: []string{"hub"}},
		Left: func(s *session) { f.left = append(f.left, s.name) },
	})
	return f
}

func (f *fixture) registration(enabled bool) iot.Registration {
	return iot.Registration{Identity: dev, Enabled: enabled, Auth: iot.Authentication{Type: iot.AuthSAS, PrimaryKey: f.key}}
}

func (f *fixture) creds(t *testing.T, life time.Duration) iot.Credentials {
	t.Helper()
	token, err := sas.Sign(f.key, sas.Resource{Host: "hub", Identity: dev}, "", time.Now().Add(life))
	if err != nil {
		t.Fatal(err)
	}
	return iot.Credentials{Identity: dev, Token: token}
}

func (f *fixture) enter(t *testing.T, name string, life time.Duration) (*session, error) {
	t.Helper()
	s := &session{name: name}
	err := f.Enter(s, f.creds(t, life), iot.Client{Ended: func(reason error) { f.told[name] = reason }})
	return s, err
}

func (f *fixture) mustEnter(t *testing.T, name string, life time.Duration) *session {
	t.Helper()
	s, err := f.enter(t, name, life)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// lost checks that a session has left once, and what its client was told.
func (f *fixture) lost(t *testing.T, s *session, why error) {
	t.Helper()
	n := 0
	for _, name := range f.left {
		if name == s.name {
			n++
		}
	}
	if n != 1 || !errors.Is(f.told[s.name], why) || s.Err() == nil {
		t.Errorf("%s left %d times, was told %v, Err %v; want once, told %v", s.name, n, f.told[s.name], s.Err(), why)
	}
}

func TestTheSecondTakesOver(t *testing.T) {
	f := newFixture()
	first := f.mustEnter(t, "first", time.Hour)
	second := f.mustEnter(t, "second", time.Hour)
	f.lost(t, first, iot.ErrTakenOver)
	if got, ok := f.Get(dev); !ok || got != second || f.Len() != 1 {
		t.Errorf("seated: %v, %v", got, ok)
	}
	first.Leave(iot.ErrClosed) // late, and must not unseat the second
	if _, ok := f.Get(dev); !ok {
		t.Error("the first took the second's seat away")
	}
}

func TestLeavingIsNotTold(t *testing.T) {
	f := newFixture()
	s := f.mustEnter(t, "s", time.Hour)
	if !s.Leave(iot.ErrClosed) || s.Leave(iot.ErrClosed) {
		t.Error("want the first Leave to report that the seat was held, and the second not")
	}
	f.lost(t, s, nil)
	if f.Len() != 0 {
		t.Error("still seated")
	}
}

func TestS7_TokenExpiresWhateverTheClockSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture()
		offset := time.Duration(0)
		f.opt.Auth.Now = func() time.Time { return time.Now().Add(offset) }
		ctx, cancel := context.WithCancel(t.Context())
		go f.Run(ctx)
		s := f.mustEnter(t, "s", time.Minute)
		offset = 24 * time.Hour // a clock that jumps cuts nobody off
		f.Rejudge()
		time.Sleep(50 * time.Second)
		synctest.Wait()
		if s.Err() != nil {
			t.Fatalf("ended before its time: %v", s.Err())
		}
		offset = -24 * time.Hour // nor keeps anybody
		time.Sleep(10*time.Second + SweepEvery)
		synctest.Wait()
		f.lost(t, s, iot.ErrTokenExpired)
		cancel()
		synctest.Wait()
		if err := f.Enter(&session{}, f.creds(t, time.Hour), iot.Client{}); err == nil {
			t.Error("somebody entered a closed table")
		}
	})
}

func TestRenew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go f.Run(ctx)
		s := f.mustEnter(t, "s", time.Minute)
		if err := s.Renew(ctx, iot.Credentials{Identity: dev, Token: "garbage"}); iot.KindOf(err) != iot.Unauthorized {
			t.Errorf("renewed with garbage: %v", err)
		}
		other := f.creds(t, time.Hour)
		other.Identity = iot.DeviceIdentity("other")
		if err := s.Renew(ctx, other); iot.KindOf(err) != iot.Unauthorized {
			t.Errorf("renewed as another: %v", err)
		}
		if err := s.Renew(ctx, f.creds(t, time.Hour)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Minute)
		synctest.Wait()
		if s.Err() != nil {
			t.Errorf("ended although renewed: %v", s.Err())
		}
	})
}

func TestARegistrationThatChangesEndsTheSession(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*fixture)
		want   error
	}{
		"disabled":  {func(f *fixture) { f.reg.set(f.registration(false)) }, iot.ErrDisabled},
		"removed":   {func(f *fixture) { f.reg.remove(dev) }, iot.ErrRemoved},
		"a new key": {func(f *fixture) { f.key = sas.NewKey(); f.reg.set(f.registration(true)) }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture()
			s := f.mustEnter(t, "s", time.Hour)
			f.Rejudge(iot.DeviceIdentity("another"))
			if s.Err() != nil {
				t.Fatal("ended by another's change")
			}
			c.change(f)
			f.Rejudge(dev)
			if s.Err() == nil || c.want != nil && !errors.Is(s.Err(), c.want) || f.told["s"] == nil {
				t.Errorf("ended with %v, told %v; want %v", s.Err(), f.told["s"], c.want)
			}
		})
	}
}

func TestARefusedOneLeavesTheOldSeated(t *testing.T) {
	f := newFixture()
	s := f.mustEnter(t, "s", time.Hour)
	if _, err := f.enter(t, "late", -time.Hour); iot.KindOf(err) != iot.Unauthorized {
		t.Fatalf("an expired token: %v", err)
	}
	if s.Err() != nil {
		t.Error("a client without proof ended another's session")
	}
}

func TestAVisitorDisturbsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture()
		ctx, cancel := context.WithCancel(t.Context())
		go f.Run(ctx)
		seated := f.mustEnter(t, "seated", time.Hour)
		visit := func(name string, life time.Duration) *session {
			s := &session{name: name}
			if err := f.Visit(s, f.creds(t, life), iot.Client{Ended: func(reason error) { f.told[name] = reason }}); err != nil {
				t.Fatal(err)
			}
			return s
		}
		long, short := visit("long", time.Hour), visit("short", time.Minute)
		if got, _ := f.Get(dev); got != seated || f.Len() != 1 || seated.Err() != nil {
			t.Errorf("seated: %v of %d, %v", got, f.Len(), seated.Err())
		}
		time.Sleep(time.Minute + SweepEvery)
		synctest.Wait()
		f.lost(t, short, iot.ErrTokenExpired)
		second := f.mustEnter(t, "second", time.Hour)
		if long.Err() != nil {
			t.Errorf("a visitor was taken over: %v", long.Err())
		}
		f.reg.set(f.registration(false))
		f.Rejudge(dev)
		f.lost(t, long, iot.ErrDisabled)
		f.lost(t, second, iot.ErrDisabled)
		if err := f.Visit(&session{}, f.creds(t, time.Hour), iot.Client{}); iot.KindOf(err) != iot.Unauthorized {
			t.Errorf("a disabled visitor: %v", err)
		}
		f.reg.set(f.registration(true))
		last := visit("last", time.Hour)
		cancel()
		synctest.Wait()
		f.lost(t, last, iot.ErrClosed)
		if err := f.Visit(&session{}, f.creds(t, time.Hour), iot.Client{}); err == nil {
			t.Error("somebody visited a closed table")
		}
	})
}

// A wall clock that steps an hour to and fro every second ends nobody's session,
// and the token ends it when its time has passed.
func TestT2_AClockThatStepsEverySecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture()
		var offset atomic.Int64
		f.opt.Auth.Now = func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go f.Run(ctx)
		s := f.mustEnter(t, "s", 2*time.Minute)
		for i := range 60 {
			offset.Store([]int64{int64(time.Hour), -int64(time.Hour)}[i%2])
			f.Rejudge()
			time.Sleep(time.Second)
			synctest.Wait()
			if s.Err() != nil {
				t.Fatalf("after %d steps: %v", i+1, s.Err())
			}
		}
		time.Sleep(time.Minute + SweepEvery)
		synctest.Wait()
		f.lost(t, s, iot.ErrTokenExpired)
	})
}
