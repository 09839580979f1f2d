package operate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"sluice/internal/await"
	"sluice/internal/gateway"
	"sluice/internal/gateway/gatewaytest"
	"sluice/internal/sas"
	"sluice/internal/sockettest"
	"sluice/internal/spool"
	"sluice/iot"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A site is a gateway with its socket, and the device pump, which is connected.
type site struct {
	t      testing.TB
	hub    *gatewaytest.Parent
	gw     *gatewaytest.Gateway
	device iot.Session
	client *Client
	socket string
}

func newSite(t testing.TB) *site {
	t.Helper()
	key := sas.NewKey()
	secret, scope := iot.Authentication{Type: iot.AuthSAS, PrimaryKey: key}, "ms-azure-iot-edge://edge-1"
	s := &site{t: t, hub: gatewaytest.NewParent(
		iot.Registration{Identity: iot.DeviceIdentity("edge"), Enabled: true, Edge: true, Scope: scope, Auth: secret},
		iot.Registration{Identity: iot.DeviceIdentity("pump"), Enabled: true, ParentScopes: []string{scope}, Auth: secret},
	)}
	s.hub.Twin.Desired, s.hub.Twin.DesiredVersion = json.RawMessage(`{"interval":10}`), 4
	s.gw, _ = gatewaytest.Start(t, vfs.NewMem(), gateway.Options{Device: "edge", HubHost: "hub.test", Key: key, Parent: s.hub})
	short := sockettest.Dir(t)
	s.socket = Path(short)
	l, err := Listen(short)
	if err != nil {
		t.Fatal(err)
	}
	desk := &Desk{Gateway: s.gw.Gateway, Spool: s.gw.Spool, Began: time.Now()}
	stop := await.Run(func(ctx context.Context) {
		if err := desk.Serve(ctx, l); err != nil {
			t.Error(err)
		}
	})
	s.client = Dial(short)
	t.Cleanup(func() {
		s.client.Close()
		stop()
	})
	token, err := sas.Sign(key, sas.Resource{Host: "hub.test", Identity: iot.DeviceIdentity("pump")}, "", time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	await.True(s.t, "the device is in", func() bool {
		s.device, err = s.gw.Connect(t.Context(), iot.Credentials{Identity: iot.DeviceIdentity("pump"), Token: token}, iot.Client{Protocol: "mqtt", RemoteAddr: "192.0.2.1:4000"})
		return err == nil
	})
	return s
}

func (s *site) goAway() {
	s.hub.Leave()
	await.True(s.t, "offline", func() bool { return !s.gw.Online() })
}

func (s *site) send(body string) {
	s.t.Helper()
	wait := make(chan error, 1)
	s.device.Send([]iot.Message{{Body: []byte(body)}}, func(err error) { wait <- err })
	if err := <-wait; err != nil {
		s.t.Fatal(err)
	}
}

func TestASiteIsOperatedWithoutItsHub(t *testing.T) {
	s := newSite(t)
	ctx, pump := t.Context(), iot.DeviceIdentity("pump")
	if twin, err := s.client.Twin(ctx, pump); err != nil || twin.Source != "hub" {
		t.Fatalf("%+v, %v", twin, err)
	}
	s.goAway()
	s.send("hello")
	status, err := s.client.Status(ctx)
	if err != nil || status.Online || status.Device != "edge" || status.Clients != 1 || status.Waiting != 1 || status.Began.IsZero() {
		t.Errorf("status %+v, %v", status, err)
	}
	members, err := s.client.Members(ctx)
	if err != nil || len(members) != 2 || members[1].Seat == nil || members[1].Seat.Remote != "192.0.2.1:4000" || members[1].Waiting != 1 {
		t.Errorf("members %+v, %v", members, err)
	}
	twin, err := s.client.Twin(ctx, pump)
	if err != nil || twin.Source != "cache" || string(twin.Desired) != `{"interval":10}` {
		t.Errorf("twin %+v, %v", twin, err)
	}
	queues, err := s.client.Queues(ctx)
	if err != nil || len(queues) != 1 || queues[0].Endpoint != "$upstream" || queues[0].Messages != 1 {
		t.Errorf("queues %+v, %v", queues, err)
	}
	if n, err := s.client.Purge(ctx, gateway.UpstreamQueue); err != nil || n != 1 {
		t.Errorf("purged %d, %v", n, err)
	}
}

func TestMethodsAreCalledThroughTheSocket(t *testing.T) {
	s := newSite(t)
	s.goAway()
	pump := iot.DeviceIdentity("pump")
	call := iot.MethodCall{Name: "echo", Payload: json.RawMessage(`{"a":1}`), ResponseTimeout: 5 * time.Second}
	if _, err := s.client.Invoke(t.Context(), pump, call); iot.KindOf(err) != iot.NotFound {
		t.Errorf("nobody answers: %v", err)
	}
	sub, err := s.device.Methods(func(c iot.MethodCall, reply func(iot.MethodResult)) {
		reply(iot.MethodResult{Status: 201, Payload: c.Payload})
	})
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	r, err := s.client.Invoke(t.Context(), pump, call)
	if err != nil || r.Status != 201 || string(r.Payload) != `{"a":1}` {
		t.Errorf("%+v, %v", r, err)
	}
	call.ResponseTimeout = time.Hour
	if _, err := s.client.Invoke(t.Context(), pump, call); iot.KindOf(err) != iot.Invalid {
		t.Errorf("an hour to answer: %v", err)
	}
}

func TestEdgeHubW9_DeadLettersAreReadSentAgainAndDropped(t *testing.T) {
	s := newSite(t) // whose hub takes no message
	ctx := t.Context()
	for i := range 5 {
		s.send(fmt.Sprint("message ", i))
	}
	await.True(s.t, "dead letters", func() bool { return s.gw.Spool.DeadStats().Letters == 5 })
	list, err := s.client.DeadLetters(ctx, 0, 2)
	if err != nil || len(list) != 2 {
		t.Fatalf("%+v, %v", list, err)
	}
	first := list[0]
	if first.Sender() != iot.DeviceIdentity("pump") || string(first.Message.Body) != `"message 0"` || first.Queue != gateway.UpstreamQueue || first.Reason == "" || first.Died.IsZero() {
		t.Errorf("%+v", first)
	}
	rest, err := s.client.DeadLetters(ctx, list[1].Seq, 100)
	if err != nil || len(rest) != 3 {
		t.Fatalf("%+v, %v", rest, err)
	}
	s.goAway()
	if n, err := s.client.Retry(ctx, first.Seq, first.Seq, list[1].Seq); err == nil || n != 1 {
		t.Errorf("retried %d, %v; want 1, and that the second is not there", n, err)
	}
	if n := s.gw.Spool.Queue(gateway.UpstreamQueue).Stats().Records; n != 1 {
		t.Errorf("%d messages wait", n)
	}
	if _, err := s.client.DeadLetter(ctx, first.Seq); iot.KindOf(err) != iot.NotFound {
		t.Errorf("a dead letter that was sent again: %v", err)
	}
	if d, err := s.client.DeadLetter(ctx, rest[0].Seq); err != nil || string(d.Message.Body) != `"message 2"` {
		t.Errorf("%+v, %v", d, err)
	}
	if err := s.client.Drop(ctx, rest[0].Seq, 12345); iot.KindOf(err) != iot.NotFound || s.gw.Spool.DeadStats().Letters != 4 {
		t.Errorf("dropped one that is not there: %v", err)
	}
	if err := s.client.Drop(ctx, rest[0].Seq, rest[1].Seq); err != nil || s.gw.Spool.DeadStats().Letters != 2 {
		t.Errorf("%v, %d left", err, s.gw.Spool.DeadStats().Letters)
	}
}

func TestLettersThatAreNotReadableAreShownAsTheyAre(t *testing.T) {
	d := letterOf(spool.DeadLetter{Seq: 1, Data: []byte("nonsense")})
	if d.Message != nil || string(d.Raw) != "nonsense" || !d.Sender().IsZero() {
		t.Errorf("%+v", d)
	}
}

func TestS14_TheSocketIsTheOwnersAlone(t *testing.T) {
	s := newSite(t)
	info, err := os.Stat(s.socket)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestASocketThatWasLeftBehindIsReplaced(t *testing.T) {
	dir := sockettest.Dir(t)
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: Path(dir), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	left.SetUnlinkOnClose(false)
	_ = left.Close()
	l, err := Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	if _, err := Listen(filepath.Join(dir, strings.Repeat("x", 200))); err == nil || !strings.Contains(err.Error(), "shorter data_dir") {
		t.Errorf("a name that is too long: %v", err)
	}
	var op *net.OpError
	if _, err := Dial(dir).Status(t.Context()); !errors.As(err, &op) {
		t.Errorf("nobody there: %v", err)
	}
}

func TestH7_WrongRequestsAreRefused(t *testing.T) {
	s := newSite(t)
	long := `{"letters":[` + strings.Repeat("1,", maxBody/2) + `1]}`
	for _, tt := range []struct {
		method, path, body string
		want               int
	}{
		{"GET", "/v1/twin", "", 400},
		{"GET", "/v1/twin?id=a/b/c", "", 400},
		{"GET", "/v1/twin?id=stranger", "", 404},
		{"POST", "/v1/method?id=pump", "", 400},
		{"POST", "/v1/method?id=pump", "[]", 400},
		{"POST", "/v1/method?id=pump", `{"nam":"x"}`, 400},
		{"POST", "/v1/method?id=pump", `{"name":"x","responseTimeout":1e300}`, 400},
		{"POST", "/v1/method?id=", `{"name":"x"}`, 400},
		{"POST", "/v1/purge", "", 404},
		{"GET", "/v1/purge?queue=iothub", "", 405},
		{"GET", "/v1/dead?after=-1", "", 400},
		{"GET", "/v1/dead?max=0", "", 400},
		{"GET", "/v1/dead/0", "", 404},
		{"GET", "/v1/dead/x", "", 400},
		{"POST", "/v1/dead/drop", `{"letters":[-1]}`, 400},
		{"POST", "/v1/dead/drop", long, 413},
		{"GET", "/v2", "", 404},
	} {
		r, err := http.NewRequestWithContext(t.Context(), tt.method, "http://gateway"+tt.path, strings.NewReader(tt.body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := s.client.http.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != tt.want {
			t.Errorf("%s %s: %s %s, want %d", tt.method, tt.path, resp.Status, text, tt.want)
		}
	}
}

// Whatever is asked, the answer is JSON, and no fault of ours.
func FuzzRequests(f *testing.F) {
	s := newSite(f)
	s.goAway()
	h := (&Desk{Gateway: s.gw.Gateway, Spool: s.gw.Spool}).Handler()
	for _, seed := range [][3]string{
		{"status", "", ""}, {"members", "", ""}, {"queues", "", ""}, {"twin", "id=pump", ""}, {"dead", "after=1&max=2", ""}, {"dead/7", "", ""},
		{"method", "id=pump", `{"name":"reboot","payload":{"a":1},"responseTimeout":5}`},
		{"purge", "queue=iothub", ""}, {"dead/retry", "", `{"letters":[1,2]}`}, {"dead/drop", "", `{"letters":[1]}`},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	f.Fuzz(func(t *testing.T, path, query, body string) {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			r := httptest.NewRequest(method, "/", strings.NewReader(body))
			r.URL = &url.URL{Path: "/v1/" + path, RawQuery: query}
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r.WithContext(ctx))
			cancel()
			if w.Code == http.StatusInternalServerError || w.Header().Get("Content-Type") == "application/json" && !json.Valid(w.Body.Bytes()) {
				t.Errorf("%s %s?%s %q: %d %s", method, path, query, body, w.Code, w.Body)
			}
		}
	})
}
