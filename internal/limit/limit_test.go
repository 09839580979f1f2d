package limit

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sluice/iot"
)

// picky lets in who shows the right token, and counts who was asked about.
type picky struct {
	mu    sync.Mutex
	asked int
}

func (p *picky) Connect(_ context.Context, creds iot.Credentials, _ iot.Client) (iot.Session, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked++
	switch creds.Token {
	case "right":
		return nil, nil
	case "away":
		return nil, iot.Errorf(iot.Unavailable, "test", creds.Identity, "away")
	}
	return nil, iot.Errorf(iot.Unauthorized, "test", creds.Identity, "wrong")
}

var dev = iot.DeviceIdentity("dev")

func login(t *testing.T, h iot.Hub, token, remote string) iot.Kind {
	t.Helper()
	_, err := h.Connect(t.Context(), iot.Credentials{Identity: dev, Token: token}, iot.Client{RemoteAddr: remote})
	if err == nil {
		return 0xff
	}
	return iot.KindOf(err)
}

const welcome = iot.Kind(0xff)

func TestS11_AHundredBadLoginsASecondFromOneAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := new(picky)
		var text bytes.Buffer
		a := NewAddresses(0, 0, slog.New(slog.NewTextHandler(&text, nil)))
		h := a.Hub(hub, nil)
		const seconds = 60
		for i := range 100 * seconds {
			remote := fmt.Sprintf("192.0.2.1:%d", 1024+i) // a port each
			if got := login(t, h, "wrong", remote); i < DefaultBurst && got != iot.Unauthorized {
				t.Fatalf("bad login %d: %v", i, got)
			}
			if i%100 == 50 {
				// The same identity, from where it belongs.
				if got := login(t, h, "right", "192.0.2.2:4000"); got != welcome {
					t.Fatalf("another address, after %d bad logins from the first: %v", i, got)
				}
			}
			time.Sleep(10 * time.Millisecond)
		}
		if judged := hub.asked - seconds; judged > DefaultBurst+seconds*DefaultRate {
			t.Errorf("%d bad logins were judged, want no more than %d and %d a second", judged, DefaultBurst, DefaultRate)
		}
		if n := strings.Count(text.String(), "\n"); n == 0 || n > 2 {
			t.Errorf("%d lines in the log, want one a minute:\n%s", n, text.String())
		}
		if a.Refused.Load() == 0 {
			t.Error("nothing is counted")
		}
		time.Sleep(2 * time.Second)
		if got := login(t, h, "right", "192.0.2.1:80"); got != welcome {
			t.Errorf("a good login from the address, two seconds after: %v", got)
		}
	})
}

func TestS11_ASiteWhereSomeFailIsNoAttack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewAddresses(0, 0, nil).Hub(new(picky), nil)
		for range 1000 {
			if got := login(t, h, "right", "192.0.2.1:1"); got != welcome {
				t.Fatalf("a good login: %v", got)
			}
			login(t, h, "wrong", "192.0.2.1:2")
		}
	})
}

func TestS11_AHubThatIsAwayIsNobodysFault(t *testing.T) {
	h := NewAddresses(0, 0, nil).Hub(new(picky), nil)
	for range 100 {
		if got := login(t, h, "away", "192.0.2.1:1"); got != iot.Unavailable {
			t.Fatal(got)
		}
	}
}

func TestS11_WhatIsExcusedDoesNotCount(t *testing.T) {
	h := NewAddresses(0, 0, nil).Hub(new(picky), func(creds iot.Credentials, remote string) bool {
		return creds.Identity == dev && remote == "192.0.2.1:1"
	})
	for range 100 {
		if got := login(t, h, "wrong", "192.0.2.1:1"); got != iot.Unauthorized {
			t.Fatal(got)
		}
	}
}

func TestS11_WhatAnAddressIs(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"192.0.2.1:1", "192.0.2.1:2", true},
		{"192.0.2.1:1", "192.0.2.2:1", false},
		{"[::ffff:192.0.2.1]:1", "192.0.2.1:9", true},
		{"[2001:db8::1]:1", "[2001:db8::ffff:1]:1", true},
		{"[2001:db8::1]:1", "[2001:db8:0:1::1]:1", false},
		{"[fe80::1%eth0]:1", "[fe80::1%eth1]:1", true},
	} {
		a, ok1 := addressOf(c.a)
		b, ok2 := addressOf(c.b)
		if !ok1 || !ok2 || (a == b) != c.same {
			t.Errorf("%s, %s: %v %v", c.a, c.b, a, b)
		}
	}
	a := NewAddresses(1, 0, nil)
	for range 3 {
		a.Failed("@") // a Unix socket, a pipe of a test
	}
	if !a.Allow("@") {
		t.Error("what has no address is turned away")
	}
}

func TestEdgeHubW20_AddressesAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := NewAddresses(0, 0, nil)
		name := func(i int) string { return fmt.Sprintf("10.%d.%d.%d:1", i>>16, i>>8&255, i&255) }
		for i := range maxAddresses + 100 {
			a.Failed(name(i))
		}
		if n := len(a.failed); n != maxAddresses {
			t.Errorf("%d addresses are remembered, want %d", n, maxAddresses)
		}
		time.Sleep(time.Minute)
		a.Failed(name(1 << 20))
		if n := len(a.failed); n != 1 {
			t.Errorf("%d addresses are remembered after a quiet minute", n)
		}
	})
}

func TestS11_ConnectionsAreTurnedAwayBeforeTheirHandshake(t *testing.T) {
	raw, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a := NewAddresses(2, 1e-9, nil)
	l := a.Listener(raw)
	defer l.Close()
	accepted := make(chan net.Conn, 1)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	})
	defer wg.Wait()
	defer l.Close()
	dial := func() net.Conn {
		c, err := net.Dial("tcp", raw.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := dial()
	s := <-accepted
	if _, ok := s.(*net.TCPConn); !ok {
		t.Errorf("the connection is a %T, not what was accepted", s)
	}
	a.Failed(s.RemoteAddr().String())
	a.Failed(s.RemoteAddr().String())
	late := dial()
	if n, err := late.Read(make([]byte, 1)); err == nil {
		t.Errorf("read %d bytes; want to be turned away", n)
	}
	go s.Write([]byte("x")) //nolint:errcheck // the read below fails then
	if _, err := c.Read(make([]byte, 1)); err != nil {
		t.Errorf("a connection that was open: %v", err)
	}
	for _, c := range []net.Conn{c, s, late} {
		_ = c.Close()
	}
}

func TestPaceIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPace(10, 5)
		var mu sync.Mutex
		var order []int
		began := time.Now()
		for i := range 105 {
			p.Done(1, func() { mu.Lock(); order = append(order, i); mu.Unlock() })
		}
		mu.Lock()
		if len(order) != 5 {
			t.Errorf("%d at once, want 5", len(order))
		}
		mu.Unlock()
		time.Sleep(5*time.Second + time.Millisecond)
		synctest.Wait()
		mu.Lock()
		if len(order) != 55 {
			t.Errorf("%d in five seconds, want 55", len(order))
		}
		mu.Unlock()
		time.Sleep(time.Until(began.Add(10*time.Second + time.Millisecond)))
		synctest.Wait()
		if len(order) != 105 || !slices.IsSorted(order) {
			t.Errorf("%d in ten seconds, in the order %v", len(order), order)
		}
		// After a quiet time there is room for a burst again.
		if p.Idle() {
			t.Error("idle right after it")
		}
		time.Sleep(time.Minute)
		if !p.Idle() {
			t.Error("not idle after a quiet minute")
		}
		called := 0
		for range 5 {
			p.Done(1, func() { called++ })
		}
		if called != 5 {
			t.Errorf("%d of a burst of 5 at once", called)
		}
	})
}

func TestPaceHoldsNothingBackForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPace(1, 1)
		var called atomic.Int64
		for range 1000 {
			p.Done(1, func() { called.Add(1) })
		}
		time.Sleep(MaxHold + time.Millisecond)
		synctest.Wait()
		if n := called.Load(); n != 1000 {
			t.Errorf("%d of 1000 were called back after %v", n, MaxHold)
		}
	})
}

func TestPaceEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPace(1, 1)
		var mu sync.Mutex
		called := 0
		for range 100 {
			p.Done(1, func() { mu.Lock(); called++; mu.Unlock() })
		}
		p.End()
		synctest.Wait()
		if called != 100 {
			t.Errorf("%d of 100 were called back", called)
		}
		p.Done(50, func() { called++ })
		if called != 101 {
			t.Error("held back after the end")
		}
	})
}

func BenchmarkPaceWithinItsRate(b *testing.B) {
	p := NewPace(1e12, 1<<20)
	f := func() {}
	b.ReportAllocs()
	for b.Loop() {
		p.Done(16, f)
	}
}

func BenchmarkAllow(b *testing.B) {
	a := NewAddresses(0, 0, nil)
	a.Failed("192.0.2.1:5")
	b.ReportAllocs()
	for b.Loop() {
		a.Allow("192.0.2.1:5")
	}
}
