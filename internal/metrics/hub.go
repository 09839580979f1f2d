package metrics

import (
	"encoding/json"
	"net/http"
	"sluice/internal/hub/storage"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// A HubSource is a local hub. All fields but Listeners are required.
type HubSource struct {
	HostName  string
	Connected func() int // devices and modules that are connected
	Events    storage.Events
	Listeners []Listener
}

// HubHandler answers for a local hub.
func HubHandler(src HubSource) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", figures(hubCollector{src}))
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		_ = json.NewEncoder(w).Encode(map[string]any{"ready": true, "clients": src.Connected()}) // who asked may have left
	})
	return mux
}

type hubCollector struct{ src HubSource }

// Describe says nothing, as a gateway's.
func (hubCollector) Describe(chan<- *prometheus.Desc) {}

// Collect implements [prometheus.Collector].
func (c hubCollector) Collect(out chan<- prometheus.Metric) {
	s := sender{prometheus.Labels{"iothub": c.src.HostName}, out}
	s.gauge("hub_connected_clients", "Devices and modules that are connected.", float64(c.src.Connected()))
	for p := range c.src.Events.Partitions() {
		stats, err := c.src.Events.Stats(p)
		if err != nil {
			continue // it is being closed
		}
		partition := strconv.Itoa(p)
		s.counter("hub_events_total", "Events ever.", float64(stats.Next), "partition", partition)
		s.gauge("hub_events_kept", "Events that are kept.", float64(stats.Next-stats.First), "partition", partition)
		s.gauge("hub_events_kept_bytes", "Their size.", float64(stats.Bytes), "partition", partition)
		if !stats.LastTime.IsZero() {
			s.gauge("hub_last_event_timestamp_seconds", "When the last event came, in Unix time.", float64(stats.LastTime.UnixMilli())/1000, "partition", partition)
		}
	}
	s.listeners(c.src.Listeners)
}
