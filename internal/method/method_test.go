package method

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"sluice/iot"
)

var dev = iot.DeviceIdentity("dev")

func echo(c iot.MethodCall, reply func(iot.MethodResult)) {
	go reply(iot.MethodResult{Status: 200, Payload: c.Payload})
}

func silent(iot.MethodCall, func(iot.MethodResult)) {}

func TestInvoke(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(iot.MethodCall, func(iot.MethodResult))
		call   iot.MethodCall
		status int
		kind   iot.Kind
		took   time.Duration
	}{
		"an answer":             {answer: echo, call: iot.MethodCall{Name: "m"}, status: 200},
		"nobody":                {call: iot.MethodCall{Name: "m"}, kind: iot.NotFound},
		"nobody comes":          {call: iot.MethodCall{Name: "m", ConnectTimeout: 7 * time.Second}, kind: iot.NotFound, took: 7 * time.Second},
		"no answer":             {answer: silent, call: iot.MethodCall{Name: "m"}, kind: iot.Timeout, took: DefaultResponseTimeout},
		"no answer in 5 s":      {answer: silent, call: iot.MethodCall{Name: "m", ResponseTimeout: 5 * time.Second}, kind: iot.Timeout, took: 5 * time.Second},
		"no name":               {answer: echo, kind: iot.Invalid},
		"too short a time":      {answer: echo, call: iot.MethodCall{Name: "m", ResponseTimeout: time.Second}, kind: iot.Invalid},
		"too long a time":       {answer: echo, call: iot.MethodCall{Name: "m", ResponseTimeout: time.Hour}, kind: iot.Invalid},
		"too long a wait":       {answer: echo, call: iot.MethodCall{Name: "m", ConnectTimeout: time.Hour}, kind: iot.Invalid},
		"a time before its end": {answer: echo, call: iot.MethodCall{Name: "m", ConnectTimeout: -1}, kind: iot.Invalid},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var d Desk
				if c.answer != nil {
					d.Offer(dev, c.answer)
				}
				begin := time.Now()
				r, err := d.Invoke(t.Context(), dev, c.call)
				if r.Status != c.status || err != nil && iot.KindOf(err) != c.kind || (err == nil) != (c.status != 0) {
					t.Errorf("answer %d, error %v", r.Status, err)
				}
				if took := time.Since(begin); took != c.took {
					t.Errorf("it took %v, want %v", took, c.took)
				}
			})
		})
	}
}

func TestATargetThatComesLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d Desk
		time.AfterFunc(3*time.Second, func() { d.Offer(iot.DeviceIdentity("another"), echo) })
		time.AfterFunc(5*time.Second, func() { d.Offer(dev, echo) })
		r, err := d.Invoke(t.Context(), dev, iot.MethodCall{Name: "m", Payload: json.RawMessage(`1`), ConnectTimeout: 10 * time.Second})
		if err != nil || string(r.Payload) != "1" {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

func TestW4_ATargetThatLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d Desk
		o := d.Offer(dev, silent)
		time.AfterFunc(time.Second, o.Close)
		if _, err := d.Invoke(t.Context(), dev, iot.MethodCall{Name: "m"}); iot.KindOf(err) != iot.NotFound {
			t.Errorf("error %v, want NotFound", err)
		}
		o.Close() // twice does no harm
	})
}

func TestTheLaterOfferCounts(t *testing.T) {
	var d Desk
	first := d.Offer(dev, silent)
	d.Offer(dev, echo)
	first.Close()
	if r, err := d.Invoke(t.Context(), dev, iot.MethodCall{Name: "m"}); err != nil || r.Status != 200 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestW4_TheFirstAnswerCounts(t *testing.T) {
	var d Desk
	d.Offer(dev, func(_ iot.MethodCall, reply func(iot.MethodResult)) {
		reply(iot.MethodResult{Status: 1})
		reply(iot.MethodResult{Status: 2})
	})
	if r, err := d.Invoke(t.Context(), dev, iot.MethodCall{Name: "m"}); err != nil || r.Status != 1 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestACallerThatGivesUp(t *testing.T) {
	var d Desk
	ctx, cancel := context.WithCancel(t.Context())
	d.Offer(dev, func(iot.MethodCall, func(iot.MethodResult)) { cancel() })
	if _, err := d.Invoke(ctx, dev, iot.MethodCall{Name: "m"}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}
