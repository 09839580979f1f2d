package storagetest

import (
	"errors"
	"testing"

	"sluice/internal/hub/code"
	"sluice/internal/hub/storage"
	"sluice/iot"
)

// Receiver is the identity that tests of [Commands] send to.
var Receiver = iot.DeviceIdentity("pump")

// Generation knows [Receiver] alone, for the commands that are tested.
func Generation(id iot.Identity) (string, bool) { return earlier, id == Receiver }

// Commands tests an implementation of [storage.Commands], which finds identities with
// [Generation]. Nothing in it needs Run.
func Commands(t *testing.T, start Start[storage.Commands]) {
	send := func(t *testing.T, s storage.Commands, bodies ...string) {
		t.Helper()
		for _, body := range bodies {
			m := iot.Message{Body: []byte(body)}
			m.System.Set(iot.MessageID, body)
			m.System.Set(iot.Ack, "full")
			must(t, s.Send(Receiver, m))
		}
	}
	t.Run("what was sent survives a power cut, in order", func(t *testing.T) {
		s, powerCut := start(t)
		send(t, s, "a", "b")
		s = powerCut()
		got, _ := receive(s, 2)
		for _, want := range []string{"a", "b"} {
			d := <-got
			if string(d.Message.Body) != want || d.Count != 0 || s.Settle(Receiver, d.LockToken, iot.Complete) != nil {
				t.Errorf("delivered %q the %d. time, want %q", d.Message.Body, d.Count, want)
			}
		}
		if n := s.Count(Receiver); n != 0 {
			t.Errorf("%d are left", n)
		}
	})
	t.Run("what a receiver leaves comes again, before the others", func(t *testing.T) {
		s, _ := start(t)
		send(t, s, "a", "b")
		got, first := receive(s, 1)
		lost := <-got
		first.Close()
		if err := s.Settle(Receiver, lost.LockToken, iot.Complete); !errors.Is(err, code.MessageLockLost) {
			t.Errorf("settled after its receiver had left: %v", err)
		}
		got, _ = receive(s, 1)
		if d := <-got; string(d.Message.Body) != "a" || d.Count != 1 {
			t.Errorf("delivered %q, count %d", d.Message.Body, d.Count)
		}
	})
	t.Run("the end of a command and its feedback are one", func(t *testing.T) {
		s, powerCut := start(t)
		send(t, s, "a")
		got, _ := receive(s, 1)
		must(t, s.Settle(Receiver, (<-got).LockToken, iot.Complete))
		s = powerCut()
		lease, _ := s.Feedback().Take(10)
		if s.Count(Receiver) != 0 || lease == nil || len(lease.Records) != 1 || lease.Records[0].OriginalMessageID != "a" {
			t.Fatalf("%d commands, and the feedback %+v", s.Count(Receiver), lease)
		}
		lease.Settle(false)
		lease, _ = s.Feedback().Take(10)
		if lease == nil || lease.Count != 1 {
			t.Fatalf("given back, and then %+v", lease)
		}
		lease.Settle(true)
		if lease, more := s.Feedback().Take(10); lease != nil || more == nil {
			t.Errorf("done, and then %+v", lease)
		}
	})
	t.Run("what cannot be sent is refused", func(t *testing.T) {
		s, _ := start(t)
		if err := s.Send(iot.DeviceIdentity("nobody"), iot.Message{}); !errors.Is(err, code.DeviceNotFound) {
			t.Errorf("to nobody: %v", err)
		}
		if err := s.Send(Receiver, iot.Message{Body: make([]byte, storage.MaxCommandSize+1)}); !errors.Is(err, code.MessageTooLarge) {
			t.Errorf("too large: %v", err)
		}
		for range storage.MaxCommands {
			send(t, s, "a")
		}
		if err := s.Send(Receiver, iot.Message{}); !errors.Is(err, code.QueueDepthExceeded) {
			t.Errorf("one too many: %v", err)
		}
		n, err := s.Purge(Receiver)
		must(t, err)
		if n != storage.MaxCommands || s.Count(Receiver) != 0 {
			t.Errorf("purged %d, and %d are left", n, s.Count(Receiver))
		}
	})
}

// receive grants n deliveries.
func receive(s storage.Commands, n int) (<-chan iot.Delivery, iot.Subscription) {
	got := make(chan iot.Delivery, n)
	sub := s.Receive(Receiver, func(d iot.Delivery) { got <- d })
	sub.Grant(n)
	return got, sub
}
