package amqplink

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/amqp10"
	"sluice/internal/await"
	"sluice/iot"
)

var leaf = iot.DeviceIdentity("leaf")

func body1(text string) []iot.Message { return []iot.Message{{Body: []byte(text)}} }

func TestARefusedBatchFailsThoseBehindIt(t *testing.T) {
	h := startHub(t)
	arrived := make(chan string, 10)
	h.telemetry = func(c *fakeConn, d *amqp10.Delivery) {
		m, _ := d.Message()
		c.hold(d)
		arrived <- string(m.Data[0])
	}
	s := h.connect(h.pool(nil), leaf, nil)
	type result struct {
		name string
		err  error
	}
	done := make(chan result, 10)
	for _, name := range []string{"a", "b", "c"} {
		s.Send(body1(name), func(err error) { done <- result{name, err} })
		await.Value(t, arrived, "the message")
	}
	h.conn(0).release(func(d *amqp10.Delivery) {
		if m, _ := d.Message(); string(m.Data[0]) == "a" {
			d.Reject(amqp10.Errorf("com.microsoft:argument-error", "no"))
			return
		}
		d.Accept()
	})
	for i, want := range []struct {
		name string
		kind iot.Kind
	}{{"a", iot.Invalid}, {"b", iot.Unavailable}, {"c", iot.Unavailable}} {
		if got := await.Value(t, done, "done"); got.name != want.name || got.err == nil || iot.KindOf(got.err) != want.kind {
			t.Errorf("call %d of done: %s %v, want %s %v", i, got.name, got.err, want.name, want.kind)
		}
	}
	s.Send(body1("d"), func(err error) { done <- result{"d", err} })
	await.Value(t, arrived, "the message")
	h.conn(0).release((*amqp10.Delivery).Accept)
	if got := await.Value(t, done, "done"); got.err != nil {
		t.Errorf("the session does not go on: %v", got.err)
	}
}

func TestOutcomesOutOfOrderAreReportedInOrder(t *testing.T) {
	h := startHub(t)
	arrived := make(chan struct{}, 10)
	h.telemetry = func(c *fakeConn, d *amqp10.Delivery) { c.hold(d); arrived <- struct{}{} }
	s := h.connect(h.pool(nil), leaf, nil)
	done := make(chan int, 3)
	for i := range 3 {
		s.Send(body1(fmt.Sprint(i)), func(err error) {
			if err != nil {
				t.Error(err)
			}
			done <- i
		})
		await.Value(t, arrived, "the message")
	}
	c := h.conn(0)
	c.mu.Lock()
	c.held[0], c.held[2] = c.held[2], c.held[0]
	c.mu.Unlock()
	c.release((*amqp10.Delivery).Accept)
	for i := range 3 {
		if got := await.Value(t, done, "done"); got != i {
			t.Errorf("batch %d reported as the %dth", got, i)
		}
	}
}

func TestEveryOutcomeButAcceptedIsAnError(t *testing.T) {
	for name, tt := range map[string]struct {
		settle func(*amqp10.Delivery)
		want   iot.Kind
	}{
		"released":           {(*amqp10.Delivery).Release, iot.Unavailable},
		"modified":           {func(d *amqp10.Delivery) { d.Settle(amqp10.Modified(true, false)) }, iot.Unavailable},
		"no outcome":         {func(d *amqp10.Delivery) { d.Settle(amqp10.Outcome{}) }, iot.Unavailable},
		"rejected":           {func(d *amqp10.Delivery) { d.Reject(nil) }, iot.Unavailable},
		"throttled":          {func(d *amqp10.Delivery) { d.Reject(amqp10.Errorf("com.microsoft:device-container-throttled", "")) }, iot.Throttled},
		"too large":          {func(d *amqp10.Delivery) { d.Reject(amqp10.Errorf(amqp10.ErrMessageSizeExceeded, "")) }, iot.TooLarge},
		"not authorized":     {func(d *amqp10.Delivery) { d.Reject(amqp10.Errorf(amqp10.ErrUnauthorized, "")) }, iot.Unauthorized},
		"a condition unseen": {func(d *amqp10.Delivery) { d.Reject(amqp10.Errorf("com.example:other", "")) }, iot.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			h := startHub(t)
			h.telemetry = func(_ *fakeConn, d *amqp10.Delivery) { tt.settle(d) }
			s := h.connect(h.pool(nil), leaf, nil)
			done := make(chan error, 1)
			s.Send(body1("x"), func(err error) { done <- err })
			if err := await.Value(t, done, "done"); err == nil || iot.KindOf(err) != tt.want {
				t.Errorf("done got %v, want %v", err, tt.want)
			}
		})
	}
}

func TestSendWaitsWhenTooMuchIsUnderWay(t *testing.T) {
	h := startHub(t)
	h.telemetry = func(c *fakeConn, d *amqp10.Delivery) { c.hold(d) }
	s := h.connect(h.pool(nil), leaf, nil)
	var returned atomic.Int32
	full := make(chan error, 100)
	go func() {
		big := []iot.Message{{Body: make([]byte, 200<<10)}}
		for range 10 {
			s.Send(big, func(err error) { full <- err })
			returned.Add(1)
		}
	}()
	c := h.conn(0)
	for range 10 {
		await.True(t, "a delivery", func() bool { c.mu.Lock(); defer c.mu.Unlock(); return len(c.held) > 0 })
		if n := int(returned.Load()); n > 6+len(full)+1 {
			t.Fatalf("%d calls of Send returned with %d settled", n, len(full))
		}
		c.mu.Lock()
		first := c.held[0]
		c.held = c.held[1:]
		c.mu.Unlock()
		first.Accept()
	}
	for range 10 {
		if err := await.Value(t, full, "done"); err != nil {
			t.Error(err)
		}
	}
}

func TestU11_AHubThatDoesNotSettleLosesTheSession(t *testing.T) {
	h := startHub(t)
	h.telemetry = func(c *fakeConn, d *amqp10.Delivery) { c.hold(d) }
	ended := make(chan error, 1)
	s := h.connect(h.pool(func(c *Config) { c.OperationTimeout = 50 * time.Millisecond }), leaf, func(err error) { ended <- err })
	done := make(chan error, 1)
	s.Send(body1("x"), func(err error) { done <- err })
	if err := await.Value(t, done, "the failure"); iot.KindOf(err) != iot.Timeout {
		t.Errorf("done got %v", err)
	}
	if err := await.Value(t, ended, "Ended"); iot.KindOf(err) != iot.Timeout {
		t.Errorf("ended with %v", err)
	}
}

func TestU11_AHubThatDoesNotAnswerATokenIsATimeout(t *testing.T) {
	h := startHub(t)
	h.judge = func(string, string) int32 { return 0 }
	p := h.pool(func(c *Config) { c.OperationTimeout = 50 * time.Millisecond })
	_, err := p.Connect(t.Context(), creds(leaf), iot.Client{})
	if iot.KindOf(err) != iot.Timeout {
		t.Errorf("error %v", err)
	}
}

func TestConnectTellsARefusalFromAnAbsence(t *testing.T) {
	refusal := func(c amqp10.Condition) func(*fakeHub) {
		return func(h *fakeHub) {
			h.attach = func(r *amqp10.LinkRequest) *amqp10.Error {
				if r.Target != nil && strings.HasSuffix(r.Target.Address, "/messages/events") {
					return amqp10.Errorf(c, "no")
				}
				return nil
			}
		}
	}
	status := func(n int32) func(*fakeHub) {
		return func(h *fakeHub) { h.judge = func(string, string) int32 { return n } }
	}
	for name, tt := range map[string]struct {
		change func(*fakeHub)
		want   iot.Kind
	}{
		"token refused":    {status(401), iot.Unauthorized},
		"unknown identity": {status(404), iot.Unauthorized},
		"token throttled":  {status(429), iot.Throttled},
		"hub busy":         {status(503), iot.Unavailable},
		"link refused":     {refusal(amqp10.ErrUnauthorized), iot.Unauthorized},
		"link unknown":     {refusal(amqp10.ErrNotFound), iot.Unauthorized},
		"links throttled":  {refusal("com.microsoft:device-container-throttled"), iot.Throttled},
		"hub in trouble":   {refusal(amqp10.ErrInternal), iot.Unavailable},
		"no link to $cbs": {func(h *fakeHub) {
			h.attach = func(*amqp10.LinkRequest) *amqp10.Error { return amqp10.Errorf(amqp10.ErrInternal, "") }
		}, iot.Unavailable},
		"nobody to dial": {func(h *fakeHub) { h.addr = "127.0.0.1:1" }, iot.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			h := startHub(t)
			tt.change(h)
			p := h.pool(nil)
			_, err := p.Connect(t.Context(), creds(leaf), iot.Client{Ended: func(error) { t.Error("Ended was called for a session that never was") }})
			if err == nil || iot.KindOf(err) != tt.want {
				t.Errorf("%v, want %v", err, tt.want)
			}
			p.Close()
			if len(p.lines) != 0 || len(p.byID) != 0 {
				t.Errorf("%d lines and %d sessions are left", len(p.lines), len(p.byID))
			}
		})
	}
}

func TestAClosedLinkEndsOneSessionAndNoOther(t *testing.T) {
	h := startHub(t)
	p := h.pool(nil)
	ended := make(chan error, 2)
	var links []*amqp10.LinkRequest
	var mu sync.Mutex
	h.attach = func(r *amqp10.LinkRequest) *amqp10.Error {
		mu.Lock()
		defer mu.Unlock()
		links = append(links, r)
		return nil
	}
	a := h.connect(p, iot.DeviceIdentity("a"), func(err error) { ended <- err })
	b := h.connect(p, iot.DeviceIdentity("b"), func(err error) { ended <- err })
	if _, err := a.Methods(func(iot.MethodCall, func(iot.MethodResult)) {}); err != nil {
		t.Fatal(err)
	}
	c := h.conn(0)
	c.mu.Lock()
	methods := c.senders["/devices/a/methods/devicebound"]
	c.mu.Unlock()
	methods.CloseWith(amqp10.Errorf(amqp10.ErrStolen, "another came"))
	if err := await.Value(t, ended, "the end of the session"); !errors.Is(err, iot.ErrTakenOver) {
		t.Errorf("ended with %v", err)
	}
	done := make(chan error, 2)
	a.Send(body1("x"), func(err error) { done <- err })
	if err := await.Value(t, done, "done"); !errors.Is(err, iot.ErrTakenOver) {
		t.Errorf("a dead session said %v", err)
	}
	b.Send(body1("x"), func(err error) { done <- err })
	if err := await.Value(t, done, "done"); err != nil || len(ended) != 0 {
		t.Errorf("the other session: %v", err)
	}
}

func TestALostConnectionEndsAllItsSessions(t *testing.T) {
	h := startHub(t)
	h.telemetry = func(c *fakeConn, d *amqp10.Delivery) { c.hold(d) }
	p := h.pool(nil)
	const n = 50
	ended, done := make(chan error, n), make(chan error, n)
	for i := range n {
		s := h.connect(p, iot.DeviceIdentity(fmt.Sprint("d", i)), func(err error) { ended <- err })
		s.Send(body1("x"), func(err error) { done <- err })
	}
	if h.count() != 1 {
		t.Fatalf("%d connections for %d identities", h.count(), n)
	}
	h.conn(0).amqp.CloseWith(amqp10.Errorf(amqp10.ErrConnectionForced, "maintenance"))
	for range n {
		if err := await.Value(t, ended, "Ended"); iot.KindOf(err) != iot.Unavailable {
			t.Errorf("ended with %v", err)
		}
		if err := await.Value(t, done, "done"); iot.KindOf(err) != iot.Unavailable {
			t.Errorf("done with %v", err)
		}
	}
	h.connect(p, leaf, nil) // on a new connection
	if h.count() != 2 {
		t.Errorf("%d connections, want a second", h.count())
	}
}

func TestAFullConnectionIsFollowedByAnother(t *testing.T) {
	h := startHub(t)
	p := h.pool(func(c *Config) { c.Identities = 3 })
	var all []iot.Session
	for i := range 7 {
		all = append(all, h.connect(p, iot.DeviceIdentity(fmt.Sprint("d", i)), nil))
	}
	if h.count() != 3 {
		t.Errorf("%d connections for 7 identities, 3 on each", h.count())
	}
	for _, s := range all {
		_ = s.Close()
	}
	for i := range 3 {
		await.Value(t, h.conn(i).closed, "the end of a connection that nobody uses")
	}
}

func TestManyIdentitiesComeWithoutAStampede(t *testing.T) {
	h := startHub(t)
	var at, most, dials atomic.Int32
	h.attach = func(r *amqp10.LinkRequest) *amqp10.Error {
		if r.Target != nil && r.Target.Address != cbsNode {
			at.Add(-1)
		}
		return nil
	}
	h.judge = func(string, string) int32 {
		most.Store(max(most.Load(), at.Add(1)))
		return 200
	}
	p := h.pool(func(c *Config) {
		c.Concurrency = 4
		dial := c.Dial
		c.Dial = func(ctx context.Context) (net.Conn, error) { dials.Add(1); return dial(ctx) }
	})
	var wg sync.WaitGroup
	sessions := make(chan iot.Session, 200)
	for i := range 200 {
		wg.Go(func() {
			s, err := p.Connect(t.Context(), creds(iot.DeviceIdentity(fmt.Sprint("d", i))), iot.Client{})
			if err != nil {
				t.Error(err)
				return
			}
			sessions <- s
		})
	}
	wg.Wait()
	close(sessions)
	if dials.Load() != 1 {
		t.Errorf("%d connections were dialed", dials.Load())
	}
	if most.Load() > 4 {
		t.Errorf("%d identities were at it at a time", most.Load())
	}
	if len(p.turns) != 0 || cap(p.turns) != 4 {
		t.Errorf("%d of %d turns are taken", len(p.turns), cap(p.turns))
	}
	for s := range sessions {
		_ = s.Close()
	}
}

func TestMoreIdentitiesThanChannelsShareThem(t *testing.T) {
	h := startHubWith(t, amqp10.Limits{Sessions: 3, Links: 1000})
	p := h.pool(nil)
	done := make(chan error, 10)
	for i := range 10 {
		s := h.connect(p, iot.DeviceIdentity(fmt.Sprint("d", i)), nil)
		s.Send(body1("x"), func(err error) { done <- err })
	}
	for range 10 {
		if err := await.Value(t, done, "done"); err != nil {
			t.Error(err)
		}
	}
	if h.count() != 1 {
		t.Errorf("%d connections", h.count())
	}
}

func TestTokensGoOnAfterTheirLinkWasClosed(t *testing.T) {
	h := startHub(t)
	p := h.pool(nil)
	s := h.connect(p, leaf, nil)
	c := h.conn(0)
	c.claims.CloseWith(amqp10.Errorf(amqp10.ErrDetachForced, "idle for long"))
	await.True(t, "the end of the links", func() bool {
		d := &p.lines[0].tokens
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.links == nil
	})
	if err := s.Renew(t.Context(), creds(leaf)); err != nil {
		t.Error(err)
	}
}

func TestU4_AHubThatAnswersNothingLosesTheConnection(t *testing.T) {
	h := startHub(t)
	h.telemetry = func(c *fakeConn, d *amqp10.Delivery) { c.hold(d) }
	p := h.pool(func(c *Config) { c.OperationTimeout = 50 * time.Millisecond })
	ended := make(chan error, 2)
	a := h.connect(p, iot.DeviceIdentity("a"), func(err error) { ended <- err })
	h.connect(p, iot.DeviceIdentity("b"), func(err error) { ended <- err })
	a.Send(body1("x"), func(error) {})
	for range 2 {
		if err := await.Value(t, ended, "the end of a session"); !iot.KindOf(err).Retryable() {
			t.Errorf("ended with %v", err)
		}
	}
}

func TestU11_AnOperationThatIsStuckLosesOneSessionOnly(t *testing.T) {
	h := startHub(t)
	h.telemetry = func(c *fakeConn, d *amqp10.Delivery) {
		if m, _ := d.Message(); string(m.Data[0]) == "stuck" {
			c.hold(d)
			return
		}
		d.Accept()
	}
	p := h.pool(func(c *Config) { c.OperationTimeout = 100 * time.Millisecond })
	ended := make(chan error, 2)
	a := h.connect(p, iot.DeviceIdentity("a"), func(err error) { ended <- err })
	b := h.connect(p, iot.DeviceIdentity("b"), func(err error) { ended <- err })
	a.Send(body1("stuck"), func(error) {})
	done := make(chan error, 1)
	b.Send(body1("x"), func(err error) { done <- err })
	if err := await.Value(t, done, "done"); err != nil {
		t.Error(err)
	}
	if err := await.Value(t, ended, "the end of the stuck session"); iot.KindOf(err) != iot.Timeout {
		t.Errorf("ended with %v", err)
	}
	b.Send(body1("x"), func(err error) { done <- err })
	if err := await.Value(t, done, "done"); err != nil || len(ended) != 0 {
		t.Errorf("the other session: %v", err)
	}
	if _, err := b.Twin(t.Context()); iot.KindOf(err) != iot.Timeout {
		t.Errorf("a twin that never comes: %v", err)
	}
}

func TestU6_AHubThatHasMovedIsLookedForAgain(t *testing.T) {
	h := startHub(t)
	h.telemetry = func(_ *fakeConn, d *amqp10.Delivery) { d.Reject(amqp10.Errorf(movedAway, "")) }
	p := h.pool(nil)
	ended := make(chan error, 2)
	a := h.connect(p, iot.DeviceIdentity("a"), func(err error) { ended <- err })
	h.connect(p, iot.DeviceIdentity("b"), func(err error) { ended <- err })
	done := make(chan error, 1)
	a.Send(body1("x"), func(err error) { done <- err })
	if err := await.Value(t, done, "done"); iot.KindOf(err) != iot.Unavailable {
		t.Errorf("done got %v", err)
	}
	for range 2 {
		if err := await.Value(t, ended, "the end of a session"); iot.KindOf(err) != iot.Unavailable {
			t.Errorf("ended with %v", err)
		}
	}
	h.connect(p, iot.DeviceIdentity("a"), nil)
	if h.count() != 2 {
		t.Errorf("%d connections", h.count())
	}
}

// A hub that throttles is asked once for each message: when to try again, the gateway
// decides. The session stays, and is good when the hub takes messages again.
func TestB5_AHubThatThrottlesIsNotAskedAgain(t *testing.T) {
	h := startHub(t)
	busy := []amqp10.Condition{amqp10.ErrResourceLimit, amqp10.ErrTransferLimitExceeded, "com.microsoft:device-container-throttled", "com.microsoft:server-busy"}
	var asked atomic.Int32
	h.telemetry = func(_ *fakeConn, d *amqp10.Delivery) {
		if n := int(asked.Add(1)); n <= len(busy) {
			d.Reject(amqp10.Errorf(busy[n-1], "slow down"))
			return
		}
		d.Accept()
	}
	ended := make(chan error, 1)
	s := h.connect(h.pool(nil), leaf, func(err error) { ended <- err })
	done := make(chan error, 1)
	for i := range len(busy) + 1 {
		s.Send(body1("x"), func(err error) { done <- err })
		err := await.Value(t, done, "done")
		if i < len(busy) && iot.KindOf(err) != iot.Throttled {
			t.Errorf("%s: %v", busy[i], err)
		}
		if i == len(busy) && err != nil {
			t.Errorf("after that: %v", err)
		}
	}
	if n := int(asked.Load()); n != len(busy)+1 || len(ended) != 0 || h.count() != 1 {
		t.Errorf("asked %d times on %d connections, %d sessions ended", n, h.count(), len(ended))
	}
}
