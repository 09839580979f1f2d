package deploy

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"sluice/internal/dbtest"
	"sluice/internal/hub/code"
	"sluice/internal/hub/documents"
	"sluice/internal/service"
	"sluice/internal/twin"
)

func openStore(t *testing.T, fs vfs.FS) *Store {
	t.Helper()
	s, err := Open(documents.New(dbtest.Open(t, fs)), nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func configuration(t testing.TB, id, body string) service.Configuration {
	t.Helper()
	c := service.Configuration{ID: id}
	if err := json.Unmarshal([]byte(body), &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestConfigurationsSurviveAPowerCut(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := openStore(t, fs)
	for id, body := range map[string]string{
		"empty":   `{"content":{"deviceContent":{}},"targetCondition":""}`,
		"devices": `{"content":{"deviceContent":{"properties.desired.a":1.50}},"targetCondition":"*","priority":3,"labels":{"a":"b"}}`,
		"modules": `{"content":{"moduleContent":{}},"targetCondition":"FROM devices.modules WHERE moduleId = 'm'"}`,
		"edge":    `{"content":{"modulesContent":{"m":{"properties.desired":{"x":{}}}}},"targetCondition":"tags.x = 1","metrics":{"queries":{"n":"SELECT * FROM devices"}}}`,
	} {
		if _, err := s.Create(configuration(t, id, body)); err != nil {
			t.Fatalf("%s: %v", id, err)
		}
	}
	first, err := s.Get("devices")
	if err != nil {
		t.Fatal(err)
	}
	first.Priority = 4
	if _, err := s.Update(first, first.ETag); err != nil {
		t.Fatal(err)
	}
	after := openStore(t, fs.CrashClone(vfs.CrashCloneCfg{}))
	if diff := cmp.Diff(s.List(10), after.List(10)); diff != "" {
		t.Errorf("what was there and what is (-before +after):\n%s", diff)
	}
	if got, err := after.Update(first, "Mg=="); err != nil || got.ETag != "Mw==" {
		t.Errorf("a change afterwards: %q, %v", got.ETag, err)
	}
}

func TestThereAreOnlySoManyConfigurations(t *testing.T) {
	s := openStore(t, vfs.NewMem())
	for i := range MaxConfigurations + 1 {
		_, err := s.Create(configuration(t, fmt.Sprintf("c%d", i), `{"content":{"deviceContent":{}}}`))
		if full := i == MaxConfigurations; full != errors.Is(err, code.TooManyConfigurations) {
			t.Errorf("configuration %d: %v", i, err)
		}
	}
}

func TestSettingsAreMadeInTheOrderOfTheirNames(t *testing.T) {
	for _, tt := range []struct{ name, before, content, want string }{
		{"a part", `{"a":1}`, `{"properties.desired.b.c":2}`, `{"a":1,"b":{"c":2}}`},
		{"a part replaces what was there", `{"b":{"x":1}}`, `{"properties.desired.b":{"c":2}}`, `{"b":{"c":2}}`},
		{"beside others", `{"b":{"x":1}}`, `{"properties.desired.b.c":2}`, `{"b":{"c":2,"x":1}}`},
		{"in place of text", `{"b":"text"}`, `{"properties.desired.b.c":2}`, `{"b":{"c":2}}`},
		{"the whole", `{"a":1}`, `{"properties.desired":{"b":2}}`, `{"b":2}`},
		{"the whole and a part", `{"a":1}`, `{"properties.desired.c":3,"properties.desired":{"b":2}}`, `{"b":2,"c":3}`},
		{"null removes", `{"a":1,"b":2}`, `{"properties.desired.a":null}`, `{"b":2}`},
		{"numbers stay as they are written", `{}`, `{"properties.desired.a":1.50}`, `{"a":1.50}`},
		{"nothing", `{"a":1}`, `{}`, `{"a":1}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := ParseContent(configuration(t, "c", `{"content":{"deviceContent":`+tt.content+`}}`).Content)
			if err != nil {
				t.Fatal(err)
			}
			before, err := twin.NewDocument(twin.Desired, time.Unix(1, 0)).Merge(json.RawMessage(tt.before), time.Unix(1, 0))
			if err != nil {
				t.Fatal(err)
			}
			after, changed, err := Apply(before, c.Settings[""], time.Unix(2, 0))
			if err != nil || string(after.JSON()) != tt.want || changed != (tt.before != tt.want) {
				t.Errorf("made %s, changed %v, %v; want %s", after.JSON(), changed, err, tt.want)
			}
			if again, changed, err := Apply(after, c.Settings[""], time.Unix(3, 0)); changed || err != nil || again.Version() != after.Version() {
				t.Errorf("made again it changes to %s, %v", again.JSON(), err)
			}
		})
	}
}

// Whatever a content is, it is refused or can be made twice with the same end.
func FuzzContent(f *testing.F) {
	f.Add(`{"deviceContent":{"properties.desired.a.b":1}}`, `{"a":1}`)
	f.Add(`{"modulesContent":{"$edgeAgent":{"properties.desired":{"modules":{"m":{}}}},"m":{"properties.desired.x":null}}}`, `{}`)
	f.Add(`{"moduleContent":{"properties.desired":{"a":[1,{"b":null}]},"properties.desired.a":""}}`, `{"b":{"c":[]}}`)
	f.Fuzz(func(t *testing.T, content, before string) {
		var form service.ConfigurationContent
		if json.Unmarshal([]byte(content), &form) != nil {
			return
		}
		c, err := ParseContent(form)
		if err != nil {
			if !errors.Is(err, code.ArgumentInvalid) {
				t.Fatalf("refused with %v", err)
			}
			return
		}
		doc, err := twin.NewDocument(twin.Desired, time.Unix(1, 0)).Merge(json.RawMessage(before), time.Unix(1, 0))
		if err != nil {
			return
		}
		ModuleIDs(c.Settings)
		for _, settings := range c.Settings {
			once, _, err := Apply(doc, settings, time.Unix(2, 0))
			if err != nil {
				continue // too large together
			}
			if twice, changed, err := Apply(once, settings, time.Unix(3, 0)); err != nil || changed {
				t.Errorf("%s, and again %s, %v", once.JSON(), twice.JSON(), err)
			}
		}
	})
}
