package edge

import (
	"context"
	"net"
	"time"

	"sluice/internal/metrics"
)

// bindMetrics binds the address of metrics and health. The usual one may be taken, by
// another gateway on the machine: it is missed only where it was configured.
func (e *Edge) bindMetrics() error {
	cfg := e.cfg.Metrics
	if cfg.Address == "" {
		return nil
	}
	l, err := listenAt("metrics", cfg.Address, "address under [sluice.metrics]")
	switch {
	case err != nil && cfg.Wished:
		return err
	case err != nil:
		e.log.Warn("no metrics", "err", err)
		return nil
	}
	e.metrics = l
	e.undo = append(e.undo, func() error { _ = l.Close(); return nil }) // Run may have closed it
	return nil
}

// MetricsAddr is where metrics and health are served, or nil if they are not.
func (e *Edge) MetricsAddr() net.Addr {
	if e.metrics == nil {
		return nil
	}
	return e.metrics.Addr()
}

// source is what metrics are made of.
func (e *Edge) source() metrics.Source {
	src := metrics.Source{
		HubHost: e.cfg.HubHostName, Device: e.cfg.Device.Device,
		Gateway: e.gateway, Spool: e.spool,
		Expires: func() time.Time { return e.cert.Get().Leaf.NotAfter },
		Listeners: []metrics.Listener{
			{Protocol: "mqtt", Conns: &e.listener.Stats, MQTT: &e.mqtt.Stats},
			{Protocol: "amqp", Conns: &e.amqpFrom.Stats},
		},
	}
	if e.webFrom != nil {
		src.Listeners = append(src.Listeners, metrics.Listener{Protocol: "https", Conns: &e.webFrom.Stats})
	}
	if e.addresses != nil {
		src.TurnedAway = &e.addresses.Refused
	}
	return src
}

// serveMetrics answers until ctx ends.
func (e *Edge) serveMetrics(ctx context.Context) {
	if e.metrics == nil {
		return
	}
	if err := metrics.Serve(ctx, e.metrics, metrics.Handler(e.source())); err != nil {
		e.log.Error("metrics are not served any more", "err", err)
	}
}
