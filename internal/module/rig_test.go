//go:build unix

package module

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/internal/sockettest"
	"sluice/internal/workload"
	"sluice/iot"
)

const testKey = iot.Secret("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")

// testKeys has an identity for every module but those called stranger.
func testKeys(_ context.Context, module string) (key iot.Secret, generation string, ok bool) {
	return testKey, "42", module != "stranger"
}

func testOptions(dir string, log io.Writer) (Options, error) {
	opt := Options{
		Dir: dir, RunDir: filepath.Join(dir, "run"), File: filepath.Join(dir, "modules.json"),
		Device: iot.DeviceIdentity("edge1"), Hub: "hub.local", Host: "gateway.local", LogLevel: "info",
		Keys:    testKeys,
		Backoff: Backoff{First: time.Millisecond, Max: 20 * time.Millisecond, Reset: time.Hour},
		Log:     slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	var err error
	opt.Workload, err = workload.New(workload.Options{Device: opt.Device, Hub: opt.Hub, Keys: opt.Keys, Log: opt.Log})
	return opt, err
}

// A transcript is a log that may be written and read at the same time.
type transcript struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *transcript) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *transcript) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// A rig is a runtime under test.
type rig struct {
	*Runtime
	t    *testing.T
	dir  string
	log  *transcript
	stop func()
}

// newRig starts a runtime with a deployment, which ends with the test. No process of
// it may be left then.
func newRig(t *testing.T, modules map[string]any, change func(*Options)) *rig {
	t.Helper()
	g := &rig{t: t, dir: sockettest.Dir(t), log: new(transcript)}
	opt, err := testOptions(g.dir, g.log)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(&opt)
	}
	if err := os.WriteFile(filepath.Join(g.dir, "modules.json"), deployment(t, modules), 0o600); err != nil {
		t.Fatal(err)
	}
	if g.Runtime, err = New(opt); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	g.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if n, err := killMarked(g.mark(""), false, patience); n > 0 || err != nil {
			t.Errorf("%d processes were left: %v", n, err)
		}
	})
	t.Cleanup(func() {
		g.stop()
		if t.Failed() {
			t.Logf("the log:\n%s", g.log)
		}
	})
	g.until("the deployment is in force", func([]Status) bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return g.outcome.code != 0 || opt.File == ""
	})
	return g
}

// deployment is the text of one with these modules.
func deployment(t *testing.T, modules map[string]any) []byte {
	t.Helper()
	text, err := json.Marshal(map[string]any{"schemaVersion": "1.1", "modules": modules})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// A spec is a module of a deployment, to be changed.
type spec map[string]any

// shell is a module that runs a command of the shell.
func shell(command string) spec {
	return spec{"type": "process", "status": "running", "restartPolicy": "always",
		"settings": spec{"image": "sh", "createOptions": spec{"Cmd": []string{"-c", command}}}}
}

// acts is a module that is this program; see TestMain.
func acts(act string) spec {
	return spec{"type": "process", "status": "running", "restartPolicy": "always",
		"settings": spec{"image": os.Args[0], "createOptions": spec{"StopTimeout": 10}},
		"env":      spec{actVariable: spec{"value": act}}}
}

func (s spec) with(key string, value any) spec { s[key] = value; return s }

func (s spec) options(key string, value any) spec {
	s["settings"].(spec)["createOptions"].(spec)[key] = value
	return s
}

// deploy applies a deployment with these modules.
func (g *rig) deploy(modules map[string]any) {
	g.t.Helper()
	m, err := ParseManifest(deployment(g.t, modules))
	if err != nil {
		g.t.Fatal(err)
	}
	g.Apply(g.t.Context(), m)
}

// until waits until the modules are as they should be.
func (g *rig) until(what string, ok func([]Status) bool) {
	g.t.Helper()
	late := time.After(patience)
	for {
		news := g.next()
		list := g.List()
		if ok(list) {
			return
		}
		select {
		case <-news:
		case <-late:
			g.t.Fatalf("never: %s: %+v", what, list)
		}
	}
}

// is waits until a module is in a state, and returns its status.
func (g *rig) is(name string, state State) Status {
	g.t.Helper()
	var found Status
	g.until(name+" is "+string(state), func(list []Status) bool {
		i := slices.IndexFunc(list, func(s Status) bool { return s.Spec.Name == name })
		if i >= 0 {
			found = list[i]
		}
		return i >= 0 && found.State == state
	})
	return found
}

// says waits until a module has written a line that begins with text.
func (g *rig) says(name, text string) string {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), patience)
	defer cancel()
	found := ""
	err := g.Logs(ctx, name, LogQuery{Tail: -1, Follow: true}, func(l Line) error {
		if strings.HasPrefix(l.Text, text) {
			found = l.Text
			cancel()
		}
		return nil
	})
	if err != nil || found == "" {
		g.t.Fatalf("%s never says %q: %v; it says\n%s", name, text, err, g.all(name))
	}
	return found
}

// all is all that a module has written.
func (g *rig) all(name string) string {
	var b strings.Builder
	err := g.Logs(g.t.Context(), name, LogQuery{Tail: -1}, func(l Line) error {
		b.WriteString(l.Text + "\n")
		return nil
	})
	if err != nil {
		b.WriteString(err.Error())
	}
	return b.String()
}
