package host

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/iot"
)

func TestAHubShowsItsFigures(t *testing.T) {
	cfg := config(filepath.Join(t.TempDir(), "hub"))
	cfg.Metrics = "127.0.0.1:0"
	h, _ := run(t, cfg)
	wait := make(chan error, 1)
	h.Events().Append(iot.DeviceIdentity("pump"), []iot.Message{{Body: []byte("x")}}, func(err error) { wait <- err })
	if err := <-wait; err != nil {
		t.Fatal(err)
	}
	get := func(path string) string {
		c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
		resp, err := c.Get(fmt.Sprintf("http://%s%s", h.MetricsAddr(), path))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s, %v", path, resp.Status, err)
		}
		return string(text)
	}
	text := get("/metrics")
	for _, want := range []string{
		"sluice_hub_connected_clients{", "sluice_hub_events_total{", `partition="3"} `, "} 1\n",
		"sluice_mqtt_publications_received_total{", "process_open_fds",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if got := get("/health"); !strings.Contains(got, `"ready":true`) {
		t.Error(got)
	}
}

func TestAnAddressOfMetricsThatIsTakenIsAnError(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	cfg := config(filepath.Join(t.TempDir(), "hub"))
	cfg.Metrics = taken.Addr().String()
	if _, err := Open(cfg); err == nil || !strings.Contains(err.Error(), "--metrics") {
		t.Errorf("%v: does not say what to change", err)
	}
}
