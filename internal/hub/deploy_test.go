package hub

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"sluice/internal/await"
	"sluice/internal/hub/code"
	"sluice/internal/service"
	"sluice/iot"
)

// deployment is a configuration of devices with one setting.
func deployment(id, condition string, priority int, settings string) service.Configuration {
	c := service.Configuration{ID: id, TargetCondition: condition, Priority: priority}
	if err := json.Unmarshal([]byte(settings), &c.Content); err != nil {
		panic(err)
	}
	return c
}

func (f *fixture) configure(c service.Configuration) service.Configuration {
	f.t.Helper()
	created, err := f.Configurations().Create(c)
	if err != nil {
		f.t.Fatal(err)
	}
	return created
}

// eventually waits until got returns want. What a hub does by itself takes a
// moment.
func (f *fixture) eventually(want string, got func() string) {
	f.t.Helper()
	await.Success(f.t, "what the hub does by itself", func() error {
		if is := got(); is != want {
			return fmt.Errorf("it is %s, want %s", is, want)
		}
		return nil
	})
}

func (f *fixture) desired(id iot.Identity) string {
	f.t.Helper()
	t, err := f.Twin(id)
	if err != nil {
		return err.Error()
	}
	return string(t.Desired.JSON())
}

// status is how far the configurations of an identity have got.
func (f *fixture) status(id iot.Identity) string {
	text, err := json.Marshal(f.deployed.of(id))
	if err != nil {
		f.t.Fatal(err)
	}
	return string(text)
}

func TestTheConfigurationWithTheHighestPriorityApplies(t *testing.T) {
	f := newFixture(t)
	id := iot.DeviceIdentity("pump")
	f.create("pump")
	f.create("lamp")
	f.patch(id, `{"tags":{"site":"north"},"properties":{"desired":{"own":1}}}`)
	f.configure(deployment("low", "tags.site = 'north'", 1, `{"deviceContent":{"properties.desired.speed":{"rpm":1}}}`))
	f.eventually(`{"own":1,"speed":{"rpm":1}}`, func() string { return f.desired(id) })
	f.configure(deployment("high", "*", 5, `{"deviceContent":{"properties.desired.speed":{"rpm":1.50}}}`))
	f.eventually(`{"own":1,"speed":{"rpm":1.50}}`, func() string { return f.desired(id) })
	f.eventually(`{"high":{"status":"Applied"},"low":{"status":"Targeted"}}`, func() string { return f.status(id) })
	f.eventually(`{"speed":{"rpm":1.50}}`, func() string { return f.desired(iot.DeviceIdentity("lamp")) })
	if got := f.ConfigurationCounts("high"); got != (ConfigurationCounts{2, 2}) {
		t.Errorf("high has %+v", got)
	}
	if rows := f.all("SELECT deviceId FROM devices WHERE configurations.low.status = 'Targeted'", 10); len(rows) != 1 {
		t.Errorf("a query finds %s", rows)
	}

	t.Run("of the same priority the later one", func(t *testing.T) {
		f.configure(deployment("later", "*", 5, `{"deviceContent":{"properties.desired.speed.rpm":7}}`))
		f.eventually(`{"own":1,"speed":{"rpm":7}}`, func() string { return f.desired(id) })
	})
	t.Run("when it goes the next one applies", func(t *testing.T) {
		for _, name := range []string{"later", "high"} {
			if err := f.Configurations().Delete(name, ""); err != nil {
				t.Fatal(err)
			}
		}
		f.eventually(`{"own":1,"speed":{"rpm":1}}`, func() string { return f.desired(id) })
		f.eventually(`null`, func() string { return f.status(iot.DeviceIdentity("lamp")) })
	})
	t.Run("a device that comes, or begins to match, gets it", func(t *testing.T) {
		f.create("new")
		f.patch(iot.DeviceIdentity("new"), `{"tags":{"site":"north"}}`)
		f.eventually(`{"speed":{"rpm":1}}`, func() string { return f.desired(iot.DeviceIdentity("new")) })
	})
	t.Run("one that is changed by hand is set right again", func(t *testing.T) {
		f.patch(id, `{"properties":{"desired":{"speed":null}}}`)
		f.eventually(`{"own":1,"speed":{"rpm":1}}`, func() string { return f.desired(id) })
	})
	t.Run("one that is deleted is counted no more", func(t *testing.T) {
		if err := f.opt.Registry.Delete(id, ""); err != nil {
			t.Fatal(err)
		}
		f.eventually("1", func() string { return fmt.Sprint(f.ConfigurationCounts("low").Applied) })
	})
}

func TestAConfigurationOfModules(t *testing.T) {
	f := newFixture(t)
	f.create("pump")
	f.create("pump/filter")
	f.create("pump/other")
	f.configure(deployment("m", "FROM devices.modules WHERE moduleId = 'filter'", 1, `{"moduleContent":{"properties.desired.on":true}}`))
	f.eventually(`{"on":true}`, func() string { return f.desired(iot.ModuleIdentity("pump", "filter")) })
	if got := f.desired(iot.ModuleIdentity("pump", "other")); got != "{}" {
		t.Errorf("the other module has %s", got)
	}
}

const base = `{"modulesContent":{
	"$edgeAgent":{"properties.desired":{"modules":{"filter":{"type":"docker"}}}},
	"$edgeHub":{"properties.desired":{"routes":{"up":"FROM /* INTO $upstream"}}},
	"filter":{"properties.desired":{"level":1}}}}`

func TestEdgeDeploymentsLieUponEachOther(t *testing.T) {
	f := newFixture(t)
	f.create("site", edge)
	f.create("leaf")
	hubModule := iot.ModuleIdentity("site", iot.EdgeHubModule)
	f.configure(deployment("below", "*", 3, `{"modulesContent":{"$edgeHub":{"properties.desired.routes.lost":"FROM /a INTO $upstream"}}}`))
	f.configure(deployment("base", "*", 5, base))
	f.configure(deployment("layer", "deviceId = 'site'", 7, `{"modulesContent":{"$edgeHub":{"properties.desired.routes.more":"FROM /b INTO $upstream"}}}`))
	f.eventually(`{"routes":{"more":"FROM /b INTO $upstream","up":"FROM /* INTO $upstream"}}`, func() string { return f.desired(hubModule) })
	f.eventually(`{"level":1}`, func() string { return f.desired(iot.ModuleIdentity("site", "filter")) })
	want := `{"base":{"status":"Applied"},"below":{"status":"Targeted"},"layer":{"status":"Applied"}}`
	f.eventually(want, func() string { return f.status(iot.DeviceIdentity("site")) })
	f.eventually(want, func() string { return f.status(iot.ModuleIdentity("site", iot.EdgeAgentModule)) })
	if e, ok := f.opt.Registry.Get(iot.ModuleIdentity("site", "filter")); !ok || e.ManagedBy != "IotEdge" {
		t.Errorf("the module is %+v", e)
	}
	if got := f.status(iot.DeviceIdentity("leaf")); got != "null" {
		t.Errorf("a device that is none of the edge has %s", got)
	}

	t.Run("what the agent reports is found", func(t *testing.T) {
		agent := iot.ModuleIdentity("site", iot.EdgeAgentModule)
		twin, err := f.Twin(agent)
		if err != nil {
			t.Fatal(err)
		}
		report := fmt.Sprintf(`{"lastDesiredVersion":%d,"lastDesiredStatus":{"code":200}}`, twin.Desired.Version())
		if _, err := f.connect(agent, nil).PatchReported(t.Context(), json.RawMessage(report)); err != nil {
			t.Fatal(err)
		}
		const of = "SELECT deviceId FROM devices.modules WHERE moduleId = '$edgeAgent' AND configurations.[[base]].status = 'Applied' AND " +
			"properties.desired.$version = properties.reported.lastDesiredVersion AND properties.reported.lastDesiredStatus.code "
		if good, bad := f.all(of+"= 200", 9), f.all(of+"!= 200", 9); len(good) != 1 || len(bad) != 0 {
			t.Errorf("well for %s, and not for %s", good, bad)
		}
	})
	t.Run("without the layer its routes go", func(t *testing.T) {
		if err := f.Configurations().Delete("layer", ""); err != nil {
			t.Fatal(err)
		}
		f.eventually(`{"routes":{"up":"FROM /* INTO $upstream"}}`, func() string { return f.desired(hubModule) })
	})
}

// A gateway that is connected is told its routes as a change of desired
// properties.
func TestAContentForOneDeviceReachesItsModules(t *testing.T) {
	f := newFixture(t)
	f.create("site", edge)
	var c service.ConfigurationContent
	if err := json.Unmarshal([]byte(base), &c); err != nil {
		t.Fatal(err)
	}
	s := f.connect(iot.ModuleIdentity("site", iot.EdgeHubModule), nil)
	told := make(chan string, 1)
	if _, err := s.DesiredChanges(func(patch json.RawMessage) { told <- string(patch) }); err != nil {
		t.Fatal(err)
	}
	if err := f.ApplyContent("site", c); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-told:
		if want := `{"routes":{"up":"FROM /* INTO $upstream"},"$version":2}`; got != want {
			t.Errorf("the gateway hears %s, want %s", got, want)
		}
	case <-time.After(time.Minute):
		t.Fatal("the gateway is not told")
	}
	if got := f.desired(iot.ModuleIdentity("site", "filter")); got != `{"level":1}` {
		t.Errorf("the new module has %s", got)
	}
}

func TestAContentThatCannotBeChangesNothing(t *testing.T) {
	f := newFixture(t)
	f.create("site", edge)
	f.create("leaf")
	for _, tt := range []struct {
		name, device, content string
		want                  code.Code
	}{
		{"nobody", "nobody", `{"deviceContent":{}}`, code.DeviceNotFound},
		{"nothing", "leaf", `{}`, code.ArgumentInvalid},
		{"two kinds", "leaf", `{"deviceContent":{},"modulesContent":{}}`, code.ArgumentInvalid},
		{"modules of a leaf", "leaf", `{"modulesContent":{"m":{}}}`, code.ArgumentInvalid},
		{"of a configuration", "site", `{"moduleContent":{}}`, code.ArgumentInvalid},
		{"tags", "leaf", `{"deviceContent":{"tags.site":1}}`, code.ArgumentInvalid},
		{"an empty name", "leaf", `{"deviceContent":{"properties.desired.a..b":1}}`, code.ArgumentInvalid},
		{"no object", "leaf", `{"deviceContent":{"properties.desired":7}}`, code.ArgumentInvalid},
		{"a bad property", "site", `{"modulesContent":{"a":{"properties.desired.on":true},"b":{"properties.desired":{"x y":1}}}}`, code.ArgumentInvalid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var c service.ConfigurationContent
			if err := json.Unmarshal([]byte(tt.content), &c); err != nil {
				t.Fatal(err)
			}
			if err := f.ApplyContent(tt.device, c); !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
		})
	}
	if got := f.opt.Registry.Modules("site"); len(got) != 2 {
		t.Errorf("site has %d modules", len(got))
	}
}

// An agent that hears of a module starts it at once.
func TestTheAgentHearsOfModulesWhenTheyAreThere(t *testing.T) {
	f := newFixture(t)
	f.create("site", edge)
	var c service.ConfigurationContent
	if err := json.Unmarshal([]byte(base), &c); err != nil {
		t.Fatal(err)
	}
	found := make(chan string, 1)
	s := f.connect(iot.ModuleIdentity("site", iot.EdgeAgentModule), nil)
	if _, err := s.DesiredChanges(func(json.RawMessage) {
		filter := iot.ModuleIdentity("site", "filter")
		if _, ok := f.opt.Registry.Get(filter); !ok {
			found <- "no module"
			return
		}
		found <- f.desired(filter)
	}); err != nil {
		t.Fatal(err)
	}
	if err := f.ApplyContent("site", c); err != nil {
		t.Fatal(err)
	}
	if got := <-found; got != `{"level":1}` {
		t.Errorf("when the agent heard of the module there was %s", got)
	}
}
