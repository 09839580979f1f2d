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

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"sluice/internal/await"
	"sluice/internal/gateway"
	"sluice/internal/gateway/gatewaytest"
	"sluice/internal/operate"
	"sluice/internal/sas"
	"sluice/internal/sockettest"
	"sluice/iot"
)

// startGateway runs a gateway whose hub has been there and is away: pump-7 is
// connected, has reported something since, and has two dead letters and a message
// that waits; lamp is not connected. It returns the data directory.
func startGateway(t *testing.T) (dir string) {
	t.Helper()
	key, scope := sas.NewKey(), "ms-azure-iot-edge://edge-1"
	secret := iot.Authentication{Type: iot.AuthSAS, PrimaryKey: key}
	h := gatewaytest.NewParent(
		iot.Registration{Identity: iot.DeviceIdentity("edge"), Enabled: true, Edge: true, Scope: scope, Auth: secret},
		iot.Registration{Identity: iot.DeviceIdentity("pump-7"), Enabled: true, ParentScopes: []string{scope}, Auth: secret},
		iot.Registration{Identity: iot.DeviceIdentity("lamp"), ParentScopes: []string{scope}, Auth: secret},
	)
	h.Twin = iot.Twin{Desired: json.RawMessage(`{"interval":10}`), DesiredVersion: 4, Reported: json.RawMessage(`{"firmware":"1.4"}`), ReportedVersion: 2}
	g, _ := gatewaytest.Start(t, vfs.NewMem(), gateway.Options{Device: "edge", HubHost: "hub.test", Key: key, Parent: h})
	dir = sockettest.Dir(t)
	l, err := operate.Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	desk := &operate.Desk{Gateway: g.Gateway, Spool: g.Spool, Began: time.Now()}
	stop := await.Run(func(ctx context.Context) {
		if err := desk.Serve(ctx, l); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	visitGateway(t, g, h, key)
	return dir
}

// visitGateway is pump-7 at the gateway, before its hub goes away and after.
func visitGateway(t *testing.T, g *gatewaytest.Gateway, h *gatewaytest.Parent, key iot.Secret) {
	t.Helper()
	id := iot.DeviceIdentity("pump-7")
	token, err := sas.Sign(key, sas.Resource{Host: "hub.test", Identity: id}, "", time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	var pump iot.Session
	await.True(t, "pump-7 is in", func() bool {
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
	await.True(t, "two dead letters", func() bool { return g.Spool.DeadStats().Letters == 2 })
	h.Leave()
	await.True(t, "the hub is away", func() bool { return !g.Online() })
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
