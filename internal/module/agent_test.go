//go:build unix

package module

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/internal/twin"
	"sluice/iot"
)

// A fakeHub is $edgeAgent's twin at a hub, and the sessions with it.
type fakeHub struct {
	iot.Session // what is not used

	mu       sync.Mutex
	away     bool
	desired  json.RawMessage
	version  int64
	reported twin.Document
	refuse   error         // of reports
	news     chan struct{} // closed and replaced at each report
	ended    func(error)
	changed  func(json.RawMessage)
	invoke   func(iot.MethodCall, func(iot.MethodResult))
	closed   int
}

func newFakeHub() *fakeHub {
	return &fakeHub{desired: json.RawMessage("{}"), version: 1, news: make(chan struct{}), reported: twin.NewDocument(twin.Reported, time.Now())}
}

var errAway = errors.New("the hub is away")

func (h *fakeHub) connect(_ context.Context, client iot.Client) (iot.Session, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.away {
		return nil, errAway
	}
	h.ended = client.Ended
	return h, nil
}

type noSubscription struct{}

func (noSubscription) Grant(int)   {}
func (noSubscription) Revoke() int { return 0 }
func (noSubscription) Close()      {}

func (h *fakeHub) DesiredChanges(changed func(json.RawMessage)) (iot.Subscription, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.changed = changed
	return noSubscription{}, nil
}

func (h *fakeHub) Methods(invoke func(iot.MethodCall, func(iot.MethodResult))) (iot.Subscription, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.invoke = invoke
	return noSubscription{}, nil
}

func (h *fakeHub) Twin(context.Context) (iot.Twin, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.away {
		return iot.Twin{}, errAway
	}
	return iot.Twin{Desired: h.desired, DesiredVersion: h.version, Reported: h.reported.JSON(), ReportedVersion: h.reported.Version()}, nil
}

func (h *fakeHub) PatchReported(_ context.Context, patch json.RawMessage) (int64, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.away {
		return 0, errAway
	}
	if h.refuse != nil {
		return 0, h.refuse
	}
	after, err := h.reported.Merge(patch, time.Now())
	if err != nil {
		return 0, err
	}
	h.reported = after
	close(h.news)
	h.news = make(chan struct{})
	return after.Version(), nil
}

func (h *fakeHub) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed++
	return nil
}

// set changes the deployment.
func (h *fakeHub) set(text []byte) {
	h.mu.Lock()
	h.desired, h.version = text, h.version+1
	changed := h.changed
	h.mu.Unlock()
	if changed != nil {
		changed(nil)
	}
}

// leave makes the hub go away; it comes back with false.
func (h *fakeHub) leave(away bool) {
	h.mu.Lock()
	h.away = away
	ended := h.ended
	h.mu.Unlock()
	if away && ended != nil {
		ended(errAway)
	}
}

// A report is what edgeAgent reports, as far as the tests look.
type report struct {
	SchemaVersion string
	Last          int64 `json:"lastDesiredVersion"`
	Status        struct {
		Code        int
		Description string
	} `json:"lastDesiredStatus"`
	System  map[string]map[string]any `json:"systemModules"`
	Modules map[string]map[string]any
}

// until waits until the hub was told what should be.
func (h *fakeHub) until(t *testing.T, what string, ok func(report) bool) report {
	t.Helper()
	late := time.After(patience)
	for {
		h.mu.Lock()
		news, text := h.news, h.reported.JSON()
		h.mu.Unlock()
		var r report
		if err := json.Unmarshal(text, &r); err != nil {
			t.Fatal(err)
		}
		if ok(r) {
			return r
		}
		select {
		case <-news:
		case <-late:
			t.Fatalf("never reported: %s: %s", what, text)
		}
	}
}

func hubRig(t *testing.T, h *fakeHub) *rig {
	t.Helper()
	return newRig(t, nil, func(o *Options) { o.File, o.Connect = "", h.connect })
}

func TestDeploymentsOfTheHubAreAppliedAndReported(t *testing.T) {
	h := newFakeHub()
	g := hubRig(t, h)
	h.until(t, "an empty deployment", func(r report) bool { return r.Status.Code == 417 && r.Last == 1 })
	h.set(deployment(t, map[string]any{
		"well": shell("exec sleep 600").with("version", "1.2").with("env", spec{"A": spec{"value": "b"}}),
		"ends": shell("exit 3").with("restartPolicy", "never"),
		"box":  spec{"type": "docker", "status": "running", "settings": spec{"image": "nginx", "createOptions": strings.Repeat("x", 1100)}},
	}))
	r := h.until(t, "all modules", func(r report) bool {
		return r.Last == 2 && r.Status.Code == 200 && r.Modules["well"]["runtimeStatus"] == "running" && r.Modules["ends"]["runtimeStatus"] == "failed"
	})
	well, ends, box := r.Modules["well"], r.Modules["ends"], r.Modules["box"]
	if well["version"] != "1.2" || well["restartPolicy"] != "always" || well["status"] != "running" || well["type"] != "process" ||
		well["env"].(map[string]any)["A"].(map[string]any)["value"] != "b" || well["lastStartTimeUtc"] == nil || well["lastExitTimeUtc"] != nil {
		t.Errorf("well: %v", well)
	}
	if ends["exitCode"] != 3.0 || ends["lastExitTimeUtc"] == nil || ends["statusDescription"] != "ended with exit code 3" {
		t.Errorf("ends: %v", ends)
	}
	settings := box["settings"].(map[string]any)
	if box["runtimeStatus"] != "failed" || settings["image"] != "nginx" || len(settings["createOptions"].(string)) != 512 || len(settings["createOptions02"].(string)) != 76 {
		t.Errorf("box: %v", box)
	}
	if r.SchemaVersion != "1.0" || r.System["edgeAgent"]["runtimeStatus"] != "running" || r.System["edgeHub"]["runtimeStatus"] != "running" {
		t.Errorf("%+v", r)
	}

	pid := g.is("well", Running).PID
	h.set([]byte(`{"schemaVersion": "1.1", "modules": {"well": {"type": "process"}}}`))
	h.until(t, "a wrong deployment", func(r report) bool { return r.Last == 3 && r.Status.Code == 400 && r.Status.Description != "" })
	if s := g.is("well", Running); s.PID != pid {
		t.Error("a wrong deployment had an effect")
	}
	h.set(deployment(t, map[string]any{}))
	h.until(t, "no modules", func(r report) bool { return r.Last == 4 && len(r.Modules) == 0 })

	h.set(deployment(t, map[string]any{"well": shell("exec sleep 600")}))
	h.until(t, "a module again", func(r report) bool { return r.Modules["well"]["runtimeStatus"] == "running" })
	g.stop()
	h.until(t, "the end", func(r report) bool {
		return r.Status.Code == 406 && r.Modules["well"]["runtimeStatus"] == "unknown" && r.System["edgeHub"]["runtimeStatus"] == "unknown"
	})
}

func TestModulesStartWithoutTheHub(t *testing.T) {
	h := newFakeHub()
	g := hubRig(t, h)
	h.set(deployment(t, map[string]any{"m": shell("exec sleep 600")}))
	h.until(t, "the module", func(r report) bool { return r.Modules["m"]["runtimeStatus"] == "running" })
	g.stop()
	h.leave(true)

	// Another gateway with the same data, as after a restart.
	again := func() *rig {
		opt, err := testOptions(g.dir, g.log)
		if err != nil {
			t.Fatal(err)
		}
		opt.File, opt.Connect = "", h.connect
		r, err := New(opt)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- r.Run(ctx) }()
		return &rig{Runtime: r, t: t, dir: g.dir, log: g.log, stop: func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}}
	}
	second := again()
	pid := second.is("m", Running).PID
	h.leave(false)
	h.until(t, "the hub hears of it", func(r report) bool { return r.Modules["m"]["runtimeStatus"] == "running" && r.Status.Code == 200 })
	if s := second.is("m", Running); s.PID != pid {
		t.Error("the module was restarted when the hub came back")
	}
	second.stop()

	if err := os.WriteFile(filepath.Join(g.dir, "deployment.json"), []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	third := again()
	third.is("m", Running) // by the hub
	third.stop()
	if !strings.Contains(g.log.String(), "the last deployment cannot be resumed") {
		t.Error("a damaged deployment is not told of")
	}
}

// A report that the hub will never take is no reason to begin again and again.
func TestAReportThatIsRefused(t *testing.T) {
	h := newFakeHub()
	h.refuse = iot.Errorf(iot.TooLarge, "twin.patch", iot.Identity{}, "too much")
	g := hubRig(t, h)
	h.set(deployment(t, map[string]any{"m": shell("exec sleep 600")}))
	g.is("m", Running)
	h.mu.Lock()
	h.refuse = nil
	closed := h.closed
	h.mu.Unlock()
	if closed > 0 {
		t.Error("the session was ended")
	}
	if err := g.Restart(t.Context(), "m"); err != nil {
		t.Error(err)
	}
	h.until(t, "what comes next", func(r report) bool { return r.Modules["m"]["lastRestartTimeUtc"] != nil })
}

func TestMethodsOfEdgeAgent(t *testing.T) {
	h := newFakeHub()
	g := hubRig(t, h)
	h.set(deployment(t, map[string]any{"m": shell("exec sleep 600"), "off": shell("exit").with("status", "stopped")}))
	h.until(t, "the module", func(r report) bool { return r.Modules["m"]["runtimeStatus"] == "running" })
	call := func(name, payload string) iot.MethodResult {
		answer := make(chan iot.MethodResult, 1)
		h.mu.Lock()
		invoke := h.invoke
		h.mu.Unlock()
		invoke(iot.MethodCall{Name: name, Payload: json.RawMessage(payload)}, func(r iot.MethodResult) { answer <- r })
		return <-answer
	}
	pid := g.is("m", Running).PID
	for _, tt := range []struct {
		name, payload string
		status        int
		text          string
	}{
		{"ping", "null", 200, ""},
		{"Ping", "", 200, ""},
		{"RestartModule", `{"schemaVersion":"1.0","id":"m"}`, 200, ""},
		{"restartmodule", `{"schemaVersion":"1.0","id":"none"}`, 500, "there is no such module"},
		{"restartmodule", `{"schemaVersion":"1.0","id":"off"}`, 500, "stopped"},
		{"restartmodule", `{}`, 400, "the payload is"},
		{"restartmodule", `m`, 400, "invalid character"},
		{"FormatDisk", `{}`, 400, "there is no method"},
	} {
		if r := call(tt.name, tt.payload); r.Status != tt.status || !strings.Contains(string(r.Payload), tt.text) {
			t.Errorf("%s %s: %d %s", tt.name, tt.payload, r.Status, r.Payload)
		}
	}
	if s := g.is("m", Running); s.PID == pid {
		t.Error("the module was not restarted")
	}
}
