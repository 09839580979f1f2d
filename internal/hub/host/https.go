package host

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"sluice/internal/amqphead"
	"sluice/internal/auth"
	"sluice/internal/hub/events"
	"sluice/internal/hub/rest"
	"sluice/internal/mqtthead"
	"sluice/internal/tlsx"
	"sluice/internal/webhead"
	"sluice/mqtt"
)

// openHTTPS makes what port 443 serves: devices, and WebSockets, at the paths that are
// theirs, and the service API.
func (h *Host) openHTTPS(names []string, roots func() *x509.CertPool, subscriptions mqtthead.Sessions) {
	h.web = webhead.New(h.hub, webhead.Options{
		MQTT: &mqtt.Server{
			Backend: mqtthead.New(h.hub, mqtthead.Options{Protocol: "mqtt-ws", Sessions: subscriptions, Log: h.cfg.Log}),
			Log:     h.cfg.Log,
		},
		AMQP: amqphead.New(h.hub, amqphead.Options{
			Protocol: "amqp-ws", ContainerID: h.cfg.HostName, Service: h.apps, Log: h.cfg.Log,
		}).Server(),
		Visit: h.hub.Visit,
		Files: h.hub,
		// A hub knows at once whether it has a command. A device that asks again while it
		// gives one back is not to get the same one in that breath, ten times over.
		Patience: time.Nanosecond,
		Log:      h.cfg.Log,
	})
	h.https = h.api(names, roots)
}

// share gives each request to whom its path belongs. Those of the service API end with
// ctx, for a stream of events has no end of its own.
func (h *Host) share(ctx context.Context) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = eventHubsPath(r)
		if h.web.Serves(r) {
			h.web.ServeHTTP(w, r)
			return
		}
		life, end := context.WithCancel(r.Context())
		defer end()
		defer context.AfterFunc(ctx, end)()
		h.https.ServeHTTP(w, r.WithContext(life))
	})
}

// eventHubsPath makes IoT Hub's path of that at which Event Hubs' clients look for a
// WebSocket.
func eventHubsPath(r *http.Request) *http.Request {
	if r.URL.Path != "/$servicebus/websocket" {
		return r
	}
	r = r.WithContext(r.Context()) // a copy
	r.URL = &url.URL{Path: "/$iothub/websocket", RawQuery: r.URL.RawQuery}
	return r
}

func (h *Host) api(names []string, roots func() *x509.CertPool) http.Handler {
	return rest.New(rest.Options{
		HostName: h.cfg.HostName,
		Registry: h.store.registry,
		Auth: &auth.Authenticator{
			Directory: h.store.registry, Hosts: names, Roots: roots, Now: h.cfg.Now,
		},
		Hub:       h.hub,
		Transfers: h.store.transfer,
		Throttle:  h.throttle,
		Events:    events.New(h.store.events),
		Log:       h.cfg.Log,
		Now:       h.cfg.Now,
	})
}

func (h *Host) serveHTTPS(ctx context.Context) error {
	defer h.web.Close() //nolint:errcheck // never fails
	l := tlsx.Listen(h.httpsListener, tlsx.Limits{}, h.cfg.Log)
	err := webhead.Serve(ctx, l, h.share(ctx), webhead.ServeOptions{
		TLS: tlsx.ServerConfig(h.cert.Certificate), Grace: shutdownGrace, Log: h.cfg.Log,
	})
	if err != nil {
		return fmt.Errorf("hub: %w", err)
	}
	return nil
}
