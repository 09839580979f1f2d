package host

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"strconv"
	"sync"
	"syscall"
	"time"

	"sluice/amqp10"
	"sluice/internal/amqphead"
	"sluice/internal/hub"
	"sluice/internal/hub/amqpservice"
	"sluice/internal/hub/storage"
	"sluice/internal/hub/throttle"
	"sluice/internal/mqtthead"
	"sluice/internal/pki"
	"sluice/internal/tlsx"
	"sluice/internal/webhead"
	"sluice/iot"
	"sluice/mqtt"
)

// shutdownGrace is how long requests and publications under way may take when
// the hub is told to stop.
const shutdownGrace = 3 * time.Second

// A Host is a hub that is open. Its methods may be called from any goroutine.
type Host struct {
	cfg   Config
	store *store
	cert  *certificate
	hub   *hub.Hub
	mqtt  *mqtt.Server
	amqp  *amqp10.Server
	apps  *amqpservice.Service // one, so that readers over TCP and WebSockets know each other
	web   *webhead.Head
	https http.Handler // the service API

	throttle *throttle.Throttle // nil without limits

	mqttListener  net.Listener
	amqpListener  net.Listener
	httpsListener net.Listener
	metrics       net.Listener // nil if there are none
}

// Open opens a hub and binds its addresses. Clients may connect from then on;
// they are served once Run runs. A Host that is not run must be closed.
func Open(cfg Config) (h *Host, err error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	h = &Host{cfg: cfg}
	defer func() {
		if err != nil {
			err = errors.Join(err, h.Close())
		}
	}()
	if h.store, err = openStore(&h.cfg); err != nil {
		return h, err
	}
	if h.cert, err = openCertificate(&h.cfg); err != nil {
		return h, err
	}
	if err = h.listen(); err != nil {
		return h, err
	}
	if err = h.listenMetrics(); err != nil {
		return h, err
	}
	if err = h.build(); err != nil {
		return h, err
	}
	return h, h.writeConnectionStrings()
}

func (h *Host) listen() (err error) {
	if h.mqttListener, err = listen("MQTT", h.cfg.Address, h.cfg.MQTTPort, "--mqtt-port"); err != nil {
		return err
	}
	if h.amqpListener, err = listen("AMQP", h.cfg.Address, h.cfg.AMQPPort, "--amqp-port"); err != nil {
		return err
	}
	h.httpsListener, err = listen("HTTPS", h.cfg.Address, h.cfg.HTTPSPort, "--https-port")
	return err
}

func listen(protocol, address string, port int, flag string) (net.Listener, error) {
	addr := net.JoinHostPort(address, strconv.Itoa(port))
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", addr)
	switch {
	case err == nil:
		return l, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("hub: cannot listen for %s on %s: another program has the port; end it, or choose another with %s or --listen", protocol, addr, flag)
	case errors.Is(err, fs.ErrPermission) && port < 1024:
		return nil, fmt.Errorf("hub: cannot listen for %s on %s: ports below 1024 need a privilege; choose another with %s, or give the program CAP_NET_BIND_SERVICE", protocol, addr, flag)
	}
	return nil, fmt.Errorf("hub: cannot listen for %s: %w", protocol, err)
}

// build puts the hub together with what it is served by.
func (h *Host) build() error {
	roots, err := h.deviceRoots()
	if err != nil {
		return err
	}
	names := h.cfg.allNames()
	if h.cfg.Throttle != "" {
		if h.throttle, err = throttle.New(h.cfg.Throttle, h.cfg.Now); err != nil {
			return fmt.Errorf("hub: %w", err)
		}
	}
	if h.hub, err = hub.New(hub.Options{
		Hosts: names, Registry: h.store.registry, Twins: h.store.twins, Events: h.store.events, Commands: h.store.commands,
		Configurations: h.store.deploy, Jobs: h.store.jobs, Files: h.store.files, Notify: h.cfg.Notify,
		Enrichments: h.cfg.Enrichments, Throttle: h.throttle,
		Roots: roots, Log: h.cfg.Log, Now: h.cfg.Now,
	}); err != nil {
		return err
	}
	subscriptions := mqtthead.NewMemory(100_000)
	h.mqtt = &mqtt.Server{
		Backend: mqtthead.New(h.hub, mqtthead.Options{Sessions: subscriptions, Log: h.cfg.Log}),
		TLS:     tlsx.ServerConfig(h.cert.Certificate),
		Log:     h.cfg.Log,
	}
	h.apps = h.applications(names)
	h.amqp = amqphead.New(h.hub, amqphead.Options{ContainerID: h.cfg.HostName, Service: h.apps, Log: h.cfg.Log}).Server()
	h.openHTTPS(names, roots, subscriptions)
	return nil
}

// applications is the AMQP side of the service.
func (h *Host) applications(names []string) *amqpservice.Service {
	return amqpservice.New(amqpservice.Options{
		Hub:     h.hub,
		Events:  h.store.events,
		Policy:  h.store.registry.Policy,
		Hosts:   names,
		Port:    h.AMQPAddr().(*net.TCPAddr).Port,
		Groups:  h.cfg.ConsumerGroups,
		Created: created(h.cfg.Dir),
		Log:     h.cfg.Log,
		Now:     h.cfg.Now,
	})
}

func (h *Host) deviceRoots() (func() *x509.CertPool, error) {
	if h.cfg.DeviceCA == "" {
		return nil, nil
	}
	pool, err := pki.ReadPool(h.cfg.DeviceCA)
	if err != nil {
		return nil, fmt.Errorf("hub: authorities of devices: %w", err)
	}
	return func() *x509.CertPool { return pool }, nil
}

// Run serves until ctx ends, and closes the hub. What was acknowledged is on disk
// then. It returns early, with an error, if a listener or the disk fails.
func (h *Host) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	h.store.onFatal(cancel)
	var group sync.WaitGroup
	group.Go(func() { h.hub.Run(ctx) })
	group.Go(func() { h.store.transfer.Run(ctx) })
	group.Go(func() { h.cert.keep(ctx, &h.cfg) })
	group.Go(func() { cancel(h.mqtt.Serve(ctx, tlsx.Listen(h.mqttListener, tlsx.Limits{}, h.cfg.Log))) })
	group.Go(func() { cancel(h.serveAMQP(ctx)) })
	group.Go(func() { cancel(h.serveHTTPS(ctx)) })
	if h.metrics != nil {
		group.Go(func() { cancel(h.serveMetrics(ctx)) })
	}
	<-ctx.Done()
	group.Wait()
	err := context.Cause(ctx)
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return errors.Join(err, h.Close())
}

func (h *Host) serveAMQP(ctx context.Context) error {
	l := tlsx.Listen(h.amqpListener, tlsx.Limits{}, h.cfg.Log)
	return h.amqp.Serve(ctx, tls.NewListener(l, tlsx.ServerConfig(h.cert.Certificate)))
}

// Close closes what Open opened. Run does it by itself.
func (h *Host) Close() error {
	var errs []error
	for _, l := range []net.Listener{h.mqttListener, h.amqpListener, h.httpsListener, h.metrics} {
		if l == nil {
			continue
		}
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if h.store != nil {
		errs = append(errs, h.store.close())
	}
	return errors.Join(errs...)
}

// MQTTAddr is where devices and modules connect that speak MQTT.
func (h *Host) MQTTAddr() net.Addr { return h.mqttListener.Addr() }

// AMQPAddr is where those connect that speak AMQP.
func (h *Host) AMQPAddr() net.Addr { return h.amqpListener.Addr() }

// HTTPSAddr is where the service API is, and devices that speak HTTPS or WebSockets.
func (h *Host) HTTPSAddr() net.Addr { return h.httpsListener.Addr() }

// HostName is the hub's name.
func (h *Host) HostName() string { return h.cfg.HostName }

// RootPEM is the authority that clients must trust, or nil if the certificate
// was brought.
func (h *Host) RootPEM() []byte { return h.cert.rootPEM }

// Registry is the hub's registry.
func (h *Host) Registry() storage.Identities { return h.store.registry }

// Events is the hub's event log.
func (h *Host) Events() storage.Events { return h.store.events }

// Hub is the hub itself.
func (h *Host) Hub() iot.Parent { return h.hub }
