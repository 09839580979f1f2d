package cli

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"sluice/internal/gateway"
	"sluice/internal/operate"
	"sluice/internal/sas"
	"sluice/internal/spool"
	"sluice/iot"
)

// A briefHub tells a gateway whom it serves and what their twins are, refuses all
// messages, and goes away for good when it is told to.
type briefHub struct {
	regs []iot.Registration

	mu    sync.Mutex
	away  bool
	ended []func(error)
}

var errBriefHub = iot.Errorf(iot.Unavailable, "test", iot.Identity{}, "the hub is away")

func (h *briefHub) Connect(_ context.Context, _ iot.Credentials, client iot.Client) (iot.Session, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.away {
		return nil, errBriefHub
	}
	h.ended = append(h.ended, client.Ended)
	return briefSession{}, nil
}

func (h *briefHub) InScope(context.Context, iot.Credentials, string) (iot.ScopePage, error) {
	return iot.ScopePage{Identities: h.regs}, nil
}

// Lookup knows whom InScope names: a device that comes before the gateway has the
// list is looked up.
func (h *briefHub) Lookup(_ context.Context, _ iot.Credentials, id iot.Identity) ([]iot.Registration, error) {
	for _, r := range h.regs {
		if r.Identity == id {
			return []iot.Registration{r}, nil
		}
	}
	return nil, iot.Errorf(iot.NotFound, "test", id, "unknown")
}

func (h *briefHub) leave() {
	h.mu.Lock()
	h.away = true
	ended := h.ended
	h.ended = nil
	h.mu.Unlock()
	for _, f := range ended {
		f(errBriefHub)
	}
}

type briefSession struct{ iot.Session }

func (briefSession) Close() error { return nil }

func (briefSession) DesiredChanges(func(json.RawMessage)) (iot.Subscription, error) {
	return nil, errBriefHub
}

func (briefSession) Methods(func(iot.MethodCall, func(iot.MethodResult))) (iot.Subscription, error) {
	return nil, errBriefHub
}

func (briefSession) Twin(context.Context) (iot.Twin, error) {
	return iot.Twin{Desired: json.RawMessage(`{"interval":10}`), DesiredVersion: 4, Reported: json.RawMessage(`{"firmware":"1.4"}`), ReportedVersion: 2}, nil
}

func (briefSession) Send(_ []iot.Message, done func(error)) {
	done(iot.Errorf(iot.Invalid, "test", iot.Identity{}, "no"))
}

// startGateway runs a gateway whose hub has been there and is away: pump-7 is
// connected, has reported something since, and has two dead letters and a message
// that waits; lamp is not connected. It returns the data directory.
func startGateway(t *testing.T) (dir string) {
	t.Helper()
	key, scope := sas.NewKey(), "ms-azure-iot-edge://edge-1"
	secret := iot.Authentication{Type: iot.AuthSAS, PrimaryKey: key}
	h := &briefHub{regs: []iot.Registration{
		{Identity: iot.DeviceIdentity("edge"), Enabled: true, Edge: true, Scope: scope, Auth: secret},
		{Identity: iot.DeviceIdentity("pump-7"), Enabled: true, ParentScopes: []string{scope}, Auth: secret},
		{Identity: iot.DeviceIdentity("lamp"), ParentScopes: []string{scope}, Auth: secret},
	}}
	store, err := spool.Open("/spool", spool.Options{FS: vfs.NewMem(), BallastBytes: -1, MinFree: -1})
	if err != nil {
		t.Fatal(err)
	}
	db, err := pebble.Open("", &pebble.Options{FS: vfs.NewMem(), Logger: noPebbleLog{}})
	if err != nil {
		t.Fatal(err)
	}
	g, err := gateway.New(gateway.Options{Device: "edge", HubHost: "hub.test", Key: key, Parent: h, Spool: store, State: db, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	// The names of sockets are short, and those of a test's directories need not be.
	if dir, err = os.MkdirTemp("", "gw"); err != nil {
		t.Fatal(err)
	}
	l, err := operate.Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	desk := &operate.Desk{Gateway: g, Spool: store, Began: time.Now()}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { g.Run(ctx) })
	running.Go(func() {
		if err := desk.Serve(ctx, l); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		cancel()
		running.Wait()
		for _, c := range []interface{ Close() error }{store, db} {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
		_ = os.RemoveAll(dir)
	})
	visitGateway(t, g, store, h, key)
	return dir
}

// visitGateway is pump-7 at the gateway, before its hub goes away and after.
func visitGateway(t *testing.T, g *gateway.Gateway, store *spool.Store, h *briefHub, key iot.Secret) {
	t.Helper()
	until := func(what string, ok func() bool) {
		t.Helper()
		for late := time.After(time.Minute); !ok(); {
			select {
			case <-late:
				t.Fatalf("%s: not in time", what)
			case <-time.After(time.Millisecond):
			}
		}
	}
	id := iot.DeviceIdentity("pump-7")
	token, err := sas.Sign(key, sas.Resource{Host: "hub.test", Identity: id}, "", time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	var pump iot.Session
	until("pump-7 is in", func() bool {
		pump, err = g.Connect(t.Context(), iot.Credentials{Identity: id, Token: token}, iot.Client{Protocol: "mqtt", RemoteAddr: "192.0.2.7:4711"})
		return err == nil
	})
	say := func(body string) {
		t.Helper()
		wait := make(chan error, 1)
		m := iot.Message{Body: []byte(body), System: iot.System{{Name: iot.ContentType, Value: "application/json"}, {Name: iot.ContentEncoding, Value: "utf-8"}}}
		pump.Send([]iot.Message{m}, func(err error) { wait <- err })
		if err := <-wait; err != nil {
			t.Fatal(err)
		}
	}
	if _, err := pump.Twin(t.Context()); err != nil {
		t.Fatal(err)
	}
	say(`{"rpm":900}`)
	say(`{"rpm":901}`)
	until("two dead letters", func() bool { return store.DeadStats().Letters == 2 })
	h.leave()
	until("the hub is away", func() bool { return !g.Online() })
	say(`{"rpm":902}`)
	if _, err := pump.PatchReported(t.Context(), json.RawMessage(`{"state":"dry"}`)); err != nil {
		t.Fatal(err)
	}
	sub, err := pump.Methods(func(call iot.MethodCall, done func(iot.MethodResult)) {
		payload, _ := json.Marshal([]any{call.Name, call.Payload}) // a text and JSON
		done(iot.MethodResult{Status: 200, Payload: payload})
	})
	if err != nil {
		t.Fatal(err)
	}
	sub.Grant(1 << 20)
	takeCommands(t, pump)
}

// takeCommands completes what a device is sent, and rejects what it is not to do.
func takeCommands(t *testing.T, device iot.Session) {
	t.Helper()
	got := make(chan iot.Delivery, 10)
	sub, err := device.Commands(func(d iot.Delivery) { got <- d })
	if err != nil {
		t.Fatal(err)
	}
	sub.Grant(10)
	var taking sync.WaitGroup
	taking.Go(func() {
		for d := range got {
			outcome := iot.Complete
			if strings.Contains(string(d.Message.Body), "explode") {
				outcome = iot.Reject
			}
			_ = device.Settle(context.Background(), d.LockToken, outcome) // what comes of it is tested
		}
	})
	t.Cleanup(func() {
		close(got) // the gateway has ended
		taking.Wait()
	})
}

// volatileTimes differ from run to run.
var volatileTimes = []struct {
	text *regexp.Regexp
	name string
}{
	{regexp.MustCompile(`20\d\d-\d\d-\d\d \d\d:\d\d:\d\d \S+`), "TIME"},
	{regexp.MustCompile(`20\d\d-\d\d-\d\dT[0-9:.]+(Z|[+-]\d\d:\d\d)`), "TIME"},
	{regexp.MustCompile(`\b\d+ seconds`), "SECONDS"},
	{regexp.MustCompile(`(on disk\t).*`), "${1}SIZE"},
	{regexp.MustCompile(`/\S*/operate\.sock`), "DATA/operate.sock"},
}

// TestGatewayCommands plays the transcript of the commands for an operator, as
// TestDeviceCommands does.
func TestGatewayCommands(t *testing.T) {
	file := filepath.Join("testdata", "gateway.txt")
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	dir := startGateway(t)
	var text strings.Builder
	for line := range strings.Lines(string(want)) {
		command, ok := strings.CutPrefix(line, "$ sluice ")
		if ok || strings.HasPrefix(line, "#") || line == "\n" {
			text.WriteString(line)
		}
		if ok {
			text.WriteString(runLine(t, words(t, command), "--data", dir))
		}
	}
	got := text.String()
	for _, v := range volatileTimes {
		got = v.text.ReplaceAllString(got, v.name)
	}
	if os.Getenv("SLUICE_UPDATE") == "1" {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("%s (-want +got; SLUICE_UPDATE=1 rewrites it):\n%s", file, diff)
	}
}

func TestAGatewayThatDoesNotRun(t *testing.T) {
	got := runLine(t, []string{"gateway", "status"}, "--data", "nowhere")
	for _, want := range []string{"nowhere/operate.sock", "no gateway runs with the data directory nowhere", "exit 4"} {
		if !strings.Contains(got, want) {
			t.Errorf("%s\nwant %q in it", got, want)
		}
	}
}
