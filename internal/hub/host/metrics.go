package host

import (
	"context"
	"fmt"
	"net"

	"sluice/internal/metrics"
)

func (h *Host) listenMetrics() (err error) {
	if h.cfg.Metrics == "" {
		return nil
	}
	h.metrics, err = new(net.ListenConfig).Listen(context.Background(), "tcp", h.cfg.Metrics)
	if err != nil {
		return fmt.Errorf("hub: cannot listen for metrics: %w; choose another address with --metrics", err)
	}
	return nil
}

// MetricsAddr is where figures for Prometheus are served, or nil if they are not.
func (h *Host) MetricsAddr() net.Addr {
	if h.metrics == nil {
		return nil
	}
	return h.metrics.Addr()
}

func (h *Host) serveMetrics(ctx context.Context) error {
	return metrics.Serve(ctx, h.metrics, metrics.HubHandler(metrics.HubSource{
		HostName:  h.cfg.HostName,
		Connected: h.hub.Connected,
		Events:    h.store.events,
		Listeners: []metrics.Listener{{Protocol: "mqtt", MQTT: &h.mqtt.Stats}},
	}))
}
