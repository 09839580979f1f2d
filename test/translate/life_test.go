package translate

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"sluice/internal/await"
	"sluice/internal/hub/storage"
	"sluice/internal/leafwire"
	"sluice/internal/translate"
	"sluice/iot"
)

func (s *site) leafState(want translate.State, n int) {
	s.t.Helper()
	await.Success(s.t, fmt.Sprintf("%d leaves are %s", n, want), func() error {
		if got := s.module.Stats().Leaves[want]; got != n {
			return fmt.Errorf("%d are: %+v", got, s.module.Stats())
		}
		return nil
	})
}

// told waits until the translator is told of a state.
func (t *translator) told(leaf string, want leafwire.State) (reason string) {
	t.s.t.Helper()
	for {
		m := t.hears(leaf, leafwire.TypeState)
		state, reason, err := leafwire.ParseState(&m)
		t.s.must(err)
		if state == want {
			return reason
		}
	}
}

func TestARefusalIsRememberedForATimeAndThenAskedAbout(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(o *translate.Options) { o.Patience.Refusal = 300 * time.Millisecond })
	p := s.translator(ptm, 64)
	s.cloud.set(func() { s.cloud.refuse["rogue"] = true })
	p.tell("rogue", "a")
	if reason := p.told("rogue", leafwire.Refused); reason != "the device is not on the allow list" {
		t.Errorf("reason %q", reason)
	}
	s.cloud.set(func() { s.cloud.refuse["rogue"] = false })
	await.Success(s.t, "it is asked for again, once it speaks after the refusal is forgotten", func() error {
		p.tell("rogue", "b")
		if s.cloud.times("rogue") < 2 {
			return errors.New("not asked again")
		}
		return nil
	})
	await.Success(s.t, "what it said is there, the first first", func() error {
		s.cloud.mu.Lock()
		defer s.cloud.mu.Unlock()
		if got := s.cloud.got["rogue"]; len(got) < 2 || got[0] != "a" {
			return fmt.Errorf("%q", got)
		}
		return nil
	})
}

func TestARefusedLeafIsNotAskedForAgainAfterARestart(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil) // an hour's memory
	p := s.translator(ptm, 64)
	s.cloud.set(func() { s.cloud.refuse["rogue"] = true })
	p.tell("rogue", "a")
	p.told("rogue", leafwire.Refused)
	s.restartModule()
	p.tell("rogue", "b")
	p.tell("good", "x")
	s.cloud.has("good", "x")
	if n := s.cloud.times("rogue"); n != 1 {
		t.Errorf("asked for %d times", n)
	}
	s.leafState(translate.Refused, 1)
}

func TestTheCloudBringsARefusedLeafIn(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	p := s.translator(ptm, 64)
	s.cloud.set(func() { s.cloud.refuse["late"] = true })
	p.tell("late", "a")
	p.told("late", leafwire.Refused)
	s.cloud.set(func() { s.cloud.create(iot.DeviceIdentity("late")) })
	s.cloud.call(t.Context(), leafwire.Callback{DeviceID: "late", ResultCode: 201})
	s.cloud.has("late", "a")
}

func TestATranslatorDeletesALeafAndItComesAgain(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	p := s.translator(ptm, 64)
	p.tell("leaf", "a")
	p.say(p.route("leaf").Gone(leafwire.Delete))
	p.told("leaf", leafwire.Deleted)
	s.cloud.has("leaf", "a") // before it went
	if _, there := s.devices.Get(iot.DeviceIdentity("leaf")); there {
		t.Error("the device is there")
	}
	p.tell("leaf", "b")
	p.told("leaf", leafwire.Registered)
	s.cloud.has("leaf", "a", "b")
	if n := s.cloud.createdTimes("leaf"); n != 2 {
		t.Errorf("created %d times", n)
	}
}

func TestATranslatorDisablesALeafUntilItSaysHello(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	p := s.translator(ptm, 64)
	p.tell("leaf", "a")
	p.say(p.route("leaf").Gone(leafwire.Disable))
	p.told("leaf", leafwire.Disabled)
	p.tell("leaf", "late")
	await.Success(s.t, "what it still says is dropped", func() error {
		if s.module.Stats().Bad == 0 {
			return errors.New("nothing dropped")
		}
		return nil
	})
	s.restartModule()
	s.leafState(translate.Disabled, 1)
	p.say(p.route("leaf").Hello(leafwire.Hello{}))
	p.told("leaf", leafwire.Registered)
	p.tell("leaf", "b")
	s.cloud.has("leaf", "a", "b")
}

// What the module kept for a leaf that was deleted at the hub goes up once the
// cloud has made it again.
func TestALeafThatWasDeletedAtTheHubIsRegisteredAnew(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	p := s.translator(ptm, 64)
	p.tell("leaf", "a")
	s.cloud.has("leaf", "a")
	s.must(s.devices.Delete(iot.DeviceIdentity("leaf"), "*"))
	s.restartGateway()
	p = s.translator(ptm, 64)
	await.Success(s.t, "it is created again", func() error {
		p.tell("leaf", "b") // what the gateway took before it knew goes to its dead letters
		if n := s.cloud.createdTimes("leaf"); n != 2 {
			return fmt.Errorf("created %d times", n)
		}
		return nil
	})
	p.tell("leaf", "c")
	await.Success(s.t, "its message is there", func() error { return s.cloud.ends("leaf", "c") })
}

func TestALeafThatWasDisabledAtTheHubWaits(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(o *translate.Options) { o.Patience.Refusal = 100 * time.Millisecond })
	p := s.translator(ptm, 64)
	p.tell("leaf", "a")
	s.cloud.has("leaf", "a")
	s.cloud.set(func() {
		s.cloud.refuse["leaf"] = true // as the provisioning service does about a disabled device
		s.cloud.enable(iot.DeviceIdentity("leaf"), false)
	})
	s.restartGateway()
	p = s.translator(ptm, 64)
	await.Success(s.t, "it is refused", func() error {
		p.tell("leaf", "b")
		if s.module.Stats().Leaves[translate.Refused] == 0 {
			return fmt.Errorf("%+v", s.module.Stats())
		}
		return nil
	})
	s.cloud.set(func() { s.cloud.refuse["leaf"] = false })
	await.Success(s.t, "it is back", func() error {
		p.tell("leaf", "c")
		return s.cloud.ends("leaf", "c")
	})
}

// A device that was moved to another gateway is not this one's any more, whatever
// the module believes; moved back, it goes on.
func TestALeafThatMovesToAnotherGatewayAndBack(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(o *translate.Options) { o.Patience.Refusal = 100 * time.Millisecond })
	other := s.create(device("edge-2", func(e *storage.Entry) { e.Edge = true }))
	p := s.translator(ptm, 64)
	p.tell("leaf", "a")
	s.cloud.has("leaf", "a")
	s.cloud.set(func() { s.cloud.refuse["leaf"] = true })
	s.move("leaf", other.Scope)
	s.restartGateway() // or else it would learn of it with its next look at its scope
	p = s.translator(ptm, 64)
	await.Success(s.t, "it is refused", func() error {
		p.tell("leaf", "b")
		if s.module.Stats().Leaves[translate.Refused] == 0 {
			return fmt.Errorf("%+v", s.module.Stats())
		}
		return nil
	})
	s.move("leaf", s.scope)
	s.cloud.set(func() { s.cloud.refuse["leaf"] = false })
	await.Success(s.t, "it is back", func() error {
		p.tell("leaf", "c")
		return s.cloud.ends("leaf", "c")
	})
}

func (s *site) move(leaf, scope string) {
	s.t.Helper()
	e, _ := s.devices.Get(iot.DeviceIdentity(leaf))
	e.Scope, e.ParentScopes = scope, []string{scope}
	_, err := s.devices.Update(e, "*")
	s.must(err)
}

func TestFailuresOfTheCloudPass(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(o *translate.Options) { o.Patience.AskAgain = 50 * time.Millisecond })
	p := s.translator(ptm, 0)
	s.cloud.set(func() { s.cloud.code = 500 })
	p.tell("leaf", "a")
	await.Success(s.t, "it is asked several times", func() error {
		if s.cloud.times("leaf") < 3 {
			return errors.New("not yet")
		}
		return nil
	})
	s.cloud.set(func() { s.cloud.code = 0 })
	s.cloud.has("leaf", "a")
}

func TestARestartAsksNobodyAgain(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	p := s.translator(ptm, 0)
	for i := range 20 {
		p.tell(fmt.Sprint("leaf-", i), "a")
	}
	s.leafState(translate.Registered, 20)
	s.restartModule()
	for i := range 20 {
		p.tell(fmt.Sprint("leaf-", i), "b")
		s.cloud.has(fmt.Sprint("leaf-", i), "a", "b")
	}
	for i := range 20 {
		if n := s.cloud.times(fmt.Sprint("leaf-", i)); n != 1 {
			t.Errorf("leaf-%d was asked for %d times", i, n)
		}
	}
}

func TestTheGatewayGoesAndComes(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	p := s.translator(ptm, 0)
	p.tell("leaf", "a")
	s.cloud.has("leaf", "a")
	s.restartGateway()
	p = s.translator(ptm, 64)
	p.tell("leaf", "b")
	p.tell("leaf-2", "c")
	s.cloud.has("leaf", "a", "b")
	s.cloud.has("leaf-2", "c")
}
