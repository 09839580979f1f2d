//go:build unix

package module

import (
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// client is the operator's, of a socket that serves the handler until the test ends.
func (g *rig) client() *Client {
	g.t.Helper()
	l, err := net.Listen("unix", filepath.Join(g.dir, "o"))
	if err != nil {
		g.t.Fatal(err)
	}
	server := &http.Server{Handler: http.StripPrefix("/v1", g.Handler())}
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	g.t.Cleanup(func() {
		_ = server.Close() // nothing to say of it
		<-done
	})
	return NewClient(l.Addr().String())
}

func TestTheOperatorsClient(t *testing.T) {
	g := newRig(t, map[string]any{
		"m":   shell("echo out; echo err >&2; exec sleep 600").with("env", spec{"PASSWORD": spec{"value": "s3cret"}}),
		"off": shell("exit").with("status", "stopped"),
	}, nil)
	g.says("m", "out")
	g.says("m", "err")
	c := g.client()
	list, err := c.List(t.Context())
	if err != nil || len(list) != 2 {
		t.Fatalf("%+v, %v", list, err)
	}
	if m := list[0]; m.Name != "m" || m.Type != "process" || m.Config.Settings.Image != "sh" || m.Status.Runtime.Status != Running || m.Status.StartTime == nil || m.Status.PID == 0 {
		t.Errorf("%+v", m)
	}
	if off := list[1]; off.Status.Runtime.Status != Stopped || off.Status.StartTime != nil || off.Status.ExitStatus != nil {
		t.Errorf("%+v", off)
	}

	var out strings.Builder
	if err := c.Logs(t.Context(), "m", LogQuery{Tail: 1}, false, &out); err != nil || !strings.Contains("out\nerr\n", out.String()) {
		t.Errorf("%q, %v", &out, err)
	}
	out.Reset()
	if err := c.Logs(t.Context(), "m", LogQuery{Tail: -1, Since: time.Now().Add(-time.Minute)}, true, &out); err != nil || strings.Count(out.String(), "\n") != 2 {
		t.Errorf("%q, %v", &out, err)
	}
	if _, err := time.Parse(stamp, strings.Fields(out.String())[0]); err != nil {
		t.Error(err)
	}

	if err := c.Restart(t.Context(), "m"); err != nil {
		t.Error(err)
	}
	if again, err := c.List(t.Context()); err != nil || again[0].Status.PID == list[0].Status.PID {
		t.Errorf("%+v, %v", again, err)
	}
	for name, want := range map[string]string{"off": "module off: stopped", "none": ErrNoModule.Error()} {
		if err := c.Restart(t.Context(), name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := c.Logs(t.Context(), "none", LogQuery{Tail: -1}, false, &out); err == nil || !strings.Contains(err.Error(), ErrNoModule.Error()) {
		t.Errorf("%v", err)
	}
}

// Who follows is let go when the gateway ends, or the module is removed.
func TestFollowingEnds(t *testing.T) {
	for name, end := range map[string]func(*rig){
		"gateway ends":   func(g *rig) { g.stop() },
		"module removed": func(g *rig) { g.deploy(nil) },
	} {
		t.Run(name, func(t *testing.T) { followUntil(t, end) })
	}
}

func followUntil(t *testing.T, end func(*rig)) {
	g := newRig(t, map[string]any{"m": shell("echo ready; exec sleep 600")}, nil)
	g.says("m", "ready")
	client := g.client()
	came := make(chan struct{})
	done := make(chan error, 1)
	go func() {
		done <- client.Logs(t.Context(), "m", LogQuery{Tail: -1, Follow: true}, false, written(sync.OnceFunc(func() { close(came) })))
	}()
	<-came
	end(g)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// written is a writer that is called at each write.
type written func()

func (f written) Write(b []byte) (int, error) {
	f()
	return len(b), nil
}

func TestWrongQueriesForLogs(t *testing.T) {
	now := time.Now()
	for _, q := range [][2]string{{"x", ""}, {"-1", ""}, {"1.5", ""}, {"", "yesterday"}, {"", "2026-01-31"}} {
		if _, err := ParseLogQuery(q[0], q[1], now); !errors.Is(err, ErrQuery) {
			t.Errorf("%q: %v", q, err)
		}
	}
	if q, err := ParseLogQuery("all", "90m", now); err != nil || q.Tail != -1 || !q.Since.Equal(now.Add(-90*time.Minute)) {
		t.Errorf("%+v, %v", q, err)
	}
	if q, err := ParseLogQuery("0", "2026-01-31T10:20:30Z", now); err != nil || q.Tail != 0 || q.Since.Year() != 2026 {
		t.Errorf("%+v, %v", q, err)
	}
}

// The file of a deployment is followed.
func TestADeploymentFileIsFollowed(t *testing.T) {
	g := newRig(t, map[string]any{"a": shell("exec sleep 600")}, nil)
	pid := g.is("a", Running).PID
	g.write("broken {")
	g.until("it is refused", func([]Status) bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return g.outcome.code == 400
	})
	if s := g.is("a", Running); s.PID != pid {
		t.Error("a wrong file had an effect")
	}
	g.write(string(deployment(t, map[string]any{"b": shell("exec sleep 600")})))
	g.is("b", Running)
	if _, err := g.unit("a"); err == nil {
		t.Error("a is still there")
	}
}

// write replaces the deployment.
func (g *rig) write(text string) {
	g.t.Helper()
	if err := os.WriteFile(filepath.Join(g.dir, "modules.json"), []byte(text), 0o600); err != nil {
		g.t.Fatal(err)
	}
}

func TestOptionsThatCannotBe(t *testing.T) {
	good, err := testOptions("/data", new(transcript))
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Options){
		"no deployment": func(o *Options) { o.File = "" },
		"relative":      func(o *Options) { o.Dir = "data" },
		"no keys":       func(o *Options) { o.Keys = nil },
		"no API":        func(o *Options) { o.Workload = nil },
	} {
		o := good
		change(&o)
		if _, err := New(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	good.File, good.Connect = "", newFakeHub().connect
	if _, err := New(good); err != nil {
		t.Error(err)
	}
}
