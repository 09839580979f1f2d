package edge

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"slices"

	"sluice/amqp10"
	"sluice/internal/amqphead"
	"sluice/internal/edge/config"
	"sluice/internal/gateway"
	"sluice/internal/limit"
	"sluice/internal/module"
	"sluice/internal/mqtthead"
	"sluice/internal/spool"
	"sluice/internal/tlsx"
	"sluice/internal/webhead"
	"sluice/mqtt"
)

// An Edge is a gateway with everything around it.
type Edge struct {
	cfg *config.Config
	log *slog.Logger

	spool    *spool.Store
	sessions *sessions
	cert     *certificate
	parent   *parent
	gateway  *gateway.Gateway
	modules  *module.Runtime // nil if there is no deployment
	mqtt     *mqtt.Server
	listener *tlsx.Listener
	amqp     *amqp10.Server
	amqpFrom *tlsx.Listener
	web      *webhead.Head
	webFrom  *tlsx.Listener // nil if the port could not be had
	metrics  net.Listener   // nil if there are none
	operate  net.Listener   // nil if it could not be had

	addresses *limit.Addresses // that fail; nil if nobody minds

	fatal chan error // has the first failure of a disk; capacity 1
	undo  []func() error
}

// Open takes the data directory, reads or makes certificates, and binds the
// ports: when it returns, devices may connect, and wait for [Edge.Run]. What is
// wrong is said in words for the person who wrote the configuration. A
// *spool.LockedError is in the error if another process has the data directory.
//
// Either Run or [Edge.Close] must follow.
func Open(cfg *config.Config, log *slog.Logger) (*Edge, error) {
	e := &Edge{cfg: cfg, log: log, fatal: make(chan error, 1)}
	for _, step := range []func() error{
		e.openStores, e.openCertificate, e.openGateway, e.openModules, e.bind, e.bindMetrics, e.bindOperate,
	} {
		if err := step(); err != nil {
			return nil, errors.Join(fmt.Errorf("gateway: %w", err), e.Close())
		}
	}
	e.tell()
	return e, nil
}

// Close gives back what Open took, if Run was not called. Otherwise it does
// nothing.
func (e *Edge) Close() error {
	var errs []error
	for _, undo := range slices.Backward(e.undo) {
		errs = append(errs, undo())
	}
	e.undo = nil
	return errors.Join(errs...)
}

// MQTTAddr is where MQTT is served.
func (e *Edge) MQTTAddr() net.Addr { return e.listener.Addr() }

// AMQPAddr is where AMQP is served.
func (e *Edge) AMQPAddr() net.Addr { return e.amqpFrom.Addr() }

// TrustPEM is the root certificate that devices must trust, if Sluice made it; nil
// if the authority is somebody else's.
func (e *Edge) TrustPEM() []byte { return e.cert.trust }

// Reload reads the files of the configured server certificate again, at once. It
// would be found within seconds without.
func (e *Edge) Reload() {
	changed, err := e.cert.Reload()
	switch {
	case errors.Is(err, tlsx.ErrNoFiles):
		e.cert.renew()
	case err != nil:
		e.log.Error("server certificate not exchanged; the old one is still used", "err", err)
	default:
		e.log.Info("server certificate read again", "changed", changed, "expires", e.cert.Get().Leaf.NotAfter)
	}
}

// openStores takes the data directory: the spool's lock is the lock on it all.
func (e *Edge) openStores() error {
	if err := makeDataDir(e.cfg.DataDir); err != nil {
		return err
	}
	minFree := e.cfg.Storage.MinFree
	if minFree == 0 {
		minFree = -1 // the spool's way to say none
	}
	var err error
	e.spool, err = spool.Open(filepath.Join(e.cfg.DataDir, "spool"), spool.Options{
		Logger:   e.log,
		Fatal:    e.failed,
		MaxBytes: e.cfg.Storage.MaxBytes,
		MinFree:  minFree,
	})
	if err != nil {
		return err
	}
	e.undo = append(e.undo, e.spool.Close)
	e.sessions, err = openSessions(filepath.Join(e.cfg.DataDir, "sessions"), e.log, e.failed)
	if err != nil {
		return err
	}
	e.undo = append(e.undo, e.sessions.close)
	return nil
}

// failed notes that a disk failed, which ends Run.
func (e *Edge) failed(err error) {
	select {
	case e.fatal <- err:
	default: // one is enough
	}
}

func (e *Edge) openCertificate() (err error) {
	e.cert, err = openCertificate(e.cfg, e.log)
	return err
}

func (e *Edge) openGateway() error {
	var err error
	if e.parent, err = newParent(e.cfg, e.log); err != nil {
		return err
	}
	e.undo = append(e.undo, func() error { e.parent.close(); return nil })
	deviceCA := e.cfg.DeviceCA
	if deviceCA == "" {
		deviceCA = e.cfg.TrustBundle
	}
	devices, err := openRoots(false, e.log, deviceCA)
	if err != nil {
		return err
	}
	e.gateway, err = gateway.New(gateway.Options{
		Device:   e.cfg.Device.Device,
		HubHost:  e.cfg.HubHostName,
		Hosts:    serverNames(e.cfg),
		Key:      e.cfg.DeviceKey,
		Parent:   e.parent,
		Spool:    e.spool,
		Dir:      e.cfg.DataDir,
		State:    e.sessions.db.DB,
		Roots:    devices.current,
		TTL:      e.cfg.Storage.TimeToLive,
		MaxBytes: e.cfg.Storage.MaxBytes,
		Rate:     e.cfg.Limits.MessageRate,
		MaxHops:  e.cfg.Limits.Hops,
		Meters:   e.cfg.Metrics.Identities,
		Log:      e.log,

		RefreshEvery: e.cfg.Hub.ScopeRefresh,
	})
	return err
}

func (e *Edge) bind() (err error) {
	e.openLimits()
	if e.listener, err = e.bindPort("MQTT", e.cfg.Listen.MQTT, "mqtt_port"); err != nil {
		return err
	}
	if e.amqpFrom, err = e.bindPort("AMQP", e.cfg.Listen.AMQP, "amqp_port"); err != nil {
		return err
	}
	e.mqtt = &mqtt.Server{
		Backend: mqtthead.New(e.hub(), mqtthead.Options{Sessions: e.sessions, Log: e.log}),
		Limits:  mqtt.Limits{ShutdownGrace: drainGrace},
		TLS:     tlsx.ServerConfig(e.cert.Certificate),
		Log:     e.log,
	}
	e.amqp = amqphead.New(e.hub(), amqphead.Options{ContainerID: e.cfg.HostName, Log: e.log}).Server()
	return e.bindHTTPS()
}

// bindPort binds the port that a key of the configuration gives.
func (e *Edge) bindPort(protocol string, port int, key string) (*tlsx.Listener, error) {
	raw, err := listen(protocol, e.cfg.Listen.Address, port, key)
	if err != nil {
		return nil, err
	}
	l := e.bounded(raw)
	e.undo = append(e.undo, func() error { _ = l.Close(); return nil }) // Run may have closed it
	return l, nil
}
