//go:build unix

package module

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"sluice/iot"
)

func TestEnvironmentOfAModule(t *testing.T) {
	t.Setenv("SLUICE_TEST_SECRET", "of the gateway")
	g := newRig(t, map[string]any{
		"filter": shell("env; echo end; exec sleep 600").with("env", spec{
			"TEXT": spec{"value": "a b"}, "NUMBER": spec{"value": 1.5}, "TRUTH": spec{"value": true}, "TZ": spec{"value": "Mars"},
		}).options("Env", []string{"TEXT=c=d"}),
	}, func(o *Options) { o.ParentHost = "upper.local" })
	g.says("filter", "end")
	got := map[string]string{}
	for line := range strings.Lines(g.all("filter")) {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		got[key] = value
	}
	for key, want := range map[string]string{
		"IOTEDGE_WORKLOADURI":        "unix://" + g.dir + "/run/filter.sock",
		"IOTEDGE_AUTHSCHEME":         "sasToken",
		"IOTEDGE_MODULEGENERATIONID": "42",
		"IOTEDGE_IOTHUBHOSTNAME":     "hub.local",
		"IOTEDGE_GATEWAYHOSTNAME":    "gateway.local",
		"IOTEDGE_PARENTHOSTNAME":     "upper.local",
		"IOTEDGE_DEVICEID":           "edge1",
		"IOTEDGE_MODULEID":           "filter",
		"IOTEDGE_APIVERSION":         "2022-08-03",
		"RuntimeLogLevel":            "info",
		"HOME":                       g.dir + "/modules/filter",
		"TEXT":                       "c=d", "NUMBER": "1.5", "TRUTH": "true", "TZ": "Mars",
		"PATH": os.Getenv("PATH"),
	} {
		if got[key] != want {
			t.Errorf("%s=%s, want %s", key, got[key], want)
		}
	}
	if _, ok := got["SLUICE_TEST_SECRET"]; ok {
		t.Error("the module has the gateway's own environment")
	}
}

func TestRestartPolicies(t *testing.T) {
	for _, tt := range []struct {
		policy Policy
		code   int
		state  State
	}{
		{Never, 0, Stopped}, {Never, 3, Failed},
		{OnFailure, 0, Stopped}, {OnUnhealthy, 0, Stopped},
	} {
		t.Run(fmt.Sprintf("%s %d", tt.policy, tt.code), func(t *testing.T) {
			g := newRig(t, map[string]any{"m": shell(fmt.Sprintf("exit %d", tt.code)).with("restartPolicy", tt.policy)}, nil)
			if s := g.is("m", tt.state); s.ExitCode != tt.code || s.Restarts != 0 {
				t.Errorf("%+v", s)
			}
		})
	}
	for _, tt := range []struct {
		policy Policy
		code   int
	}{{OnFailure, 3}, {OnUnhealthy, 3}, {Always, 0}, {Always, 3}} {
		t.Run(fmt.Sprintf("%s %d", tt.policy, tt.code), func(t *testing.T) {
			g := newRig(t, map[string]any{"m": shell(fmt.Sprintf("exit %d", tt.code)).with("restartPolicy", tt.policy)}, nil)
			g.until("it is started again and again", func(list []Status) bool { return list[0].Restarts > 3 && !list[0].Restarted.IsZero() })
		})
	}
}

func TestAModuleThatIsKilledComesBack(t *testing.T) {
	g := newRig(t, map[string]any{"m": shell("exec sleep 600")}, nil)
	first := g.is("m", Running)
	if err := syscall.Kill(first.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	g.until("another process", func(list []Status) bool { return list[0].PID != 0 && list[0].PID != first.PID })
	if s := g.List()[0]; s.ExitCode != 128+9 || s.Restarts != 1 {
		t.Errorf("%+v", s)
	}
}

func TestModulesThatCannotStart(t *testing.T) {
	g := newRig(t, map[string]any{
		"absent":    shell("").with("settings", spec{"image": "no-such-program"}),
		"never":     shell("").with("settings", spec{"image": "/no/such/program"}).with("restartPolicy", "never"),
		"nobody":    shell("").options("User", "no-such-user"),
		"nowhere":   shell("").options("WorkingDir", "/no/such/dir"),
		"stranger":  shell("exec sleep 600"),
		"container": spec{"type": "docker", "status": "running", "settings": spec{"image": "nginx:1", "createOptions": "{}"}},
		"down":      shell("exec sleep 600").with("status", "stopped"),
		"well":      shell("exec sleep 600"),
	}, nil)
	for name, want := range map[string]struct {
		state State
		text  string
	}{
		"absent":    {Waiting, "executable file not found"},
		"never":     {Failed, "no such file"},
		"nobody":    {Waiting, `user "no-such-user"`},
		"nowhere":   {Waiting, "no such file"},
		"stranger":  {Waiting, "the hub has no identity for it"},
		"container": {Failed, `type "docker" is not supported`},
		"down":      {Stopped, "stopped"},
		"well":      {Running, "running"},
	} {
		if s := g.is(name, want.state); !strings.Contains(s.Description, want.text) {
			t.Errorf("%s: %q", name, s.Description)
		}
	}
	for _, name := range []string{"container", "down", "nobody here"} {
		if err := g.Restart(t.Context(), name); err == nil {
			t.Errorf("%s was restarted", name)
		}
	}
}

func TestModulesStartInTheirOrder(t *testing.T) {
	modules := map[string]any{}
	var want []string
	for i := range 6 {
		name := fmt.Sprintf("m%d", 5-i)
		modules[name] = shell("exec sleep 600").with("startupOrder", i)
		want = append(want, name)
	}
	g := newRig(t, modules, nil)
	list := g.List()
	slices.SortFunc(list, func(a, b Status) int { return a.Started.Compare(b.Started) })
	for i, s := range list {
		if s.Spec.Name != want[i] {
			t.Errorf("%s started in place %d, want %s", s.Spec.Name, i, want[i])
		}
	}
}

func TestADeploymentIsAppliedByDifference(t *testing.T) {
	g := newRig(t, map[string]any{"stays": acts("wait"), "changes": acts("wait"), "goes": acts("wait"), "rests": acts("wait")}, nil)
	before := map[string]Status{}
	for _, name := range []string{"stays", "changes", "goes", "rests"} {
		before[name] = g.is(name, Running)
	}
	changed := acts("wait")
	changed["env"].(spec)["ROUND"] = spec{"value": "2"}
	g.deploy(map[string]any{
		"stays":   acts("wait").with("restartPolicy", "never").with("startupOrder", 5),
		"changes": changed,
		"rests":   acts("wait").with("status", "stopped"),
		"comes":   acts("wait"),
	})
	g.says("changes", "ready 2")
	g.is("comes", Running)
	g.is("rests", Stopped)
	if s := g.is("stays", Running); s.PID != before["stays"].PID || s.Spec.Restart != Never {
		t.Errorf("it was restarted, or has its old policy: %+v", s)
	}
	if s := g.is("changes", Running); s.PID == before["changes"].PID {
		t.Error("it was not restarted")
	}
	if _, err := g.unit("goes"); err == nil {
		t.Error("a module that was removed is still listed")
	}
	for _, name := range []string{"goes", "changes", "rests"} {
		if err := syscall.Kill(before[name].PID, 0); err == nil {
			t.Errorf("the process of %s is still there", name)
		}
	}
	if _, err := os.Stat(filepath.Join(g.dir, "run", "goes.sock")); err == nil {
		t.Error("the socket of a module that was removed is still there")
	}
	g.deploy(map[string]any{"rests": acts("wait")})
	g.is("rests", Running)
}

// A module that failed for good is tried again when its deployment says otherwise.
func TestAnotherPolicyBringsAModuleBack(t *testing.T) {
	g := newRig(t, map[string]any{"m": shell("exit 3").with("restartPolicy", "never")}, nil)
	g.is("m", Failed)
	g.deploy(map[string]any{"m": shell("exit 3").with("restartPolicy", "on-failure")})
	g.until("it is started again", func(list []Status) bool { return list[0].Restarts > 1 })
}

// A module that was removed at the hub and made again has another generation.
func TestAModuleWhoseIdentityWasMadeAgainIsRestarted(t *testing.T) {
	var generation atomic.Int64
	g := newRig(t, map[string]any{"m": shell("echo generation $IOTEDGE_MODULEGENERATIONID; exec sleep 600")}, func(o *Options) {
		o.lookEvery = 10 * time.Millisecond
		o.Keys = func(context.Context, string) (iot.Secret, string, bool) {
			n := generation.Load()
			return testKey, fmt.Sprint(n), n != 1
		}
	})
	g.says("m", "generation 0")
	pid := g.is("m", Running).PID
	generation.Store(1) // removed: it goes on, as it would without the hub
	if s := g.is("m", Running); s.PID != pid {
		t.Error("it was restarted")
	}
	generation.Store(2)
	g.says("m", "generation 2")
}

// A hub that is away is asked until it answers; one that refuses is left alone.
func TestIdentitiesAreAskedFor(t *testing.T) {
	var known atomic.Bool
	var asked, refused atomic.Int64
	g := newRig(t, map[string]any{"new": shell("exec sleep 600"), "unwanted": shell("exec sleep 600")}, func(o *Options) {
		o.Keys = func(_ context.Context, module string) (iot.Secret, string, bool) {
			return testKey, "1", module == "new" && known.Load()
		}
		o.Create = func(_ context.Context, module string) error {
			if module != "new" {
				refused.Add(1)
				return iot.Errorf(iot.Forbidden, "create", iot.Identity{}, "no more modules")
			}
			if asked.Add(1) == 1 {
				return iot.Errorf(iot.Unavailable, "create", iot.Identity{}, "away")
			}
			known.Store(true)
			return nil
		}
	})
	g.is("new", Running)
	g.is("unwanted", Waiting)
	if asked.Load() != 2 || refused.Load() != 1 {
		t.Errorf("asked %d times, and %d times by whom it refuses", asked.Load(), refused.Load())
	}
}

func TestStoppingIsPoliteFirst(t *testing.T) {
	g := newRig(t, map[string]any{
		"polite":   acts("polite"),
		"by-int":   acts("polite").options("StopSignal", "SIGINT"),
		"stubborn": acts("stubborn").options("StopTimeout", 1),
	}, nil)
	for _, name := range []string{"polite", "by-int", "stubborn"} {
		g.says(name, "ready")
	}
	began := time.Now()
	for _, name := range []string{"polite", "by-int", "stubborn"} {
		if err := g.Restart(t.Context(), name); err != nil {
			t.Error(err)
		}
	}
	if took := time.Since(began); took < time.Second {
		t.Errorf("who does not end had %v, and not a second", took)
	}
	for name, want := range map[string]string{"polite": "bye after terminated", "by-int": "bye after interrupt"} {
		if all := g.all(name); !strings.Contains(all, want) {
			t.Errorf("%s said %q", name, all)
		}
	}
	if s := g.is("stubborn", Running); s.ExitCode != 128+9 {
		t.Errorf("who does not end ended with %d", s.ExitCode)
	}
}

// However long a module may take by its deployment, the gateway ends in time.
func TestTheEndOfTheGatewayIsNotDelayed(t *testing.T) {
	g := newRig(t, map[string]any{"stubborn": acts("stubborn").options("StopTimeout", 600)}, nil)
	g.says("stubborn", "ready")
	began := time.Now()
	g.stop()
	if took := time.Since(began); took > closeGrace+20*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestAModuleMaySignForItselfAlone(t *testing.T) {
	g := newRig(t, map[string]any{"filter": acts("sign"), "thief": acts("sign filter")}, nil)
	if got := g.says("filter", ""); !strings.HasPrefix(got, `200 {"digest":"`) {
		t.Errorf("for itself: %s", got)
	}
	// The thief may have come before the socket that it looks for.
	g.is("filter", Running)
	if err := g.Restart(t.Context(), "thief"); err != nil {
		t.Fatal(err)
	}
	got := g.says("thief", "403")
	if got != `403 {"message":"forbidden"}` {
		t.Errorf("for another: %s", got)
	}
}

func TestS12_TheKeyIsNowhereToBeFound(t *testing.T) {
	g := newRig(t, map[string]any{"m": shell("env; echo end; exec sleep 600"), "s": acts("sign")}, nil)
	g.says("m", "end")
	g.says("s", "200")
	g.stop()
	text := g.log.String()
	err := filepath.WalkDir(g.dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		text += string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(text, testKey.Reveal()) {
		t.Error("the key of a module is in a log or a file")
	}
}

func TestS14_FilesAreTheirOwnersAlone(t *testing.T) {
	g := newRig(t, map[string]any{"m": shell("echo end; exec sleep 600")}, nil)
	g.says("m", "end")
	g.keep([]byte("{}"))
	for name, want := range map[string]os.FileMode{
		"run": 0o700, "logs": 0o700, "modules": 0o700, "modules/m": 0o700,
		"run/m.sock": 0o600, "logs/m.log": 0o600, "deployment.json": 0o600,
	} {
		if info, err := os.Stat(filepath.Join(g.dir, name)); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v, want %v", name, info.Mode(), err, want)
		}
	}
}
