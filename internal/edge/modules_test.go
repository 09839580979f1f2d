package edge

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"sluice/internal/await"
	"sluice/internal/edge/config"
	"sluice/internal/hub/storage"
	"sluice/internal/module"
	"sluice/internal/operate"
	"sluice/iot"
)

const oneModule = `{"schemaVersion": "1.1", "modules": {"filter": {"type": "process", "status": "running", "restartPolicy": "always",
	"settings": {"image": "sh", "createOptions": {"Cmd": ["-c", "echo I am $IOTEDGE_MODULEID; exec sleep 600"]}}}}}`

func TestModulesOfADeployment(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the module is a shell command")
	}
	s := newSite(t)
	s.register(storage.Entry{Registration: iot.Registration{Identity: iot.ModuleIdentity("edge1", "filter")}})
	file := filepath.Join(s.dir, "deployment.json")
	s.write(file, []byte(oneModule))
	e := s.open(func(c *config.Config) { c.Deployment = file })
	stop := s.run(e.Run)
	s.startsFilter()
	began := time.Now()
	stop()
	if took := time.Since(began); took > ending {
		t.Errorf("it took %v to end", took)
	}
	if info, err := os.Stat(filepath.Join(s.dir, "data", "private", "workload-key")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("S14 %v, %v", info, err)
	}
}

// startsFilter waits until the operator sees the module say who it is.
func (s *site) startsFilter() {
	s.t.Helper()
	c := module.NewClient(operate.Path(filepath.Join(s.dir, "data")))
	await.Success(s.t, "the module says who it is", func() error {
		var said strings.Builder
		err := c.Logs(s.t.Context(), "filter", module.LogQuery{Tail: -1}, false, &said)
		if said.String() != "I am filter\n" {
			return fmt.Errorf("it says %q: %v", &said, err)
		}
		return nil
	})
}

// The hub has an identity for each module that the gateway wants one for, with keys,
// and keeps those that it has.
func TestIdentitiesOfModulesAreMade(t *testing.T) {
	s := newSite(t)
	e := s.open(nil)
	if err := e.createIdentity(t.Context(), "filter"); iot.KindOf(err) != iot.Unavailable {
		t.Errorf("before the hub was reached: %v", err)
	}
	s.run(e.Run)
	s.untilOnline(e)
	var before storage.Entry
	for range 2 {
		if err := e.createIdentity(t.Context(), "filter"); err != nil {
			t.Fatal(err)
		}
		made, ok := s.hub.Registry().Get(iot.ModuleIdentity("edge1", "filter"))
		if !ok || made.Auth.Type != iot.AuthSAS || made.Auth.PrimaryKey == "" || made.ManagedBy != "iotedge" {
			t.Fatalf("%v %+v", ok, made)
		}
		if before.GenerationID != "" && (before.GenerationID != made.GenerationID || before.Auth.PrimaryKey != made.Auth.PrimaryKey) {
			t.Error("an identity that was there was changed")
		}
		before = made
	}
	if key, generation, ok := e.gateway.ModuleKey(t.Context(), "filter"); !ok || key != before.Auth.PrimaryKey || generation != before.GenerationID {
		t.Errorf("the gateway has %q, %v", generation, ok)
	}
	if err := e.createIdentity(t.Context(), "no name"); err == nil || iot.KindOf(err).Retryable() {
		t.Errorf("a name that cannot be: %v", err)
	}
}

func TestPlanNamesTheModules(t *testing.T) {
	s := newSite(t)
	file := filepath.Join(s.dir, "deployment.json")
	cfg, err := config.Load(s.configure())
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		oneModule: "filter, from " + file,
		`{"schemaVersion": "1.1", "modules": {"m": {}}}`: "module m: type is missing",
	} {
		s.write(file, []byte(text))
		cfg.Deployment = file
		got, err := modulesFact(cfg)
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for deployment, want := range map[string]string{"": "", iot.EdgeAgentModule: "by the twin of $edgeAgent"} {
		cfg.Deployment = deployment
		if got, err := modulesFact(cfg); err != nil || !strings.HasSuffix(got, want) || (got == "") != (want == "") {
			t.Errorf("%q: %q, %v", deployment, got, err)
		}
	}
}
