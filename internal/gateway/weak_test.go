package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"sluice/iot"
)

// A twinHub is what a hub says of one twin, and what it is told of it.
type twinHub struct {
	twin     iot.Twin
	changed  func(json.RawMessage)    // of who has subscribed
	judge    func(patch string) error // of a patch of reported properties
	reported []string                 // patches that were taken
	asked    int                      // for the twin
}

func (h *twinHub) desired(version int64, desired string) {
	h.twin.Desired, h.twin.DesiredVersion = json.RawMessage(desired), version
}

func (s *fakeSession) PatchReported(_ context.Context, patch json.RawMessage) (int64, error) {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	h := s.p.twins[s.id]
	if !s.p.sessions[s] || h == nil {
		return 0, errAway
	}
	if h.judge != nil {
		if err := h.judge(string(patch)); err != nil {
			return 0, err
		}
	}
	h.reported = append(h.reported, string(patch))
	h.twin.ReportedVersion++
	s.p.touch()
	return h.twin.ReportedVersion, nil
}

type fakeSubscription struct{ iot.Subscription }

func (fakeSubscription) Close() {}

// newTwinSite is a site whose hub has a twin of the device dev.
func newTwinSite(t *testing.T) (*site, *twinHub, iot.Session) {
	dev := child("dev")
	p := newFakeParent(edgeDevice(), dev)
	h := &twinHub{twin: iot.Twin{Desired: json.RawMessage(`{}`), DesiredVersion: 1, Reported: json.RawMessage(`{}`), ReportedVersion: 1}}
	p.twins = map[iot.Identity]*twinHub{dev.Identity: h}
	s := newSite(t, p)
	s.untilOnline()
	session, err := s.connect(dev.Identity, dev.Auth.PrimaryKey)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := session.Twin(s.ctx); err != nil {
		t.Fatal(err)
	}
	return s, h, session
}

func TestEdgeHubW15_ARejectedPatchHoldsUpNoOther(t *testing.T) {
	s, h, session := newTwinSite(t)
	s.goAway()
	for _, patch := range []string{`{"a":{"x":1}}`, `{"a":null}`, `{"a":{"y":1}}`} { // no patch says all of it
		if _, err := session.PatchReported(s.ctx, json.RawMessage(patch)); err != nil {
			t.Fatal(err)
		}
	}
	tries := 0
	s.parent.set(func() {
		h.judge = func(patch string) error {
			switch tries++; {
			case tries == 1: // the line breaks: it is tried again
				return errAway
			case patch == `{"a":null}`:
				return iot.Errorf(iot.Invalid, "fake", iot.Identity{}, "never")
			}
			return nil
		}
	})
	s.parent.cut(false)
	if err := s.parent.until(s.ctx, func() bool { return len(h.reported) > 0 && h.reported[len(h.reported)-1] == `{"a":{"y":1}}` }); err != nil {
		t.Fatalf("the hub has %v", h.reported)
	}
	if n := s.gw.Counts().ReportsRefused.Load(); n > 1 {
		t.Errorf("%d patches were refused, want at most one", n)
	}
	s.parent.set(func() {
		h.judge = func(string) error { return iot.Errorf(iot.Invalid, "fake", iot.Identity{}, "never") }
	})
	if _, err := session.PatchReported(s.ctx, json.RawMessage(`{"b":1}`)); iot.KindOf(err) != iot.Invalid {
		t.Errorf("what the hub refuses: %v", err)
	}
	s.parent.set(func() { h.judge = nil })
	if _, err := session.PatchReported(s.ctx, json.RawMessage(`{"c":1}`)); err != nil {
		t.Errorf("what comes after it: %v", err)
	}
}

// Changes of desired properties come out of order, twice, or not at all.
func TestW1_DesiredChangesOutOfOrder(t *testing.T) {
	s, h, session := newTwinSite(t)
	told := make(chan string, 10)
	if _, err := session.DesiredChanges(func(patch json.RawMessage) { told <- string(patch) }); err != nil {
		t.Fatal(err)
	}
	if err := s.parent.until(s.ctx, func() bool { return h.changed != nil }); err != nil {
		t.Fatal(err)
	}
	say := func(version int64, patch string) {
		s.parent.mu.Lock()
		changed := h.changed
		s.parent.mu.Unlock()
		changed(json.RawMessage(fmt.Sprintf(`{%s,"$version":%d}`, patch, version)))
	}
	want := func(text string) {
		t.Helper()
		select {
		case got := <-told:
			if got != text {
				t.Errorf("told %s, want %s", got, text)
			}
		case <-s.ctx.Done():
			t.Fatalf("not told %s", text)
		}
	}
	say(2, `"a":2`)
	want(`{"a":2,"$version":2}`)
	// 3 is lost: at 4 the whole is asked for, and 3 comes late, and 4 again.
	var asked int
	s.parent.set(func() {
		h.desired(4, `{"a":2,"b":3,"c":4}`)
		asked = h.asked
	})
	say(4, `"c":4`)
	want(`{"b":3,"c":4,"$version":4}`)
	say(3, `"b":3`)
	say(4, `"c":4`)
	say(5, `"a":null`)
	want(`{"a":null,"$version":5}`)
	s.parent.set(func() {
		if n := h.asked - asked; n != 1 {
			t.Errorf("the whole was asked for %d times, want once", n)
		}
	})
	s.goAway()
	got, err := session.Twin(s.ctx)
	if err != nil || string(got.Desired) != `{"b":3,"c":4}` || got.DesiredVersion != 5 {
		t.Errorf("%+v, %v", got, err)
	}
}
