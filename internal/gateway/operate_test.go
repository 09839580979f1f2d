package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"sluice/internal/spool"
	"sluice/iot"
)

func (s *fakeSession) Twin(context.Context) (iot.Twin, error) {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	if !s.p.sessions[s] {
		return iot.Twin{}, errAway
	}
	if h := s.p.twins[s.id]; h != nil {
		h.asked++
		return h.twin, nil
	}
	return iot.Twin{Desired: json.RawMessage(`{"interval":10}`), DesiredVersion: 4, Reported: json.RawMessage(`{"state":"idle"}`), ReportedVersion: 7}, nil
}

// goAway takes the hub away, and waits until the gateway knows.
func (s *site) goAway() {
	s.t.Helper()
	s.parent.cut(true)
	s.until("offline", func() bool { return !s.gw.Online() })
}

func TestMembersSayWhoIsThereAndWhoIsNot(t *testing.T) {
	here, away := child("here"), child("away")
	s := newSite(t, newFakeParent(edgeDevice(), here, away))
	s.untilOnline()
	session, err := s.connect(here.Identity, here.Auth.PrimaryKey)
	if err != nil {
		t.Fatal(err)
	}
	s.goAway()
	s.send(session, "one that waits")
	byID := map[string]Member{}
	members := s.gw.Members()
	for _, m := range members {
		byID[m.Identity.String()] = m
	}
	if m := byID["here"]; m.Seat == nil || m.Seat.Protocol != "test" || m.Seat.Expires == nil || m.Waiting != 1 || !m.Enabled {
		t.Errorf("here: %+v", m)
	}
	if m, ok := byID["away"]; !ok || m.Seat != nil || m.Waiting != 0 {
		t.Errorf("away: %+v", m)
	}
	text, err := json.Marshal(members)
	if err != nil || strings.Contains(string(text), here.Auth.PrimaryKey.Reveal()) {
		t.Errorf("S12 the members' keys are shown: %v", err)
	}
	sum := s.gw.Summary()
	if sum.Device != "edge" || sum.Online || sum.Clients != 1 || sum.Members != 3 || sum.AsOf == nil || sum.Received != 1 {
		t.Errorf("summary: %+v", sum)
	}
}

func TestTwinsAreShownWithTheHubAndWithout(t *testing.T) {
	dev := child("dev")
	s := newSite(t, newFakeParent(edgeDevice(), dev, child("other")))
	s.untilOnline()
	v, err := s.gw.Twin(s.ctx, dev.Identity)
	if err != nil || v.Source != "hub" || string(v.Desired) != `{"interval":10}` || v.DesiredVersion != 4 {
		t.Errorf("with the hub: %+v, %v", v, err)
	}
	session, err := s.connect(dev.Identity, dev.Auth.PrimaryKey)
	if err != nil {
		t.Fatal(err)
	}
	s.goAway()
	if _, err := session.PatchReported(s.ctx, json.RawMessage(`{"state":"busy"}`)); err != nil {
		t.Fatal(err)
	}
	v, err = s.gw.Twin(s.ctx, dev.Identity)
	if err != nil || v.Source != "cache" || string(v.Reported) != `{"state":"busy"}` || len(v.Pending) != 1 || string(v.Desired) != `{"interval":10}` {
		t.Errorf("without the hub: %+v, %v", v, err)
	}
	// W14: what was never told is not shown as empty.
	if _, err := s.gw.Twin(s.ctx, iot.DeviceIdentity("other")); iot.KindOf(err) != iot.Unavailable {
		t.Errorf("a twin that the hub never told: %v", err)
	}
	if _, err := s.gw.Twin(s.ctx, iot.DeviceIdentity("stranger")); iot.KindOf(err) != iot.NotFound {
		t.Errorf("a stranger's twin: %v", err)
	}
}

func TestMethodsAreCalledWithoutTheHub(t *testing.T) {
	dev := child("dev")
	s := newSite(t, newFakeParent(edgeDevice(), dev))
	s.untilOnline()
	session, err := s.connect(dev.Identity, dev.Auth.PrimaryKey)
	if err != nil {
		t.Fatal(err)
	}
	s.goAway()
	call := iot.MethodCall{Name: "reboot", Payload: json.RawMessage(`{"in":5}`)}
	if _, err := s.gw.Invoke(s.ctx, dev.Identity, call); iot.KindOf(err) != iot.NotFound {
		t.Errorf("a device that takes no methods: %v", err)
	}
	if _, err := session.Methods(func(c iot.MethodCall, reply func(iot.MethodResult)) {
		reply(iot.MethodResult{Status: 200, Payload: json.RawMessage(`"` + c.Name + `"`)})
	}); err != nil {
		t.Fatal(err)
	}
	r, err := s.gw.Invoke(s.ctx, dev.Identity, call)
	if err != nil || r.Status != 200 || string(r.Payload) != `"reboot"` {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := s.gw.Invoke(s.ctx, iot.DeviceIdentity("stranger"), call); iot.KindOf(err) != iot.NotFound {
		t.Errorf("a stranger: %v", err)
	}
}

func TestQueuesAreShownAndPurged(t *testing.T) {
	dev := child("dev")
	s := newSite(t, newFakeParent(edgeDevice(), dev))
	s.untilOnline()
	session, err := s.connect(dev.Identity, dev.Auth.PrimaryKey)
	if err != nil {
		t.Fatal(err)
	}
	s.goAway()
	began := time.Now().Add(-time.Second)
	for range 3 {
		s.send(session, "x")
	}
	list, err := s.gw.Queues()
	if err != nil || len(list) != 1 {
		t.Fatalf("%+v, %v", list, err)
	}
	q := list[0]
	if q.Name != UpstreamQueue || q.Endpoint != "$upstream" || !q.Routed || q.Messages != 3 || q.Lanes != 1 || len(q.Priorities) != 1 ||
		q.Oldest == nil || q.Oldest.Before(began) || q.Oldest.After(time.Now().Add(time.Second)) {
		t.Errorf("%+v", q)
	}
	if _, err := s.gw.Purge("nonsense"); iot.KindOf(err) != iot.NotFound {
		t.Errorf("purge of what is not there: %v", err)
	}
	if n, err := s.gw.Purge(UpstreamQueue); err != nil || n != 3 {
		t.Errorf("purged %d, %v", n, err)
	}
	s.send(session, "after")
	s.parent.cut(false)
	s.received(dev.Identity, "after")
}

func TestEdgeHubW9_DeadLettersAreSentAgainOrDropped(t *testing.T) {
	dev := child("dev")
	parent := newFakeParent(edgeDevice(), dev)
	parent.poison = "bad"
	s := newSite(t, parent)
	s.untilOnline()
	session, err := s.connect(dev.Identity, dev.Auth.PrimaryKey)
	if err != nil {
		t.Fatal(err)
	}
	s.send(session, "bad")
	s.send(session, "bad")
	store := s.gw.opt.Spool
	s.until("two dead letters", func() bool { return store.DeadStats().Letters == 2 })
	letters, err := store.DeadLetters(0, 10)
	if err != nil {
		t.Fatal(err)
	}
	parent.set(func() { parent.poison = "" })
	if n, err := s.gw.Retry(letters[0].Seq); err != nil || n != 1 {
		t.Errorf("retried %d, %v", n, err)
	}
	s.received(dev.Identity, "bad")
	if err := s.gw.Drop(letters[1].Seq); err != nil {
		t.Error(err)
	}
	if n := store.DeadStats().Letters; n != 0 {
		t.Errorf("%d dead letters are left", n)
	}
	if n, err := s.gw.Retry(letters[1].Seq); !errors.Is(err, spool.ErrNotFound) || n != 0 {
		t.Errorf("retried %d that was dropped: %v", n, err)
	}
	if err := s.gw.Drop(letters[1].Seq); !errors.Is(err, spool.ErrNotFound) {
		t.Errorf("dropped twice: %v", err)
	}
}
