package amqphead_test

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sluice/amqp10"
	"sluice/internal/amqphead"
	"sluice/internal/iottest"
	"sluice/internal/sas"
	"sluice/iot"
)

// onStage runs f with a client that has put a token of dev1.
func onStage(t *testing.T, f func(t *testing.T, s *stage, c *player)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		defer s.Stop()
		s.Act("C> open")
		s.Act("C> put dev1")
		synctest.Wait()
		f(t, s, s.client(""))
	})
}

// said returns the lines since the last time that have text in them.
func (s *stage) said(text string) (lines []string) {
	synctest.Wait()
	for line := range strings.Lines(s.Take()) {
		if strings.Contains(line, text) {
			lines = append(lines, line)
		}
	}
	return lines
}

func TestA8_LinksOfOneIdentityAreBounded(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage, c *player) {
		for i := range 20 {
			s.Act(fmt.Sprintf("C> attach l%d to /devices/dev1/messages/events", i))
		}
		if got := s.said("refused"); len(got) != 4 {
			t.Errorf("of 20 links %d were refused, want 4", len(got))
		}
		s.Act("C> detach l3")
		synctest.Wait()
		s.Act("C> attach l20 to /devices/dev1/messages/events")
		if got := s.said("attached"); len(got) != 1 {
			t.Error("a link that was detached still counts")
		}
	})
}

func TestIdentitiesOfOneConnectionAreBounded(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage, c *player) {
		for i := range 30 { // 20 are allowed, and there is one
			s.Act(fmt.Sprintf("C> put d%d", i))
		}
		if got := s.said("429"); len(got) != 11 {
			t.Errorf("of 30 tokens %d were refused, want 11", len(got))
		}
	})
}

// A client that puts tokens and does not listen to the answers comes to a halt, before
// it costs much, whether its tokens are good or not, and goes on when it listens.
func TestA11_AFloodOfTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		defer s.Stop()
		s.Act("C> open")
		s.Act("C> attach $cbs to $cbs")
		s.Act("C> attach $cbs from $cbs")
		synctest.Wait()
		c := s.client("")
		settled, sent := 0, 0
		token := token(s, "dev1", "1h", hubName)
		flood := func() {
			for range 10 {
				for n := range 100 {
					msg := &amqp10.Message{Value: token, Properties: &amqp10.Properties{MessageID: strings.Repeat("x", 1000)}}
					msg.ApplicationProperties.Set("operation", "put-token")
					msg.ApplicationProperties.Set("type", "servicebus.windows.net:sastoken")
					msg.ApplicationProperties.Set("name", hubName+"/devices/dev"+fmt.Sprint(1+n%2))
					if c.sender["$cbs"].Send(amqp10.Outgoing{Message: msg, Done: func(amqp10.Outcome, error) { settled++ }}) != nil {
						break
					}
					sent++
				}
				synctest.Wait()
			}
		}
		flood()
		if sent < 64 || sent > 200 {
			t.Errorf("%d tokens were taken without anybody listening to the answers", sent)
		}
		c.receiver["$cbs"].IssueCredit(100_000)
		if got := len(s.said("$cbs got")); got != sent || settled != sent {
			t.Errorf("of %d tokens %d were answered and %d settled", sent, got, settled)
		}
		before := sent
		flood()
		if sent-before < 300 {
			t.Errorf("%d of 1000 tokens were taken when somebody listened", sent-before)
		}
	})
}

// B3: a client that gives all the credit there is gets a window, and the rest stays
// with the hub.
func TestB3_CreditWithoutEnd(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage, c *player) {
		s.Act("C> attach c2d from /devices/dev1/messages/devicebound credit=4294967295")
		synctest.Wait()
		body := strings.Repeat("x", 64<<10)
		for i := range 1000 {
			s.hub.Deliver(iot.DeviceIdentity("dev1"), iot.Delivery{LockToken: fmt.Sprint(i), Message: iot.Message{Body: []byte(body)}})
		}
		underWay := 0
		for range 100 {
			underWay += len(s.said("c2d got"))
			if underWay < 4 || underWay > 16 {
				t.Fatalf("%d deliveries of 64 KiB are under way, want 4 to 16", underWay)
			}
			s.Act("C> settle c2d accepted")
			underWay--
		}
	})
}

// A client that asks for its twin's changes and does not read them loses the link,
// not the connection, and its telemetry goes on.
func TestUnreadChangesCostTheLink(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage, c *player) {
		s.Act("C> attach events to /devices/dev1/messages/events")
		s.Act("C> attach ask to /devices/dev1/twin")
		s.Act("C> attach hear from /devices/dev1/twin credit=1")
		s.Act("C> send ask _ @operation=PUT @resource=/notifications/twin/properties/desired $cid=1")
		synctest.Wait()
		patch := []byte(`{"a":"` + strings.Repeat("x", 30<<10) + `","$version":2}`)
		for range 100 {
			s.hub.Session(iot.DeviceIdentity("dev1")).Change(patch)
		}
		s.Act("C> send events still")
		lines := strings.Join(s.said(""), "")
		if !strings.Contains(lines, `hear closed: amqp:resource-limit-exceeded`) || !strings.Contains(lines, "S> events accepted") {
			t.Error(lines)
		}
	})
}

// Calls that a client does not take are answered, before they cost much.
func TestUntakenCallsAreAnswered(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage, c *player) {
		s.Act("C> attach calls from /devices/dev1/methods/devicebound")
		synctest.Wait()
		client := s.hub.Session(iot.DeviceIdentity("dev1"))
		payload := []byte(`"` + strings.Repeat("x", 100<<10) + `"`)
		refused := 0
		for range 30 {
			client.Invoke(iot.MethodCall{Name: "m", Payload: payload}, func(r iot.MethodResult) { refused++ })
		}
		if refused < 15 {
			t.Errorf("of 30 calls of 100 KiB, %d were refused", refused)
		}
		time.Sleep(time.Hour) // the rest are forgotten
	})
}

// What one link does not read does not hold up another.
func TestAFullLinkDoesNotStopOthers(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage, c *player) {
		s.Act("C> attach c2d from /devices/dev1/messages/devicebound")
		s.Act("C> attach ask to /devices/dev1/twin")
		s.Act("C> attach hear from /devices/dev1/twin credit=10")
		s.Act("H> hold")
		s.Act("C> attach events to /devices/dev1/messages/events")
		s.Act("C> send events waits")
		s.Act("C> send ask _ @operation=GET $cid=1")
		if got := s.said("hear got"); len(got) != 1 {
			t.Error("the twin waits for telemetry")
		}
	})
}

// The peer goes between SASL and its open: its session goes too.
func TestPlainClientThatNeverOpens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := iottest.NewHub()
		near, far := net.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = amqphead.New(hub, amqphead.Options{}).Server().ServeConn(context.Background(), far)
		}()
		s := &stage{t: t}
		text := "\x00dev1@sas.hub\x00" + token(s, "dev1", "1h", hubName)
		go func() { // what the server says is not of interest
			b := make([]byte, 1000)
			for {
				if _, err := near.Read(b); err != nil {
					return
				}
			}
		}()
		if _, err := near.Write(append([]byte("AMQP\x03\x01\x00\x00"), saslInit("PLAIN", text)...)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if hub.Session(iot.DeviceIdentity("dev1")) == nil {
			t.Fatal("there is no session")
		}
		_ = near.Close()
		<-done
		synctest.Wait()
		if hub.Session(iot.DeviceIdentity("dev1")) != nil {
			t.Error("the session was left behind")
		}
	})
}

// saslInit is a sasl-init frame.
func saslInit(mechanism, response string) []byte {
	list := append([]byte{0xa3, byte(len(mechanism))}, mechanism...)
	list = append(list, 0xb0, 0, 0, byte(len(response)>>8), byte(len(response)))
	list = append(list, response...)
	size := len(list) + 4
	body := append([]byte{0, 0x53, 0x41, 0xd0, 0, 0, byte(size >> 8), byte(size), 0, 0, 0, 2}, list...)
	n := len(body) + 8
	return append([]byte{0, 0, byte(n >> 8), byte(n), 2, 1, 0, 0}, body...)
}

// BenchmarkIdentitiesOfAnUplink attaches identities to one connection as a gateway
// does: one token, and a link each.
func BenchmarkIdentitiesOfAnUplink(b *testing.B) {
	hub := iottest.NewHub()
	d := newDesk(b, serve(b, hub, amqp10.LoginAnonymous()))
	text := sign(b, "gw/$edgeHub", sas.Resource{Host: hubName, Identity: iot.ModuleIdentity("gw", "$edgeHub")})
	if status := d.put(text, hubName+"/devices/gw/modules/$edgeHub"); status != 200 {
		b.Fatal(status)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	b.ResetTimer()
	n := 0
	for b.Loop() {
		if n == 10_000 {
			b.Fatal("more identities than a connection may have; use -benchtime 9000x")
		}
		id := fmt.Sprintf("leaf%d", n)
		_, err := d.sess.AttachSender(b.Context(), amqp10.SenderConfig{
			Target:     &amqp10.Target{Address: "/devices/" + id + "/messages/events"},
			Properties: amqp10.Fields{{Key: "com.microsoft:auth-chain", Value: id + ";gw"}},
		})
		if err != nil {
			b.Fatal(err)
		}
		n++
	}
	b.StopTimer()
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(n), "heap-B/identity")
}

// BenchmarkTelemetry is messages of ten properties, from the client's Send to its
// accepted, with a hub that takes no time.
func BenchmarkTelemetry(b *testing.B) {
	hub := iottest.NewHub()
	d := newDesk(b, serve(b, hub, amqp10.LoginAnonymous()))
	if status := d.put(sign(b, "A", sas.Resource{Host: hubName, Identity: iot.DeviceIdentity("A")}), hubName+"/devices/A"); status != 200 {
		b.Fatal(status)
	}
	credit := make(chan struct{}, 1)
	s, err := d.sess.AttachSender(b.Context(), amqp10.SenderConfig{
		Target: &amqp10.Target{Address: "/devices/A/messages/events"},
		OnCredit: func(uint32, bool) {
			select {
			case credit <- struct{}{}:
			default:
			}
		},
	})
	if err != nil {
		b.Fatal(err)
	}
	words := []string{strings.Repeat("x", 200), "$id=m1", "$ct=application/json", "$ce=utf-8"}
	for i := range 10 {
		words = append(words, fmt.Sprintf("property%d=value%d", i, i))
	}
	payload := encode(b, messageOf(words))
	b.ReportAllocs()
	b.SetBytes(int64(len(payload)))
	settled := make(chan struct{}, 1000)
	sent, done := 0, 0
	for b.Loop() {
		for {
			err := s.Send(amqp10.Outgoing{Payload: payload, Done: func(amqp10.Outcome, error) { settled <- struct{}{} }})
			if err == nil {
				break
			}
			select {
			case <-credit:
			case <-settled:
				done++
			}
		}
		sent++
		for sent-done > 500 {
			<-settled
			done++
		}
	}
	for ; done < sent; done++ {
		<-settled
	}
}

// A hub that does not answer does not keep a connection that has ended.
func TestAStuckHubDelaysAnEndByItsGrace(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage, c *player) {
		s.hub.Settling = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		for i := range 10 {
			s.Act(fmt.Sprintf("C> put d%d", i))
			s.Act(fmt.Sprintf("C> attach c%d from /devices/d%d/messages/devicebound credit=5", i, i))
			synctest.Wait()
			s.hub.Deliver(iot.DeviceIdentity(fmt.Sprint("d", i)), iot.Delivery{LockToken: "l"})
			synctest.Wait()
			s.Act(fmt.Sprintf("C> settle c%d accepted", i))
		}
		synctest.Wait()
		begin := time.Now()
		s.Stop()
		if took := time.Since(begin); took > 4*time.Second {
			t.Errorf("it took %v", took)
		}
		if left := len(s.hub.Sessions()); left > 0 {
			t.Errorf("%d sessions are left", left)
		}
	})
}

// What a client settled just before it went is settled.
func TestWhatWasSettledBeforeTheEndIsSettled(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage, c *player) {
		s.hub.Settling = func(ctx context.Context) error {
			select {
			case <-time.After(time.Second):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		s.Act("C> attach c2d from /devices/dev1/messages/devicebound credit=5")
		synctest.Wait()
		s.Act("H> command dev1 l1 one")
		synctest.Wait()
		s.Act("C> settle c2d accepted")
		s.Act("C> close")
		time.Sleep(2 * time.Second)
		if got := s.said("! settle dev1 l1 complete"); len(got) != 1 {
			t.Error("the hub will deliver it again")
		}
	})
}

// A message that is larger than a client takes is not tried again.
func TestTooLargeForTheClientIsRejected(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage, c *player) {
		r, err := c.sess.AttachReceiver(t.Context(), amqp10.ReceiverConfig{
			Source: &amqp10.Source{Address: "/devices/dev1/messages/devicebound"}, Window: 5, MaxMessageSize: 1000,
		})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		s.Act("H> command dev1 large " + strings.Repeat("x", 2000))
		s.Act("H> command dev1 small x")
		if got := s.said("! settle"); len(got) != 1 || !strings.Contains(got[0], "large reject") {
			t.Errorf("settled: %q", got)
		}
		if _, err := r.Receive(t.Context()); err != nil {
			t.Error("the next message does not come")
		}
	})
}
