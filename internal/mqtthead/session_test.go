package mqtthead_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sluice/internal/mqtthead"
	"sluice/internal/transcript"
	"sluice/iot"
)

const login = "CONNECT id=dev1 user=hub/dev1/?api-version=2021-04-12 password=token"

var dev1 = iot.DeviceIdentity("dev1")

// scene runs f on a stage in virtual time.
func scene(t *testing.T, opt mqtthead.Options, f func(s *stage)) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.server.Backend = mqtthead.New(s.hub, opt)
		defer s.Stop()
		f(s)
	})
}

// after does what lines say and returns what came of it.
func (s *stage) after(lines ...string) string {
	s.t.Helper()
	return transcript.After(s.t, s, lines...)
}

func (s *stage) want(got string, parts ...string) {
	s.t.Helper()
	for _, p := range parts {
		if !strings.Contains(got, p) {
			s.t.Errorf("got\n%swithout %q", got, p)
		}
	}
}

func (s *stage) wantNot(got string, parts ...string) {
	s.t.Helper()
	for _, p := range parts {
		if strings.Contains(got, p) {
			s.t.Errorf("got\n%swith %q", got, p)
		}
	}
}

// A client that is taken over closes before the hub has told the head of the one
// that takes over; its will must not get lost in between.
func TestM12_WillWaitsForTheConnectionThatTakesOver(t *testing.T) {
	scene(t, mqtthead.Options{}, func(s *stage) {
		s.after("C> " + login + " will=devices/dev1/messages/events/:gone")
		admitted := make(chan struct{})
		s.hub.Admit = func() { <-admitted }
		got := s.after("C2> " + login)
		s.want(got, "S> EOF")
		s.wantNot(got, "gone", "S2> CONNACK")
		close(admitted)
		synctest.Wait()
		s.want(s.Take(), `! send dev1 gone iothub-MessageType="Will"`, "S2> CONNACK 0")
	})
}

// The third of three connections publishes the wills of the first and of the
// second, whose session was over before the head knew of it.
func TestM12_WillsPassOverASessionThatEndedBeforeItBegan(t *testing.T) {
	scene(t, mqtthead.Options{}, func(s *stage) {
		s.after("C> " + login + " will=devices/dev1/messages/events/:one")
		gates := make(chan chan struct{}, 2)
		second, third := make(chan struct{}), make(chan struct{})
		gates <- second
		gates <- third
		s.hub.Admit = func() { <-<-gates }
		s.after("C2> "+login+" will=devices/dev1/messages/events/:two", "C3> "+login)
		close(second) // it is accepted after the third has ended it
		synctest.Wait()
		s.wantNot(s.Take(), "! send")
		close(third)
		synctest.Wait()
		got := s.Take()
		s.want(got, "! send dev1 one", "S3> CONNACK 0")
		if n := strings.Count(got, "! send dev1 two"); n > 1 {
			t.Errorf("the second will was sent %d times", n)
		}
		s.want(s.after("C3> PINGREQ"), "S3> PINGRESP")
	})
}

// If the connection that took over is refused after all, nobody may send the will.
func TestM12_WillOfATakeoverThatFails(t *testing.T) {
	kept := &flakySessions{}
	scene(t, mqtthead.Options{Sessions: kept}, func(s *stage) {
		s.after("C> " + login + " will=devices/dev1/messages/events/:gone")
		admitted := make(chan struct{})
		s.hub.Admit = func() { <-admitted }
		s.after("C2> " + login)
		kept.loadErr = errors.New("disk is gone")
		close(admitted)
		synctest.Wait()
		got := s.Take()
		s.want(got, "S2> CONNACK 3")
		s.wantNot(got, "gone")
		kept.loadErr = nil
		s.wantNot(s.after("C3> "+login), "gone")
	})
}

// flakySessions keep nothing, and fail when told so.
type flakySessions struct {
	loadErr, saveErr error
	saving           chan struct{} // Save waits until it is closed, if not nil
	saved            mqtthead.Subscriptions
}

func (f *flakySessions) Load(context.Context, iot.Identity) (mqtthead.Subscriptions, error) {
	return f.saved, f.loadErr
}

func (f *flakySessions) Save(ctx context.Context, _ iot.Identity, s mqtthead.Subscriptions) error {
	if f.saving != nil {
		select {
		case <-f.saving:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if f.saveErr == nil {
		f.saved = s
	}
	return f.saveErr
}

func TestD18_NoSubackBeforeTheSubscriptionIsStored(t *testing.T) {
	kept := &flakySessions{}
	scene(t, mqtthead.Options{Sessions: kept}, func(s *stage) {
		kept.saving = make(chan struct{})
		s.wantNot(s.after("C> "+login, "C> SUBSCRIBE 1 devices/dev1/messages/devicebound/#:1", "+5s"), "SUBACK")
		close(kept.saving)
		synctest.Wait()
		s.want(s.Take(), "S> SUBACK 1 01")
		// Crash: another head finds it.
		s.server.Backend = mqtthead.New(s.hub, mqtthead.Options{Sessions: kept})
		s.want(s.after("C2> "+login), "! listen dev1 commands", "S2> CONNACK 0 session-present=true")
	})
	t.Run("D18 nor if it cannot be stored", func(t *testing.T) {
		kept := &flakySessions{saveErr: errors.New("disk is full")}
		scene(t, mqtthead.Options{Sessions: kept}, func(s *stage) {
			got := s.after("C> "+login, "C> SUBSCRIBE 1 devices/dev1/messages/devicebound/#:1")
			s.want(got, "S> EOF")
			s.wantNot(got, "SUBACK")
		})
	})
	t.Run("D18 nor unsubscribed", func(t *testing.T) {
		kept := &flakySessions{}
		scene(t, mqtthead.Options{Sessions: kept}, func(s *stage) {
			s.after("C> "+login, "C> SUBSCRIBE 1 devices/dev1/messages/devicebound/#:1")
			kept.saveErr = errors.New("disk is full")
			got := s.after("C> UNSUBSCRIBE 2 devices/dev1/messages/devicebound/#")
			s.want(got, "S> EOF")
			s.wantNot(got, "UNSUBACK")
		})
	})
	t.Run("D18 a clean session is not stored", func(t *testing.T) {
		kept := &flakySessions{saveErr: errors.New("disk is full")}
		scene(t, mqtthead.Options{Sessions: kept}, func(s *stage) {
			s.want(s.after("C> "+login+" clean", "C> SUBSCRIBE 1 devices/dev1/messages/devicebound/#:1"), "S> SUBACK 1 01")
		})
	})
}

// A client that takes a command and leaves at once must not get it again.
func TestD19_AcknowledgedCommandIsSettledAfterTheClientLeft(t *testing.T) {
	scene(t, mqtthead.Options{}, func(s *stage) {
		s.after("C> "+login, "C> SUBSCRIBE 1 devices/dev1/messages/devicebound/#:1", "H> command dev1 lock1 open")
		slow := make(chan struct{})
		s.hub.Settling = func(context.Context) error { <-slow; return nil }
		got := s.after("C> PUBACK 1 | DISCONNECT", "+1s")
		s.wantNot(got, "! close dev1", "! settle")
		close(slow)
		synctest.Wait()
		got = s.Take()
		if i, j := strings.Index(got, "! settle dev1 lock1 complete"), strings.Index(got, "! close dev1"); i < 0 || j < i {
			t.Errorf("got\n%swant the command settled and then the session closed", got)
		}
	})
}

func TestAHubThatDoesNotSettleHoldsUpTheEndForSecondsOnly(t *testing.T) {
	scene(t, mqtthead.Options{}, func(s *stage) {
		s.after("C> "+login, "C> SUBSCRIBE 1 devices/dev1/messages/devicebound/#:1", "H> command dev1 lock1 open")
		s.hub.Settling = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		s.wantNot(s.after("C> PUBACK 1 | DISCONNECT", "+2s"), "! close dev1")
		s.want(s.after("+2s"), "! close dev1")
	})
}

func TestAHubThatDoesNotAnswerCostsARequestAndNotTheConnection(t *testing.T) {
	scene(t, mqtthead.Options{OperationTimeout: time.Second}, func(s *stage) {
		s.hub.Asked = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		s.after("C> "+login, "C> SUBSCRIBE 1 $iothub/twin/res/#:0", "C> PUBLISH $iothub/twin/GET/?$rid=1 - qos=1 id=1")
		s.want(s.after("+2s"), "$iothub/twin/res/504/?$rid=1")
		s.after("C> PUBLISH $iothub/twin/GET/?$rid=2 - qos=1 id=2")
		s.want(s.after("C> EOF"), "! close dev1") // though the twin's hub still thinks
	})
}

// Twin requests that pile up are acknowledged only as they are served, so that a
// client is slowed down, and its telemetry with it.
func TestTwinRequestsThatPileUpAreNotAcknowledged(t *testing.T) {
	scene(t, mqtthead.Options{}, func(s *stage) {
		answer := make(chan struct{})
		s.hub.Asked = func(context.Context) error { <-answer; return nil }
		s.after("C> "+login, "C> SUBSCRIBE 1 $iothub/twin/res/#:0")
		var flight []string
		for i := range 40 {
			flight = append(flight, fmt.Sprintf("PUBLISH $iothub/twin/GET/?$rid=%d - qos=1 id=%d", i, i+1))
		}
		got := s.after("C> " + strings.Join(flight, " | "))
		if n := strings.Count(got, "PUBACK"); n != 32 {
			t.Errorf("%d of 40 requests were acknowledged while the hub had answered none, want 32", n)
		}
		close(answer)
		synctest.Wait()
		got = s.Take()
		if n := strings.Count(got, "PUBACK"); n != 8 {
			t.Errorf("then %d more, want 8", n)
		}
		if n := strings.Count(got, "PUBLISH $iothub/twin/res/200/"); n != 40 {
			t.Errorf("%d answers, want 40", n)
		}
	})
	t.Run("large ones neither", func(t *testing.T) {
		scene(t, mqtthead.Options{}, func(s *stage) {
			answer := make(chan struct{})
			s.hub.Asked = func(context.Context) error { <-answer; return nil }
			s.after("C> " + login)
			got := s.after("C> PUBLISH $iothub/twin/GET/?$rid=1 - qos=1 id=1 size=70000 | PUBLISH $iothub/twin/GET/?$rid=2 - qos=1 id=2 size=70000")
			s.wantNot(got, "PUBACK 2") // the first one's turn has come
			close(answer)
			synctest.Wait()
			s.want(s.Take(), "S> PUBACK 2")
		})
	})
}

// A client that asks for its twin again and again and never acknowledges the
// answers is told to slow down, and cut off when it does not.
func TestB1_AnswersThatAreNotAcknowledgedAreBounded(t *testing.T) {
	scene(t, mqtthead.Options{}, func(s *stage) {
		s.hub.Twin.Desired = []byte(`{"a":"` + strings.Repeat("x", 30_000) + `"}`)
		s.after("C> "+login, "C> SUBSCRIBE 1 $iothub/twin/res/#:1")
		asked := 0
		for i := range 100_000 {
			got := s.after(fmt.Sprintf("C> PUBLISH $iothub/twin/GET/?$rid=%d -", i))
			asked += strings.Count(got, "! twin")
			if strings.Contains(got, "S> EOF") {
				if asked > 60 {
					t.Errorf("the hub was asked %d times for 30 kB", asked)
				}
				return
			}
		}
		t.Fatal("the connection is still open")
	})
}

func TestMethodsForAClientThatDoesNotReadAreAnsweredForIt(t *testing.T) {
	scene(t, mqtthead.Options{}, func(s *stage) {
		s.after("C> "+login, "C> SUBSCRIBE 1 $iothub/methods/POST/#:1")
		call := iot.MethodCall{Name: "m", Payload: []byte(`"` + strings.Repeat("x", 100_000) + `"`)}
		refused := 0
		for range 100 {
			s.hub.Session(dev1).Invoke(call, func(r iot.MethodResult) {
				if r.Status != 429 {
					t.Errorf("answered with %d", r.Status)
				}
				refused++
			})
		}
		if refused < 50 || refused > 90 {
			t.Errorf("%d of 100 calls of 100 kB were refused at once", refused)
		}
	})
}

// Desired changes may not be left out: a client that does not take them has to
// come again and read the whole twin.
func TestDesiredChangesAreNeverDropped(t *testing.T) {
	scene(t, mqtthead.Options{}, func(s *stage) {
		s.after("C> "+login, "C> SUBSCRIBE 1 $iothub/twin/PATCH/properties/desired/#:1")
		patch := []byte(`{"$version":4,"a":"` + strings.Repeat("x", 30_000) + `"}`)
		for range 100 {
			if to := s.hub.Session(dev1); to != nil {
				to.Change(patch)
				synctest.Wait()
			}
		}
		s.want(s.Take(), "S> EOF")
		if s.hub.Session(dev1) != nil {
			t.Error("the session is still there")
		}
	})
}

func TestMemoryForgetsTheLeastRecentlyUsed(t *testing.T) {
	m := mqtthead.NewMemory(2)
	ctx := context.Background()
	save := func(id string, s mqtthead.Subscriptions) {
		if err := m.Save(ctx, iot.DeviceIdentity(id), s); err != nil {
			t.Fatal(err)
		}
	}
	load := func(id string) mqtthead.Subscriptions {
		s, err := m.Load(ctx, iot.DeviceIdentity(id))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	save("a", 1)
	save("b", 2)
	if load("a") != 1 { // and used
		t.Error("a is gone")
	}
	save("c", 3)
	if load("b") != 0 || load("a") != 1 || load("c") != 3 {
		t.Errorf("b = %d, a = %d, c = %d; want 0, 1, 3", load("b"), load("a"), load("c"))
	}
	save("a", 0)
	save("b", 2)
	if load("a") != 0 || load("b") != 2 || load("c") != 3 {
		t.Errorf("a = %d, b = %d, c = %d; want 0, 2, 3", load("a"), load("b"), load("c"))
	}
}
