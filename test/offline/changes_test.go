package offline

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"sluice/iot"
)

// changes sends what devices report of their temperature to a module, and everything
// that modules and the gateway itself say to the hub.
const changes = `{"properties":{"desired":{"routes":{
	"hot": "FROM /twinChangeNotifications WHERE twin_change_includes(properties.reported.temperature) INTO BrokeredEndpoint(\"/modules/filter/inputs/twins\")",
	"up": {"route": "FROM /* INTO $upstream", "priority": 2}
}}}}`

func (s *site) report(from iot.Session, patch string) {
	s.t.Helper()
	_, err := from.PatchReported(s.t.Context(), json.RawMessage(patch))
	s.must(err)
}

func TestTwinChangesAreMessages(t *testing.T) {
	s := newSite(t)
	s.online()
	s.deploy(changes, 200)
	device, module := s.connect(leaf), s.connect(filter)
	got := s.listen(module, 10)
	s.report(device, `{"temperature":81}`)
	d := receive(t, got)
	for name, want := range map[iot.SystemName]string{
		iot.MessageType: "twinChangeNotification", iot.MessageSchema: "twinChangeNotification",
		iot.ReporterDeviceID: "leaf", iot.ReporterModuleID: "", iot.ContentType: "", iot.InputName: "twins",
	} {
		if got := d.Message.System.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if at, err := time.Parse(time.RFC3339Nano, d.Message.System.Get(iot.EnqueuedTime)); err != nil || time.Since(at) > time.Hour {
		t.Errorf("enqueued at %v, %v", at, err)
	}
	if string(d.Message.Body) != `{"temperature":81}` || d.Message.Sender() != edgeHub {
		t.Errorf("delivered %q of %s", d.Message.Body, d.Message.Sender())
	}
	s.must(module.Settle(t.Context(), d.LockToken, iot.Complete))

	// Without the hub, and over a restart; those that the routes do not want, and
	// patches that are refused, are no messages.
	s.cut()
	if _, err := device.PatchReported(t.Context(), json.RawMessage(`"nonsense"`)); iot.KindOf(err) != iot.Invalid {
		t.Errorf("nonsense was taken: %v", err)
	}
	s.report(device, `{"state":"on"}`)
	s.report(device, `{"temperature":null}`)
	s.report(module, `{"temperature":20}`)
	s.restartGateway()
	module = s.connect(filter)
	got = s.listen(module, 10)
	for _, want := range []string{`{"temperature":null}`, `{"temperature":20}`} {
		d := receive(t, got)
		if string(d.Message.Body) != want {
			t.Errorf("delivered %s, want %s", d.Message.Body, want)
		}
		s.must(module.Settle(t.Context(), d.LockToken, iot.Complete))
	}

	// The hub has them as the gateway's own, over the session that the gateway holds
	// anyway: the uplink stays up, and who is told of a deployment stays told.
	s.mend()
	want := "edge/$edgeHub {\"temperature\":81}, edge/$edgeHub {\"state\":\"on\"}, edge/$edgeHub {\"temperature\":null}, edge/$edgeHub {\"temperature\":20}"
	if got := strings.Join(s.events(4), ", "); got != want {
		t.Errorf("the hub has %s\nwant %s", got, want)
	}
	before := s.gateway.Counts().Offline.Load()
	s.report(module, `{"temperature":21}`)
	s.events(5)
	s.deploy(`{"properties":{"desired":{"routes":{"hot":null}}}}`, 200)
	if n := s.gateway.Counts().Offline.Load(); n != before {
		t.Errorf("the uplink was lost %d times", n-before)
	}
}

func TestEdgeHubW4_TheDeploymentLimitsTheSpool(t *testing.T) {
	s := newSite(t)
	s.online()
	s.deploy(guide, 200)
	device := s.connect(leaf) // nobody takes what it sends: the module is away
	s.send(device, "", "1")
	limit := func(bytes string) string {
		return fmt.Sprintf(`{"properties":{"desired":{"storeAndForwardConfiguration":{"storeLimits":%s}}}}`, bytes)
	}
	s.deploy(limit(`{"maxSizeBytes":100}`), 200)
	try := func() error {
		done := make(chan error, 1)
		device.Send([]iot.Message{{Body: []byte("2")}}, func(err error) { done <- err })
		return receive(t, done)
	}
	if err := try(); iot.KindOf(err) != iot.Throttled {
		t.Errorf("above the limit: %v, want Throttled", err)
	}
	s.deploy(limit(`{"maxSizeBytes":0}`), 400)
	s.restartGateway() // the limit is remembered
	device = s.connect(leaf)
	if err := try(); iot.KindOf(err) != iot.Throttled {
		t.Errorf("above the limit, after a restart: %v, want Throttled", err)
	}
	s.online()
	s.deploy(limit(`null`), 200)
	if err := try(); err != nil {
		t.Errorf("without a limit: %v", err)
	}
}
