package hub

import (
	"encoding/json"
	"testing"
	"time"

	"sluice/internal/hub/code"
	"sluice/internal/hub/throttle"
	"sluice/iot"
)

func TestDevicesAreThrottled(t *testing.T) {
	f := newFixture(t)
	f.create("dev")
	s := f.connect(dev, nil)
	at := time.Now()
	var err error
	if f.opt.Throttle, err = throttle.New("S1", func() time.Time { return at }); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		allowed int
		do      func() error
	}{
		"connect": {100 * 60, func() error { return f.throttled(throttle.Connect, 1, dev) }},
		"send":    {100 * 60, func() error { return f.throttled(throttle.Send, 1, dev) }},
		"twin": {100 * 60, func() error {
			_, err := s.Twin(t.Context())
			return err
		}},
		"reported": {50 * 60, func() error { return f.throttled(throttle.TwinUpdate, 1, dev) }},
		"command":  {100, func() error { return f.throttled(throttle.Command, 1, dev) }},
	} {
		for n := range c.allowed {
			if err := c.do(); err != nil {
				t.Fatalf("%s %d: %v", name, n, err)
			}
		}
		if err := c.do(); code.Of(err) != code.Throttling || iot.KindOf(err) != iot.Throttled {
			t.Errorf("%s, one too many: %v", name, err)
		}
	}
	if err := send(t, s, "x"); code.Of(err) != code.Throttling {
		t.Errorf("sent: %v", err)
	}
	if _, err := s.PatchReported(t.Context(), json.RawMessage(`{}`)); code.Of(err) != code.Throttling {
		t.Errorf("reported: %v", err)
	}
	if err := f.SendCommand(dev, iot.Message{}); code.Of(err) != code.Throttling {
		t.Errorf("command: %v", err)
	}
	if _, err := f.Connect(t.Context(), f.creds(dev), iot.Client{}); code.Of(err) != code.Throttling {
		t.Errorf("connected: %v", err)
	}
	at = at.Add(time.Second)
	if err := send(t, s, "x"); err != nil {
		t.Errorf("a second later: %v", err)
	}
}
