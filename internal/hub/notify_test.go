package hub

import (
	"context"
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/hub/storage"
	"sluice/iot"
)

// events reads n events of the log, in the order of one device's partition.
func (f *fixture) events(id iot.Identity, n int) (list []storage.Event) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), time.Minute)
	defer cancel()
	r, err := f.opt.Events.Reader(f.opt.Events.PartitionOf(id), storage.Earliest())
	if err != nil {
		f.t.Fatal(err)
	}
	for len(list) < n {
		some, err := r.Read(ctx, n-len(list))
		if err != nil {
			f.t.Fatalf("after %d of %d events: %v", len(list), n, err)
		}
		list = append(list, some...)
	}
	return list
}

var times = regexp.MustCompile(`"[0-9-]{10}T[0-9:.]+Z"|"[0-9A-F]{48}"|"M[A-Za-z0-9]{21}=="`)

func TestEventsOfTheHubItself(t *testing.T) {
	f := newFixture(t)
	f.opt.Notify = []storage.Source{storage.TwinChange, storage.Lifecycle, storage.ConnectionState}
	id := iot.DeviceIdentity("pump")
	f.create("pump")
	s := f.connect(id, nil)
	f.patch(id, `{"tags":{"a":1},"properties":{"desired":{"b":2}}}`)
	if _, err := s.PatchReported(t.Context(), json.RawMessage(`{"c":3,"d":null}`)); err != nil {
		t.Fatal(err)
	}
	if _, err := f.ReplaceTwin(id, json.RawMessage(`{"tags":{},"properties":{"desired":{}}}`), ""); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.opt.Registry.Delete(id, ""); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range f.events(id, 7) {
		operation, _ := e.Message.Properties.Get("opType")
		device, _ := e.Message.Properties.Get("deviceId")
		if at, _ := e.Message.Properties.Get("operationTimestamp"); len(at) > len("2026-05-04T03:02:01.1234567Z") {
			t.Errorf("%s: %s is finer than .NET reads", operation, at)
		}
		if e.Message.Sender() != id || device != "pump" {
			t.Errorf("%s is of %s and tells of %q", operation, e.Message.Sender(), device)
		}
		got = append(got, strings.Join([]string{
			e.Source.String(), e.Message.System.Get(iot.MessageSchema), operation, times.ReplaceAllString(string(e.Message.Body), "TIME"),
		}, " "))
	}
	const meta = `"$metadata":{"$lastUpdated":TIME},"$version":1`
	const owner = `{"deviceId":"pump","deviceEtag":TIME,"status":"enabled","statusUpdateTime":TIME,"connectionState":"Disconnected","lastActivityTime":TIME,` +
		`"cloudToDeviceMessageCount":0,"authenticationType":"sas","x509Thumbprint":{"primaryThumbprint":null,"secondaryThumbprint":null},"modelId":"","capabilities":{"iotEdge":false},`
	want := []string{
		`deviceLifecycleEvents deviceLifecycleNotification createDeviceIdentity ` + owner +
			`"etag":"AAAAAAAAAAE=","version":2,"tags":{},"properties":{"desired":{` + meta + `},"reported":{` + meta + `}}}`,
		`deviceConnectionStateEvents deviceConnectionStateNotification deviceConnected {"sequenceNumber":TIME}`,
		`twinChangeEvents twinChangeNotification updateTwin {"version":3,"tags":{"a":1},"properties":{"desired":{"b":2,"$version":2}}}`,
		`twinChangeEvents twinChangeNotification updateTwin {"version":4,"properties":{"reported":{"c":3,"$version":2}}}`,
		`twinChangeEvents twinChangeNotification replaceTwin {"version":5,"tags":{},"properties":{"desired":{"$metadata":{"$lastUpdated":TIME,"$lastUpdatedVersion":3},"$version":3},` +
			`"reported":{"c":3,"$metadata":{"$lastUpdated":TIME,"c":{"$lastUpdated":TIME}},"$version":2}}}`,
		`deviceConnectionStateEvents deviceConnectionStateNotification deviceDisconnected {"sequenceNumber":TIME}`,
		`deviceLifecycleEvents deviceLifecycleNotification deleteDeviceIdentity ` + owner +
			`"etag":"AAAAAAAAAAM=","version":5,"tags":{},"properties":{"desired":{"$metadata":{"$lastUpdated":TIME,"$lastUpdatedVersion":3},"$version":3},` +
			`"reported":{"c":3,"$metadata":{"$lastUpdated":TIME,"c":{"$lastUpdated":TIME}},"$version":2}}}`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// Without being asked to, a hub stores telemetry alone.
func TestTheHubKeepsItsOwnEventsToItself(t *testing.T) {
	f := newFixture(t)
	id := iot.DeviceIdentity("pump")
	f.create("pump")
	s := f.connect(id, nil)
	f.patch(id, `{"tags":{"a":1}}`)
	sent := make(chan error, 1)
	s.Send([]iot.Message{{Body: []byte("telemetry")}}, func(err error) { sent <- err })
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	if e := f.events(id, 1)[0]; e.Source != storage.Telemetry || string(e.Message.Body) != "telemetry" {
		t.Errorf("the first event is %s of source %v", e.Message.Body, e.Source)
	}
}
