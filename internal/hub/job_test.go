package hub

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/service"
	"sluice/iot"
)

func (f *fixture) job(id, body string) service.Job {
	f.t.Helper()
	j := service.Job{JobID: id}
	if err := json.Unmarshal([]byte(body), &j); err != nil {
		f.t.Fatal(err)
	}
	if _, err := f.Jobs().Create(j); err != nil {
		f.t.Fatal(err)
	}
	f.eventually("true", func() string {
		var err error
		if j, err = f.Jobs().Get(id); err != nil {
			return err.Error()
		}
		text, _ := json.Marshal(j.Ended()) // a bool
		return string(text)
	})
	return j
}

func TestJobsReachTheDevicesThatMeetTheirCondition(t *testing.T) {
	f := newFixture(t)
	for _, id := range []string{"a", "b", "c"} {
		f.create(id)
	}
	f.create("a/m")
	f.patch(iot.DeviceIdentity("a"), `{"tags":{"site":"north"}}`)
	f.patch(iot.DeviceIdentity("b"), `{"tags":{"site":"north"}}`)
	s := f.connect(iot.DeviceIdentity("a"), nil)
	methods, err := s.Methods(func(call iot.MethodCall, done func(iot.MethodResult)) {
		done(iot.MethodResult{Status: 201, Payload: call.Payload})
	})
	if err != nil {
		t.Fatal(err)
	}
	methods.Grant(10)

	f.job("twins", `{"type":"scheduleUpdateTwin","queryCondition":"tags.site = 'north'","updateTwin":{"etag":"*","tags":{"wave":2}}}`)
	f.job("modules", `{"type":"scheduleUpdateTwin","queryCondition":"FROM devices.modules WHERE moduleId = 'm'","updateTwin":{"properties":{"desired":{"x":1}}}}`)
	if got := f.desired(iot.ModuleIdentity("a", "m")); got != `{"x":1}` {
		t.Errorf("the module has %s", got)
	}
	f.job("methods", `{"type":"scheduleDeviceMethod","queryCondition":"tags.wave = 2","cloudToDeviceMethod":{"methodName":"x","payload":{"y":1}}}`)
	want := []string{
		`{"deviceId":"a","status":"completed","answer":{"payload":{"y":1},"status":201}}`,
		`{"deviceId":"b","status":"failed","code":"404103"}`,
	}
	got := f.all("SELECT deviceId, status, outcome.deviceMethodResponse AS answer, error.code AS code FROM devices.jobs WHERE jobId = 'methods'", 1)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what became of the job (-want +got):\n%s", diff)
	}
	if got := f.all("SELECT jobId, COUNT() AS n FROM devices.jobs GROUP BY jobId", 10); len(got) != 3 {
		t.Errorf("jobs by id: %s", got)
	}
}
