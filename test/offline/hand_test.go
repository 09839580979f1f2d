package offline

import (
	"context"
	"errors"
	"testing"

	"sluice/internal/await"
	"sluice/iot"
)

// handed is a command given at the machine, and what became of it.
type handed struct {
	outcome iot.Outcome
	err     error
}

func (s *site) hand(id iot.Identity, body string) chan handed {
	done := make(chan handed, 1)
	go func() {
		outcome, err := s.gateway.Command(s.t.Context(), id, iot.Message{Body: []byte(body)})
		done <- handed{outcome, err}
	}()
	return done
}

func TestCommandsOfAnOperator(t *testing.T) {
	s := newSite(t)
	s.online()
	device := s.connect(leaf)
	if got := receive(t, s.hand(leaf, "x")); iot.KindOf(got.err) != iot.NotFound {
		t.Errorf("it takes no commands: %v", got.err)
	}
	got := make(chan iot.Delivery, 10)
	sub, err := device.Commands(func(d iot.Delivery) { got <- d })
	s.must(err)
	sub.Grant(1)

	// The hub's and the operator's share what the device has room for.
	first := s.hand(leaf, "by hand")
	d := receive(t, got)
	if string(d.Message.Body) != "by hand" || d.Message.System.Get(iot.To) != "/devices/leaf/messages/devicebound" {
		t.Errorf("delivered %+v", d.Message)
	}
	s.must(s.hub.SendCommand(leaf, iot.Message{Body: []byte("of the hub")}))
	second := s.hand(leaf, "by hand again")
	select {
	case d := <-got:
		t.Errorf("%q was delivered without credit", d.Message.Body)
	default:
	}
	s.must(device.Settle(t.Context(), d.LockToken, iot.Complete))
	if h := receive(t, first); h.err != nil || h.outcome != iot.Complete {
		t.Errorf("settled: %+v", h)
	}
	sub.Grant(2)
	outcomes := map[string]iot.Outcome{"of the hub": iot.Complete, "by hand again": iot.Reject}
	for range 2 {
		d := receive(t, got)
		s.must(device.Settle(t.Context(), d.LockToken, outcomes[string(d.Message.Body)]))
		delete(outcomes, string(d.Message.Body))
	}
	if h := receive(t, second); h.err != nil || h.outcome != iot.Reject || len(outcomes) > 0 {
		t.Errorf("settled: %+v; left %v", h, outcomes)
	}
	await.Success(s.t, "settled at the hub", func() error {
		if s.hub.CommandCount(leaf) > 0 {
			return errors.New("a command is left")
		}
		return nil
	})

	// Without the hub; and a device that leaves.
	s.cut()
	sub.Grant(1)
	third := s.hand(leaf, "alone")
	d = receive(t, got)
	s.must(device.Settle(t.Context(), d.LockToken, iot.Abandon))
	if h := receive(t, third); h.err != nil || h.outcome != iot.Abandon {
		t.Errorf("settled: %+v", h)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.gateway.Command(ctx, leaf, iot.Message{}); iot.KindOf(err) != iot.Timeout {
		t.Errorf("without time: %v", err)
	}
	sub.Grant(1)
	fourth := s.hand(leaf, "too late")
	receive(t, got)
	s.must(device.Close())
	if h := receive(t, fourth); iot.KindOf(h.err) != iot.NotFound {
		t.Errorf("the device left: %+v", h)
	}
	for id, want := range map[iot.Identity]iot.Kind{leaf: iot.NotFound, iot.DeviceIdentity("nobody"): iot.NotFound} {
		if h := receive(t, s.hand(id, "x")); iot.KindOf(h.err) != want {
			t.Errorf("%s: %v, want %v", id, h.err, want)
		}
	}
	if _, err := s.gateway.Command(t.Context(), leaf, iot.Message{Body: make([]byte, 64<<10+1)}); iot.KindOf(err) != iot.TooLarge {
		t.Errorf("64 KiB and one: %v", err)
	}
}
