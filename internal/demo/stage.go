package demo

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"sluice/internal/hub/host"
	"sluice/internal/hub/storage"
	"sluice/internal/pki"
	"sluice/iot"
)

// The names on stage.
const (
	hostName    = "localhost"
	gatewayName = "gateway"
)

// stage is everything that the play needs, set up in a directory.
type stage struct {
	opt     Options
	dir     string
	hub     *host.Host
	cables  []*cable
	gateway *process
	devices []*device
	tally   *tally
	log     *os.File
	closers []func() error // of what else was opened
}

// build sets the stage. What it has set up is taken down by close, also after an
// error.
func build(opt Options) (*stage, error) {
	s := &stage{opt: opt}
	return s, inOrder(s.makeDir, s.makeCertificates, s.openHub, s.layCables, s.makeGateway, s.makeDevices)
}

// inOrder does one step after the other, as long as they go well.
func inOrder(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (s *stage) makeDir() (err error) {
	if s.dir = s.opt.Dir; s.dir == "" {
		s.dir, err = os.MkdirTemp("", "sluice-demo-")
		return err
	}
	if entries, err := os.ReadDir(s.dir); err == nil && len(entries) > 0 {
		return fmt.Errorf("%s is not empty: give a new directory, or none for a temporary one", s.dir)
	}
	s.dir, err = filepath.Abs(s.dir)
	if err != nil {
		return err
	}
	return os.MkdirAll(s.dir, 0o700)
}

func (s *stage) path(name ...string) string {
	return filepath.Join(append([]string{s.dir}, name...)...)
}

// makeCertificates makes a root that devices trust, and below it the gateway's
// authority and the hub's certificate.
func (s *stage) makeCertificates() error {
	if err := os.Mkdir(s.path("certs"), 0o700); err != nil {
		return err
	}
	root, err := pki.NewRoot("Sluice demo root", pki.Options{Valid: 30 * 24 * time.Hour})
	if err != nil {
		return err
	}
	edge, err := root.Intermediate("Sluice demo edge CA", pki.Options{})
	if err != nil {
		return err
	}
	hub, err := root.Server([]string{hostName, "127.0.0.1"}, pki.Options{})
	if err != nil {
		return err
	}
	return errors.Join(
		root.WriteFiles(s.path("certs", "root.pem"), s.path("certs", "root-key.pem"), false),
		edge.WriteFiles(s.path("certs", "edge-ca.pem"), s.path("certs", "edge-ca-key.pem"), false),
		hub.WriteFiles(s.path("certs", "hub.pem"), s.path("certs", "hub-key.pem"), false),
	)
}

func (s *stage) openHub() (err error) {
	s.hub, err = host.Open(host.Config{
		Dir: s.path("hub"), HostName: hostName, MQTTPort: -1, AMQPPort: -1, HTTPSPort: -1,
		Cert: s.path("certs", "hub.pem"), Key: s.path("certs", "hub-key.pem"),
	})
	return err
}

// layCables puts a line that can be cut between gateway and hub, for each of the
// hub's ports.
func (s *stage) layCables() error {
	for _, to := range []net.Addr{s.hub.MQTTAddr(), s.hub.HTTPSAddr(), s.hub.AMQPAddr()} {
		c, err := layCable("127.0.0.1:0", to.String())
		if err != nil {
			return err
		}
		s.cables = append(s.cables, c)
	}
	return nil
}

const gatewayConfig = `hostname = %q

[provisioning]
source = "manual"
connection_string = %q

[edge_ca]
cert = "certs/edge-ca.pem"
pk = "certs/edge-ca-key.pem"

[sluice]
data_dir = "gateway"

[sluice.listen]
address = "127.0.0.1"
mqtt_port = %d
amqp_port = %d
https_port = 0

[sluice.hub]
address = "127.0.0.1"
ca = "certs/root.pem"
mqtt_port = %d
https_port = %d
amqp_port = %d
`

func (s *stage) makeGateway() error {
	port, err := freePort()
	if err != nil {
		return err
	}
	return s.writeGateway(gatewayConfig, port, 0)
}

// writeGateway registers the gateway and writes its configuration, whose places are
// those of gatewayConfig.
func (s *stage) writeGateway(form string, mqttPort, amqpPort int) error {
	entry := storage.Entry{}
	entry.Identity, entry.Enabled, entry.Edge = iot.DeviceIdentity(gatewayName), true, true
	created, err := s.hub.Registry().Create(entry)
	if err != nil {
		return err
	}
	connection := fmt.Sprintf("HostName=%s;DeviceId=%s;SharedAccessKey=%s", hostName, gatewayName, created[0].Auth.PrimaryKey.Reveal())
	config := fmt.Sprintf(form, hostName, connection, mqttPort, amqpPort, s.cables[0].port(), s.cables[1].port(), s.cables[2].port())
	if err := os.WriteFile(s.path("gateway.toml"), []byte(config), 0o600); err != nil {
		return err
	}
	if s.log, err = os.OpenFile(s.path("gateway.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600); err != nil {
		return err
	}
	s.gateway = &process{
		args: []string{"edge", "--config", s.path("gateway.toml")},
		addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(mqttPort)),
		log:  s.log,
	}
	return nil
}

// freePort finds a port for the gateway, which must keep it when it is started
// again.
func freePort() (int, error) {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	port := l.Addr().(*net.TCPAddr).Port
	return port, l.Close()
}

func (s *stage) makeDevices() error {
	root, err := pki.ReadPool(s.path("certs", "root.pem"))
	if err != nil {
		return err
	}
	edge, _ := s.hub.Registry().Get(iot.DeviceIdentity(gatewayName)) // just made
	entries := make([]storage.Entry, s.opt.Devices)
	names := make([]string, s.opt.Devices)
	for i := range entries {
		names[i] = fmt.Sprintf("machine-%02d", i+1)
		entries[i].Identity, entries[i].Enabled = iot.DeviceIdentity(names[i]), true
		entries[i].ParentScopes = []string{edge.Scope}
	}
	created, err := s.hub.Registry().Create(entries...)
	if err != nil {
		return err
	}
	s.tally = newTally(names)
	for i, e := range created {
		s.devices = append(s.devices, s.makeDevice(names[i], e.Auth.PrimaryKey, root))
	}
	return nil
}

func (s *stage) makeDevice(id string, key iot.Secret, root *x509.CertPool) *device {
	conf := &tls.Config{RootCAs: root, ServerName: hostName, MinVersion: tls.VersionTLS12}
	return &device{
		id:    id,
		login: hubLogin(id, key, "tls://"+s.gateway.addr, conf),
		topic: fmt.Sprintf("devices/%s/messages/events/$.ct=application%%2Fjson&$.ce=utf-8", id),
		every: time.Duration(float64(time.Second) / s.opt.Rate),
		limit: s.opt.Messages,
		tally: s.tally,
	}
}

// close takes the stage down. The directory stays if it was given, or if keep
// says so.
func (s *stage) close(keep bool) error {
	var errs []error
	if s.gateway != nil {
		errs = append(errs, s.gateway.stop())
	}
	for _, c := range s.cables {
		c.close()
	}
	if s.log != nil {
		errs = append(errs, s.log.Close())
	}
	for _, c := range s.closers {
		errs = append(errs, c())
	}
	if s.opt.Dir == "" && s.dir != "" && !keep {
		errs = append(errs, os.RemoveAll(s.dir))
	}
	return errors.Join(errs...)
}
