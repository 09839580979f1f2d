package translate

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"sluice/internal/await"
	"sluice/internal/leafwire"
	"sluice/internal/translate"
	"sluice/iot"
)

// greeted is a site with a leaf that is registered and supports everything.
func greeted(t *testing.T, change func(*translate.Options)) (*site, *translator) {
	s := newSite(t, change)
	p := s.translator(ptm, 64)
	p.say(p.route("leaf").Hello(leafwire.Hello{Methods: true, Desired: true, Commands: true}))
	p.hears("leaf", leafwire.TypeState)
	await.Success(s.t, "the leaf's session is there", func() error {
		if state := s.hub.ConnectionState(iot.DeviceIdentity("leaf")); !state.Connected {
			return errors.New("not connected")
		}
		return nil
	})
	return s, p
}

func TestAMethodGoesToTheTranslatorAndItsAnswerReturns(t *testing.T) {
	t.Parallel()
	s, p := greeted(t, nil)
	type result struct {
		iot.MethodResult
		err error
	}
	answer := make(chan result, 1)
	go func() {
		r, err := s.hub.InvokeMethod(t.Context(), iot.DeviceIdentity("leaf"), iot.MethodCall{
			Name: "reboot", Payload: json.RawMessage(`{"in":5}`), ResponseTimeout: 30 * time.Second, ConnectTimeout: 30 * time.Second,
		})
		answer <- result{r, err}
	}()
	m := p.hears("leaf", leafwire.TypeMethod)
	call, err := leafwire.ParseMethod(&m)
	if err != nil || call.Name != "reboot" || string(call.Payload) != `{"in":5}` || call.Timeout <= 0 {
		t.Fatalf("%+v, %v", call, err)
	}
	// Nobody else's answer is taken: not of another leaf, nor of another translator.
	p.say(p.route("leaf-2").Response(leafwire.Response{Correlation: call.ID, Status: 500}))
	other := s.translator(iot.ModuleIdentity("edge", "other"), 0)
	other.say(other.route("leaf").Response(leafwire.Response{Correlation: call.ID, Status: 501}))
	// They are before this one in the module's input.
	p.say(p.route("leaf").Response(leafwire.Response{Correlation: call.ID, Status: 202, Payload: json.RawMessage(`{"ok":true}`)}))
	r := await.Value(t, answer, "the answer")
	if r.err != nil || r.Status != 202 || string(r.Payload) != `{"ok":true}` {
		t.Errorf("%+v", r)
	}
}

func TestDesiredPropertiesGoDownAndReportedOnesUp(t *testing.T) {
	t.Parallel()
	s, p := greeted(t, nil)
	leaf := iot.DeviceIdentity("leaf")
	m := p.hears("leaf", leafwire.TypeDesired)
	if d, err := leafwire.ParseDesired(&m); err != nil || !d.Full {
		t.Fatalf("%+v, %v", d, err)
	}
	_, err := s.hub.PatchTwin(leaf, json.RawMessage(`{"properties":{"desired":{"interval":5}}}`), "")
	s.must(err)
	m = p.hears("leaf", leafwire.TypeDesired)
	d, err := leafwire.ParseDesired(&m)
	var got struct {
		Interval int
		Version  int64 `json:"$version"`
	}
	if err == nil {
		err = json.Unmarshal(d.Patch, &got)
	}
	if err != nil || got.Interval != 5 || got.Version < 2 {
		t.Errorf("%s, %v", d.Patch, err)
	}
	p.say(p.route("leaf").Reported(json.RawMessage(`{"interval":5}`)))
	await.Success(s.t, "the hub has what the leaf reported", func() error {
		twin, err := s.hub.Twin(leaf)
		var reported struct{ Interval int }
		if err == nil {
			err = json.Unmarshal(twin.Reported.JSON(), &reported)
		}
		if err == nil && reported.Interval != 5 {
			err = fmt.Errorf("it has %s", twin.Reported.JSON())
		}
		return err
	})
	// A translator that begins anew says hello again, and is told all of it.
	p.say(p.route("leaf").Hello(leafwire.Hello{Desired: true, Methods: true, Commands: true}))
	m = p.hears("leaf", leafwire.TypeDesired)
	if d, err := leafwire.ParseDesired(&m); err != nil || !d.Full || json.Unmarshal(d.Patch, &got) != nil || got.Interval != 5 {
		t.Errorf("%+v, %v", d, err)
	}
}

func TestCommandsAreSettledAsTheTranslatorSays(t *testing.T) {
	t.Parallel()
	s, p := greeted(t, nil)
	leaf := iot.DeviceIdentity("leaf")
	c := iot.Message{Body: []byte("on"), Properties: iot.Properties{{Key: "color", Value: "red"}}}
	c.System.Set(iot.MessageID, "cloud-7")
	s.must(s.hub.SendCommand(leaf, c))
	m := p.hears("leaf", leafwire.TypeCommand)
	if color, _ := m.Properties.Get("color"); string(m.Body) != "on" || color != "red" || m.System.Get(iot.CorrelationID) != "cloud-7" {
		t.Errorf("%+v", m)
	}
	p.say(p.route("leaf").Response(leafwire.Response{Correlation: m.System.Get(iot.MessageID), Settle: iot.Abandon}))
	m = p.hears("leaf", leafwire.TypeCommand)
	p.say(p.route("leaf").Response(leafwire.Response{Correlation: m.System.Get(iot.MessageID), Settle: iot.Complete}))
	await.Success(s.t, "the command is done", func() error {
		if n := s.hub.CommandCount(leaf); n != 0 {
			return fmt.Errorf("%d left", n)
		}
		return nil
	})
}

func TestACommandThatNobodyAnswersComesAgain(t *testing.T) {
	t.Parallel()
	s, p := greeted(t, func(o *translate.Options) { o.CommandLock = 50 * time.Millisecond })
	s.must(s.hub.SendCommand(iot.DeviceIdentity("leaf"), iot.Message{Body: []byte("on")}))
	first := p.hears("leaf", leafwire.TypeCommand)
	again := p.hears("leaf", leafwire.TypeCommand)
	if first.System.Get(iot.MessageID) == again.System.Get(iot.MessageID) {
		t.Error("the same question twice")
	}
}

// Once a translator says hello for one leaf, its others are taken to support all.
func TestOneHelloSpeaksForLeavesWithout(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	p := s.translator(ptm, 64)
	p.tell("silent", "a")
	s.cloud.has("silent", "a")
	p.say(p.route("polite").Hello(leafwire.Hello{}))
	m := p.hears("silent", leafwire.TypeDesired)
	if d, err := leafwire.ParseDesired(&m); err != nil || !d.Full {
		t.Errorf("%+v, %v", d, err)
	}
}

func TestWhatHasNoLeafIsPassedOn(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	p := s.translator(ptm, 0)
	p.say(iot.Message{Body: []byte("of the module itself"), Properties: iot.Properties{{Key: "a", Value: "b"}}})
	s.cloud.has(itm.String(), "of the module itself")
}

func TestALeafsMessageKeepsWhatIsItsOwn(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	p := s.translator(ptm, 0)
	m := iot.Message{Body: []byte(`{"t":1}`), Properties: iot.Properties{{Key: "level", Value: "hot"}}}
	m.System.Set(iot.ContentType, "application/json")
	m.System.Set(iot.ContentEncoding, "utf-8")
	m.System.Set(iot.MessageID, "m1")
	p.say(p.route("leaf").Telemetry(m))
	s.cloud.has("leaf", `{"t":1}`)
	got := s.cloud.msgs["leaf"][0]
	if len(got.Properties) != 1 || got.Properties[0].Key != "level" || got.System.Get(iot.ContentType) != "application/json" || got.System.Get(iot.MessageID) != "m1" {
		t.Errorf("%+v", got)
	}
	if got.Sender() != iot.DeviceIdentity("leaf") {
		t.Errorf("sent by %v", got.Sender())
	}
}
