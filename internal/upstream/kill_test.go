package upstream

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"sluice/internal/await"
	"sluice/iot"
)

// TestALineCutAnywhereEndsTheSessionAndNothingElse cuts the line to the hub after every so many bytes from
// it, through the whole life of a session. Whatever was under way must end, with
// an error, and the next session must work.
func TestALineCutAnywhereEndsTheSessionAndNothingElse(t *testing.T) {
	eachProtocol(t, func(t *testing.T, p Protocol) {
		s := newSite(t, "leaf")
		addr := s.host.MQTTAddr()
		if p == AMQP {
			addr = s.host.AMQPAddr()
		}
		w := newWire(t, addr)
		h := s.client(p, func(o *Options) { o.AMQPPort, o.MQTTPort = w.port(), w.port() })
		const step = 61
		cuts, whole := 0, false
		for n := step; !whole; n += step {
			w.cutAfter(n)
			whole = live(t, s, h)
			if !whole {
				cuts++
			}
			if n > 64<<10 {
				t.Fatal("the line is cut before anything is whole")
			}
		}
		if cuts < 30 {
			t.Errorf("only %d cuts hit a session's life", cuts)
		}
		w.cutAfter(0)
		if !live(t, s, h) {
			t.Error("the hub cannot be used after all that")
		}
	})
}

// live leads the whole life of a session, as far as it gets, and reports whether
// that was to the end.
func live(t *testing.T, s *site, h *Hub) (whole bool) {
	t.Helper()
	ended := make(chan error, 1)
	session, err := h.Connect(t.Context(), s.behalf(leafID, time.Hour), iot.Client{Ended: func(err error) { ended <- err }})
	if err != nil {
		mustBeAnAbsence(t, err)
		return false
	}
	defer session.Close()
	err = errors.Join(telemetryPasses(t, session), commandsPass(t, s, session), twinPasses(t, session), methodsPass(t, s, session))
	if err == nil {
		return true
	}
	if reason := await.Value(t, ended, "the end of a session whose line was cut"); reason == nil {
		t.Error("the session ended without a reason")
	}
	return false
}

func mustBeAnAbsence(t *testing.T, err error) {
	t.Helper()
	if kind := iot.KindOf(err); kind != iot.Unavailable && kind != iot.Timeout {
		t.Errorf("a line that was cut is taken for another failure: %v", err)
	}
}

func telemetryPasses(t *testing.T, session iot.Session) error {
	done := make(chan error, 1)
	session.Send(messages(3), func(err error) { done <- err })
	err := await.Value(t, done, "done")
	if err != nil {
		mustBeAnAbsence(t, err)
	}
	return err
}

func commandsPass(t *testing.T, s *site, session iot.Session) error {
	if _, err := s.hub().PurgeCommands(leafID); err != nil {
		t.Fatal(err)
	}
	got := make(chan iot.Delivery, 10)
	sub, err := session.Commands(func(d iot.Delivery) { got <- d })
	if err != nil {
		return err
	}
	defer sub.Close()
	sub.Grant(1)
	if err := s.hub().SendCommand(leafID, iot.Message{Body: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	over := make(chan error, 1)
	go func() { over <- telemetryPasses(t, session) }() // is a way to know that the line is cut
	if err := await.Value(t, over, "telemetry"); err != nil {
		return err
	}
	for {
		select {
		case d := <-got:
			return session.Settle(t.Context(), d.LockToken, iot.Complete)
		default:
		}
		if _, err := session.Twin(t.Context()); err != nil {
			return err
		}
	}
}

func twinPasses(t *testing.T, session iot.Session) error {
	sub, err := session.DesiredChanges(func(json.RawMessage) {})
	if err != nil {
		return err
	}
	defer sub.Close()
	if _, err := session.PatchReported(t.Context(), json.RawMessage(`{"a":1}`)); err != nil {
		return err
	}
	return nil
}

func methodsPass(t *testing.T, s *site, session iot.Session) error {
	sub, err := session.Methods(func(_ iot.MethodCall, reply func(iot.MethodResult)) { reply(iot.MethodResult{Status: 200}) })
	if err != nil {
		return err
	}
	defer sub.Close()
	_, err = s.hub().InvokeMethod(t.Context(), leafID, iot.MethodCall{Name: "m", ResponseTimeout: 5 * time.Second})
	return err
}
