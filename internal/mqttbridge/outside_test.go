package mqttbridge

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"sluice/iot"
	"sluice/mqtt"
	"sluice/mqtt/mqttmem"
	"sluice/translator"
	"sluice/translator/translatortest"
)

// another is another's broker, which can be stopped and started.
type another struct {
	t      *testing.T
	broker mqttmem.Broker
	limits mqtt.Limits
	addr   string
	stop   func()
}

func newAnother(t *testing.T) *another {
	a := &another{t: t, addr: "127.0.0.1:0"}
	a.broker.MaxQueue = 20_000
	a.start()
	t.Cleanup(func() { a.stop() })
	return a
}

func (a *another) start() {
	a.t.Helper()
	l, err := net.Listen("tcp", a.addr)
	if err != nil {
		a.t.Fatal(err)
	}
	a.addr = l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- (&mqtt.Server{Backend: &a.broker, Limits: a.limits}).Serve(ctx, l) }()
	a.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-served; err != nil {
			a.t.Error(err)
		}
	})
}

// bridge starts a bridge at the broker and waits until it is there.
func (a *another) bridge(config string) *rig {
	a.t.Helper()
	r := &rig{Gateway: translatortest.New(a.t), t: a.t}
	r.run(configured(a.t, "broker = 'tcp://"+a.addr+"'\n"+config))
	r.present()
	return r
}

// present waits until the bridge is connected.
func (r *rig) present() {
	r.t.Helper()
	until(r.t, "the bridge at the broker", func() bool {
		o := r.b.field.(*outside)
		o.mu.Lock()
		defer o.mu.Unlock()
		return o.now != nil
	})
}

func TestAnothersBrokerServesToo(t *testing.T) {
	t.Parallel()
	a := newAnother(t)
	r := a.bridge("")
	d := connect(t, a.addr, "valve-1")
	d.say("device/valve-1/message", `{"open":1}`)
	r.Find("valve-1", "", nil)
	r.Capabilities("valve-1", translator.Capabilities{Methods: true, Desired: true, Commands: true})
	d.listen("device/valve-1/#")
	var answering sync.WaitGroup
	answering.Go(func() {
		q := d.hear("device/valve-1/method/open/")
		d.say(strings.Replace(q.Topic(), "/open/", "/res/", 1)+"/200", "done")
	})
	if status, answer := r.Call("valve-1", "open", ""); status != 200 || answer != `"done"` {
		t.Errorf("%d %s", status, answer)
	}
	answering.Wait()
	if got := r.Command("valve-1", "close"); got != iot.Complete {
		t.Errorf("settled %v", got)
	}
	d.hear("device/valve-1/command")
	r.Desire("valve-1", `{"rate":5,"$version":1}`, true)
	d.hear("device/valve-1/twin/desired")
	d.say("device/valve-1/twin/reported", `{"rate":5}`)
	r.Find("valve-1", "LeafReported", nil)

	late := connect(t, a.addr, "late") // what is retained waits for it
	late.listen("device/valve-1/twin/desired")
	late.hear("device/valve-1/twin/desired")
}

// The broker hears nothing that the gateway has not: what the bridge had taken and
// the gateway had not is there again after the bridge is.
func TestNothingIsAcknowledgedToAnothersBrokerTooEarly(t *testing.T) {
	t.Parallel()
	a := newAnother(t)
	r := a.bridge("")
	r.Hold()
	d := connect(t, a.addr, "a")
	for _, body := range numbered(10) {
		d.say("device/a/message", body)
	}
	until(t, "the messages to be on their way", func() bool { return r.Held() > 0 })
	r.stop()
	r.Cut(false) // what was on its way is lost
	for _, body := range numbered(20)[10:] {
		d.say("device/a/message", body) // while the bridge is away
	}
	r.Release()
	r.run(configured(t, "broker = 'tcp://"+a.addr+"'"))
	r.Find("a", "", func(m iot.Message) bool { return string(m.Body) == "19" })
	got := r.Bodies("a")
	if want := numbered(20); !slices.Equal(slices.Compact(got), want) {
		t.Errorf("arrived: %q", got)
	}
}

func TestABrokerThatComesBackIsFound(t *testing.T) {
	t.Parallel()
	a := newAnother(t)
	a.stop()
	a.addr = "127.0.8.17:0" // nobody else's
	a.start()
	r := a.bridge("")
	connect(t, a.addr, "a").say("device/a/message", "1")
	r.Find("a", "", nil)
	a.stop()
	if got := r.b.field.can("a"); !got.Commands {
		t.Error("what devices can is forgotten")
	}
	a.start()
	until(t, "the bridge", func() bool {
		connect(t, a.addr, "b").say("device/a/message", "2")
		return slices.Contains(r.Bodies("a"), "2")
	})
}

// A broker that sends all that it has, and a gateway that is away: the bridge takes
// so much and no more, and misses nothing later.
func TestABrokerThatSendsTooMuchIsNotListenedTo(t *testing.T) {
	t.Parallel()
	a := newAnother(t)
	a.stop()
	a.limits = mqtt.Limits{MaxOutbound: 1024, MaxOutboundBytes: 64 << 20}
	a.start()
	r := a.bridge("[[messages]]\ntopic = 'device/{id}/message'")
	r.Hold()
	d := connect(t, a.addr, "a")
	const count = 100
	large := strings.Repeat("x", 250_000)
	for i := range count { // 25 MB
		d.say("device/a/message", fmt.Sprintf("%06d%s", i, large))
	}
	until(t, "the bridge to be full", func() bool {
		o := r.b.field.(*outside)
		o.mu.Lock()
		defer o.mu.Unlock()
		return o.now != nil && o.now.deaf.Load()
	})
	if r.b.in.holds(1<<30, maxWaitingBytes+300_000) {
		t.Error("more waits than may")
	}
	d.wait(d.Publish("device/a/message", 0, false, "dropped"))
	until(t, "a publication of QoS 0 to be dropped", func() bool { return r.b.Stats.Dropped.Load() == 1 })
	r.Release()
	r.Find("a", "", func(m iot.Message) bool { return strings.HasPrefix(string(m.Body), fmt.Sprintf("%06d", count-1)) })
	bodies := r.Bodies("a")
	for i := range bodies {
		bodies[i] = bodies[i][:6]
	}
	slices.Sort(bodies)
	if got := slices.Compact(bodies); len(got) != count {
		t.Errorf("%d of %d arrived", len(got), count)
	}
}

func TestOtherTopicsAtAnothersBroker(t *testing.T) {
	t.Parallel()
	a := newAnother(t)
	r := a.bridge("")
	r.SetDesired(`{"messages":[{"topic":"plant/{id}"}]}`)
	r.Reports(`{"configuration":{"version":1,"status":200,"error":null}}`)
	d := connect(t, a.addr, "x")
	until(t, "the new subscription", func() bool {
		d.say("plant/a", "1")
		return len(r.Bodies("a")) > 0
	})
}
