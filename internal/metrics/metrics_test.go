package metrics

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"sluice/internal/await"
	"sluice/internal/dbtest"
	"sluice/internal/gateway"
	"sluice/internal/gateway/gatewaytest"
	"sluice/internal/gateway/meter"
	"sluice/internal/sas"
	"sluice/internal/spool"
	"sluice/internal/tlsx"
	"sluice/iot"
	"sluice/mqtt"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// source is a gateway at rest, with key as its secret.
func source(t testing.TB, key iot.Secret, maxBytes int64) Source {
	t.Helper()
	store, err := spool.Open("/spool", spool.Options{FS: vfs.NewMem(), BallastBytes: -1, MinFree: -1, MaxBytes: maxBytes})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	db, away := dbtest.Open(t, vfs.NewMem()), gatewaytest.NewParent()
	away.Leave()
	g, err := gateway.New(gateway.Options{
		Device: "edge", HubHost: "hub.test", Key: key, Parent: away, Spool: store, State: db, Dir: t.TempDir(), MaxBytes: maxBytes,
	})
	if err != nil {
		t.Fatal(err)
	}
	return Source{HubHost: "hub.test", Device: "edge", Gateway: g, Spool: store}
}

func appendTo(t testing.TB, s *spool.Store, entries ...spool.Entry) {
	t.Helper()
	wait := make(chan error, 1)
	s.Append(entries, func(err error) { wait <- err })
	if err := <-wait; err != nil {
		t.Fatal(err)
	}
}

func get(t testing.TB, h http.Handler, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Code, w.Body.String()
}

// has looks for a line with all of these parts.
func has(text string, parts ...string) bool {
	for line := range strings.Lines(text) {
		found := true
		for _, part := range parts {
			found = found && strings.Contains(line, part)
		}
		if found {
			return true
		}
	}
	return false
}

func TestDashboardsOfEdgeHubFindTheirMetrics(t *testing.T) {
	src := source(t, sas.NewKey(), 0)
	dev, mod := iot.DeviceIdentity("dev"), iot.ModuleIdentity("edge", "filter")
	add := func(id iot.Identity, s meter.Series, n int) { src.Gateway.Meters().Of(id).Add(s, n) }
	see := func(id iot.Identity, s meter.Series) { src.Gateway.Meters().Of(id).Observe(s, 0.25) }
	add(mod, meter.Series{Quantity: meter.MessagesReceived, Output: "out"}, 3)
	add(dev, meter.Series{Quantity: meter.MessagesSent, Peer: "edge/filter", Input: "in", Priority: 5}, 2)
	add(dev, meter.Series{Quantity: meter.MessagesDropped, Reason: "no_route"}, 1)
	add(dev, meter.Series{Quantity: meter.MessagesUnacked, Reason: "storage_failure"}, 1)
	add(dev, meter.Series{Quantity: meter.TwinsRead, Peer: "edge_hub"}, 1)
	add(dev, meter.Series{Quantity: meter.ReportsTaken, Peer: "upstream"}, 1)
	add(dev, meter.Series{Quantity: meter.MethodsCalled, Peer: "edge/filter"}, 1)
	add(dev, meter.Series{Quantity: meter.Connects}, 1)
	add(dev, meter.Series{Quantity: meter.Disconnects}, 1)
	add(dev, meter.Series{Quantity: meter.ConnectsFailed, Reason: "not_authenticated"}, 1)
	add(dev, meter.Series{Quantity: meter.Retries, Reason: "SendMessageToCloud"}, 1)
	add(mod, meter.Series{Quantity: meter.OfflineCount}, 1)
	for _, q := range []meter.Quantity{meter.MessageSize, meter.TwinReadDuration, meter.ReportDuration, meter.MethodDuration, meter.OfflineDuration} {
		see(dev, meter.Series{Quantity: q})
	}
	see(dev, meter.Series{Quantity: meter.SendDuration, Peer: "upstream"})
	see(dev, meter.Series{Quantity: meter.ProcessDuration, Peer: "upstream", Priority: 5})
	appendTo(t, src.Spool, spool.Entry{Queue: gateway.UpstreamQueue, Lane: "dev", Priority: 5, Data: []byte("x")})
	code, text := get(t, Handler(src), "/metrics")
	if code != http.StatusOK {
		t.Fatalf("%d: %s", code, text)
	}
	for _, line := range [][]string{
		{"edgehub_messages_received_total{", `edge_device="edge"`, `iothub="hub.test"`, `instance_number="`, `ms_telemetry="True"`, `id="edge/filter"`, `route_output="out"`, "} 3"},
		{"edgehub_messages_sent_total{", `from="dev"`, `from_route_output=""`, `to="edge/filter"`, `to_route_input="in"`, `priority="5"`, "} 2"},
		{"edgehub_messages_dropped_total{", `from="dev"`, `from_route_output=""`, `reason="no_route"`},
		{"edgehub_messages_dropped_total{", `reason="ttl_expiry"`},
		{"edgehub_messages_unack_total{", `reason="storage_failure"`, `from="dev"`, `from_route_output=""`},
		{"edgehub_message_size_bytes{", `id="dev"`, `quantile="0.99"`},
		{"edgehub_message_send_duration_seconds{", `from="dev"`, `to="upstream"`, `from_route_output=""`, `to_route_input=""`, `quantile="0.5"`},
		{"edgehub_message_process_duration_seconds_sum{", `from="dev"`, `to="upstream"`, `priority="5"`, "} 0.25"},
		{"edgehub_queue_length{", `endpoint="iothub"`, `priority="5"`, "} 1"},
		{"edgehub_gettwin_total{", `source="edge_hub"`, `id="dev"`},
		{"edgehub_gettwin_duration_seconds_count{"},
		{"edgehub_reported_properties_total{", `target="upstream"`, `id="dev"`},
		{"edgehub_reported_properties_update_duration_seconds_count{"},
		{"edgehub_direct_methods_total{", `from="edge/filter"`, `to="dev"`},
		{"edgehub_direct_method_duration_seconds_count{"},
		{"edgehub_offline_count_total{", `id="edge/filter"`},
		{"edgehub_offline_duration_seconds_count{"},
		{"edgehub_operation_retry_total{", `id="dev"`, `operation="SendMessageToCloud"`},
		{"edgehub_client_connect_success_total{", `id="dev"`},
		{"edgehub_client_connect_failed_total{", `id="dev"`, `reason="not_authenticated"`},
		{"edgehub_client_disconnect_total{", `id="dev"`},
		{"edgehub_connected_clients{", "} 0"},
		{"process_resident_memory_bytes"},
		{"go_goroutines"},
	} {
		if !has(text, line...) {
			t.Errorf("no line with %q", line)
		}
	}
}

func TestQueuesDeadLettersAndListeners(t *testing.T) {
	src := source(t, sas.NewKey(), 1<<20)
	conns, engine := new(tlsx.Stats), new(mqtt.Stats)
	conns.Open.Store(7)
	engine.PublishIn.Store(11)
	src.Listeners = []Listener{{Protocol: "mqtt", Conns: conns, MQTT: engine}}
	src.Expires = func() time.Time { return time.Unix(1_900_000_000, 0) }
	src.TurnedAway = new(atomic.Uint64)
	h := Handler(src)
	if _, text := get(t, h, "/metrics"); !has(text, "edgehub_queue_length{", `endpoint="iothub"`, "} 0") {
		t.Error("an empty queue has no length")
	}
	appendTo(t, src.Spool,
		spool.Entry{Queue: "modules/filter/in", Priority: 1, Data: make([]byte, 36)},
		spool.Entry{Queue: "modules/filter/in", Priority: 1, Data: make([]byte, 36)})
	lease, err := src.Spool.Queue("modules/filter/in").Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	recs, err := lease.Read(1, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	lease.Dead(recs[0], "module rejected it")
	lease.Release(0)
	await.True(t, "there is a dead letter", func() bool { return src.Spool.DeadStats().Letters > 0 })
	_, text := get(t, Handler(src), "/metrics")
	for _, line := range [][]string{
		{"sluice_queue_bytes{", `endpoint="modules/filter/in"`, `priority="1"`, "} 100"},
		{"sluice_queue_oldest_message_age_seconds{", `endpoint="modules/filter/in"`},
		{"sluice_dead_letters_total{", `endpoint="modules/filter/in"`, `reason="module rejected it"`, "} 1"},
		{"sluice_dead_letters{", "} 1"},
		{"sluice_spool_limit_bytes{", "} 1.048576e+06"},
		{"sluice_spool_refusing{", "} 0"},
		{"sluice_connections{", `protocol="mqtt"`, "} 7"},
		{"sluice_mqtt_publications_received_total{", `protocol="mqtt"`, "} 11"},
		{"sluice_server_certificate_expires_timestamp_seconds{", "} 1.9e+09"},
		{"sluice_uplink_up{", "} 0"},
	} {
		if !has(text, line...) {
			t.Errorf("no line with %q", line)
		}
	}
}

func TestS12_MetricsHoldNoSecret(t *testing.T) {
	key := sas.NewKey()
	src := source(t, key, 0)
	for _, path := range []string{"/metrics", "/health"} {
		if _, text := get(t, Handler(src), path); strings.Contains(text, key.Reveal()) {
			t.Errorf("%s shows the key", path)
		}
	}
}

// W20: whoever watches the gateway learns whether it takes messages, and that it
// does while the hub is away.
func TestEdgeHubW20_Health(t *testing.T) {
	src := source(t, sas.NewKey(), 200)
	h := Handler(src)
	ask := func() (code int, got Health) {
		code, text := get(t, h, "/health")
		if err := json.Unmarshal([]byte(text), &got); err != nil {
			t.Fatal(err)
		}
		return code, got
	}
	if code, got := ask(); code != http.StatusOK || !got.Ready || got.Uplink != "down" {
		t.Errorf("without a hub: %d %+v", code, got)
	}
	appendTo(t, src.Spool, spool.Entry{Queue: gateway.UpstreamQueue, Lane: "dev", Data: make([]byte, 136)})
	if code, got := ask(); code != http.StatusServiceUnavailable || got.Ready || got.Reason == "" || got.Spool.Waiting != 1 {
		t.Errorf("full: %d %+v", code, got)
	}
	if _, err := src.Spool.Queue(gateway.UpstreamQueue).Purge(); err != nil {
		t.Fatal(err)
	}
	if code, got := ask(); code != http.StatusOK || !got.Ready {
		t.Errorf("after a purge: %d %+v", code, got)
	}
	if code, _ := get(t, h, "/healthz"); code != http.StatusOK {
		t.Errorf("/healthz: %d", code)
	}
}

func TestServeEndsWithItsContext(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := Serve(ctx, l, Handler(source(t, sas.NewKey(), 0))); err != nil {
			t.Error(err)
		}
	})
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	resp, err := client.Get("http://" + l.Addr().String() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("%v, %v", resp.Status, err)
	}
	_ = resp.Body.Close()
	cancel()
	wg.Wait()
}

// BenchmarkScrape is one look at a gateway of a thousand devices, of which each has
// sent something.
func BenchmarkScrape(b *testing.B) {
	src := source(b, sas.NewKey(), 0)
	for i := range meter.DefaultMax {
		m := src.Gateway.Meters().Of(iot.DeviceIdentity("device-" + string(rune('a'+i%26)) + time.Duration(i).String()))
		m.Add(meter.Series{Quantity: meter.MessagesReceived}, 1)
		m.Add(meter.Series{Quantity: meter.MessagesSent, Peer: "upstream"}, 1)
		m.Observe(meter.Series{Quantity: meter.MessageSize}, 200, 300, 400)
		m.Observe(meter.Series{Quantity: meter.SendDuration, Peer: "upstream"}, 0.1, 0.2, 0.3)
		m.Observe(meter.Series{Quantity: meter.ProcessDuration, Peer: "upstream"}, 0.1, 0.2, 0.3)
	}
	h := Handler(src)
	b.ReportAllocs()
	for b.Loop() {
		if code, _ := get(b, h, "/metrics"); code != http.StatusOK {
			b.Fatal(code)
		}
	}
}

func TestAScrapeIsWholeWhileQueuesChange(t *testing.T) {
	src := source(t, sas.NewKey(), 0)
	h := Handler(src)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			appendTo(t, src.Spool, spool.Entry{Queue: gateway.UpstreamQueue, Lane: "dev", Priority: 2_000_000_000, Data: []byte("x")})
			if _, err := src.Spool.Queue(gateway.UpstreamQueue).Purge(); err != nil {
				t.Error(err)
			}
			src.Gateway.Meters().Of(iot.DeviceIdentity("dev")).Observe(meter.Series{Quantity: meter.MessageSize}, 1)
		}
	})
	for range 100 {
		if code, text := get(t, h, "/metrics"); code != http.StatusOK {
			t.Errorf("%d: %s", code, text)
			break
		}
	}
	close(stop)
	wg.Wait()
}
