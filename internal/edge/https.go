package edge

import (
	"context"
	"net"

	"sluice/internal/amqphead"
	"sluice/internal/mqtthead"
	"sluice/internal/scopeapi"
	"sluice/internal/tlsx"
	"sluice/internal/webhead"
	"sluice/mqtt"
)

// bindHTTPS binds the port of HTTPS. The usual one needs a privilege that a gateway
// without such devices need not have: it is missed only where it was configured.
func (e *Edge) bindHTTPS() error {
	l, err := e.bindPort("HTTPS", e.cfg.Listen.HTTPS, "https_port")
	switch {
	case err != nil && e.cfg.Listen.HTTPSWished:
		return err
	case err != nil:
		e.log.Warn("no HTTPS and no WebSockets for devices", "err", err)
		return nil
	}
	e.webFrom = l
	e.web = webhead.New(e.hub(), webhead.Options{
		MQTT: &mqtt.Server{
			Backend: mqtthead.New(e.hub(), mqtthead.Options{Protocol: "mqtt-ws", Sessions: e.sessions, Log: e.log}),
			Limits:  mqtt.Limits{ShutdownGrace: drainGrace},
			Log:     e.log,
		},
		AMQP:  amqphead.New(e.hub(), amqphead.Options{Protocol: "amqp-ws", ContainerID: e.cfg.HostName, Log: e.log}).Server(),
		Visit: e.visit(),
		Files: e.gateway,
		Log:   e.log,
	})
	return nil
}

// HTTPSAddr is where HTTPS and WebSockets are served, or nil if they are not.
func (e *Edge) HTTPSAddr() net.Addr {
	if e.webFrom == nil {
		return nil
	}
	return e.webFrom.Addr()
}

// serveHTTPS serves until ctx ends or the listener fails, and ends WebSockets at the
// same time as requests.
func (e *Edge) serveHTTPS(ctx context.Context) error {
	if e.web == nil {
		<-ctx.Done()
		return nil
	}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() { defer close(ended); _ = e.web.Close() }) // never fails
	handler := scopeapi.Handler(e.gateway, e.relay(e.web), e.log)                    // for gateways below
	err := webhead.Serve(ctx, e.webFrom, handler, webhead.ServeOptions{
		TLS: tlsx.ServerConfig(e.cert.Certificate), Grace: drainGrace, Log: e.log,
	})
	if stop() {
		_ = e.web.Close() // never fails
		return err
	}
	<-ended
	return err
}
