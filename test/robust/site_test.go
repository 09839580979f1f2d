//go:build unix

package robust

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"sluice/internal/hub/host"
	"sluice/internal/hub/storage"
	"sluice/internal/pki"
	"sluice/internal/sas"
	"sluice/internal/service"
	"sluice/iot"
	"sluice/test/robust/ledger"
)

const (
	hubName     = "hub.test"
	gatewayName = "gateway.test" // in certificates; its device id is "gateway"
)

// A site is a hub and a gateway, each a process of the program, with a line
// between them for each of the hub's protocols, and devices.
type site struct {
	t    *testing.T
	dir  string
	seed uint64
	rng  *rand.Rand // of the script; devices have their own

	roots   *x509.CertPool
	hub     *process
	gateway *process
	mqtt    *cable
	https   *cable
	near    string // the gateway's own address,
	line    string // that of the lines,
	far     string // and the hub's
	addr    string // where devices connect
	owner   sas.ConnectionString
	keys    map[string]iot.Secret
	devices []*device
	idle    *device // registered like the others; sends nothing by itself

	script *ledger.Writer // the faults
	judge  *judge

	slowest time.Duration // from starting the gateway to its being ready
}

// An option changes how a site is made.
type option func(*plan)

type plan struct {
	storage string   // lines of [sluice.storage]
	dataDir string   // the gateway's, if not in the site's directory
	line    string   // where the lines begin, if not at an address of their own
	wrap    []string // see process
}

// newSite makes a site with devices, and starts it.
func newSite(t *testing.T, ids []string, options ...option) *site {
	t.Helper()
	p := &plan{dataDir: "gateway"}
	for _, o := range options {
		o(p)
	}
	s := &site{t: t, dir: t.TempDir(), seed: seed(t), keys: make(map[string]iot.Secret)}
	s.rng = rand.New(rand.NewPCG(s.seed, 0))
	t.Logf("seed: SLUICE_SEED=%d", s.seed)
	s.settle(p)
	s.makeCertificates()
	connection := s.register(append([]string{"idle"}, ids...))
	s.layCables()
	s.configure(connection, p)
	s.startHub()
	s.openLedgers(ids)
	s.startGateway()
	s.gateway.until(patience, "scope refreshed") // before that it knows nobody
	return s
}

// seed is that of SLUICE_SEED, or another each time.
func seed(t *testing.T) uint64 {
	t.Helper()
	text := os.Getenv("SLUICE_SEED")
	if text == "" {
		return rand.Uint64N(1_000_000)
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("SLUICE_SEED=%q is not a number", text)
	}
	return n
}

func (s *site) path(name ...string) string { return filepath.Join(append([]string{s.dir}, name...)...) }

func (s *site) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) makeCertificates() {
	s.t.Helper()
	root, err := pki.NewRoot("Robust test root", pki.Options{})
	s.must(err)
	edge, err := root.Intermediate("Robust test edge CA", pki.Options{})
	s.must(err)
	hub, err := root.Server([]string{hubName, s.line}, pki.Options{})
	s.must(err)
	s.must(errors.Join(
		root.WriteFiles(s.path("root.pem"), s.path("root-key.pem"), false),
		edge.WriteFiles(s.path("edge.pem"), s.path("edge-key.pem"), false),
		hub.WriteFiles(s.path("hub.pem"), s.path("hub-key.pem"), false),
	))
	s.roots, err = pki.ReadPool(s.path("root.pem"))
	s.must(err)
}

// register makes the hub's files, with the gateway and its devices in them, and
// returns the gateway's connection string.
func (s *site) register(ids []string) string {
	s.t.Helper()
	h, err := host.Open(s.hubConfig())
	s.must(err)
	defer func() { s.must(h.Close()) }()
	edge := storage.Entry{}
	edge.Identity, edge.Enabled, edge.Edge = iot.DeviceIdentity("gateway"), true, true
	created, err := h.Registry().Create(edge)
	s.must(err)
	entries := make([]storage.Entry, len(ids))
	for i, id := range ids {
		entries[i].Identity, entries[i].Enabled = iot.DeviceIdentity(id), true
		entries[i].ParentScopes = []string{created[0].Scope}
	}
	leaves, err := h.Registry().Create(entries...)
	s.must(err)
	for _, e := range leaves {
		s.keys[e.Identity.Device] = e.Auth.PrimaryKey
	}
	module := storage.Entry{}
	module.Identity, module.Enabled = iot.ModuleIdentity("gateway", "filter"), true
	modules, err := h.Registry().Create(module)
	s.must(err)
	s.keys[moduleName] = modules[0].Auth.PrimaryKey
	s.owner, err = sas.ParseConnectionString(h.ConnectionString(storage.OwnerPolicy))
	s.must(err)
	return fmt.Sprintf("HostName=%s;DeviceId=gateway;SharedAccessKey=%s", hubName, created[0].Auth.PrimaryKey.Reveal())
}

func (s *site) hubConfig() host.Config {
	return host.Config{
		Dir: s.path("hub"), HostName: hubName, MQTTPort: -1, AMQPPort: -1, HTTPSPort: -1,
		Cert: s.path("hub.pem"), Key: s.path("hub-key.pem"),
	}
}

// layCables chooses the hub's ports and lays a line to each.
func (s *site) layCables() {
	s.t.Helper()
	s.mqtt = layCable(s.t, s.line, freePort(s.t, s.far))
	s.https = layCable(s.t, s.line, freePort(s.t, s.far))
}

// sites counts those of this process.
var sites atomic.Uint32

// settle chooses where the gateway, the hub and the line to it listen: on
// addresses that no other site has, since all of them must find their ports free
// after a time away. Where there is one loopback address, they share it.
func (s *site) settle(p *plan) {
	s.near, s.far, s.line = "127.0.0.1", "127.0.0.1", "127.0.0.1"
	if runtime.GOOS == "linux" {
		pid, first := os.Getpid(), 1+3*int(sites.Add(1)%84)
		net := fmt.Sprintf("127.%d.%d.", 128+pid>>8&63, pid&255)
		s.near, s.far, s.line = net+itoa(first), net+itoa(first+1), net+itoa(first+2)
	}
	if p.line != "" {
		s.line = p.line
	}
}

// freePort finds a port for a process, which must keep it when it is started
// again.
func freePort(t *testing.T, host string) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // a listener's end cannot fail
	return l.Addr().String()
}

const gatewayConfig = `hostname = %q
[provisioning]
source = "manual"
connection_string = %q
[edge_ca]
cert = "edge.pem"
pk = "edge-key.pem"
[sluice]
data_dir = %q
[sluice.listen]
address = %q
mqtt_port = %d
amqp_port = 0
https_port = 0
[sluice.hub]
address = %q
ca = "root.pem"
upstream_protocol = %q
amqp_port = %[8]d
mqtt_port = %[8]d
https_port = %[9]d
[sluice.storage]
%[10]s
`

// configure writes the gateway's configuration and prepares both processes.
func (s *site) configure(connection string, p *plan) {
	s.t.Helper()
	s.addr = freePort(s.t, s.near)
	protocol, ports := uplink(portOf(s.mqtt.to))
	text := fmt.Sprintf(gatewayConfig, gatewayName, connection, p.dataDir,
		s.near, portOf(s.addr), s.line, protocol, s.mqtt.port(), s.https.port(), p.storage)
	s.must(os.WriteFile(s.path("gateway.toml"), []byte(text), 0o600))
	s.gateway = newProcess(s.t, "gateway", "edge", "--config", s.path("gateway.toml"))
	s.gateway.wrap = p.wrap
	s.hub = newProcess(s.t, "hub", "hub", "--data", s.path("hub"), "--hostname", hubName, "--listen", s.far,
		"--cert", s.path("hub.pem"), "--key", s.path("hub-key.pem"),
		"--mqtt-port", ports.mqtt, "--amqp-port", ports.amqp, "--https-port", strconv.Itoa(portOf(s.https.to)))
}

// uplinkPorts are the hub's.
type uplinkPorts struct{ amqp, mqtt string }

// uplink is what the gateway speaks to the hub, over the line to port: AMQP, or
// what SLUICE_UPLINK says.
func uplink(port int) (protocol string, ports uplinkPorts) {
	if os.Getenv("SLUICE_UPLINK") == "mqtt" {
		return "mqtt", uplinkPorts{amqp: "0", mqtt: strconv.Itoa(port)}
	}
	return "amqp", uplinkPorts{amqp: strconv.Itoa(port), mqtt: "0"}
}

func (s *site) startHub() {
	s.t.Helper()
	s.hub.start()
	s.hub.until(patience, "is ready")
}

// startGateway starts the gateway, for the first time or again.
func (s *site) startGateway() {
	s.t.Helper()
	began := time.Now()
	s.gateway.start()
	s.gateway.until(patience, "msg=ready")
	s.slowest = max(s.slowest, time.Since(began))
}

// openLedgers begins to write down: the script, the hub's events, and devices.
func (s *site) openLedgers(ids []string) {
	s.t.Helper()
	s.must(os.Mkdir(s.path("ledgers"), 0o700))
	s.script = s.openLedger("script")
	client, err := service.New(s.owner, service.Options{Roots: s.roots, Address: s.far, Port: portOf(s.https.to)})
	s.must(err)
	s.judge = attend(s.t, client, s.openLedger("hub"))
	s.idle = s.newDevice("idle", s.keys["idle"])
	for i, id := range ids {
		d := s.newDevice(id, s.keys[id])
		d.ledger, d.rng, d.persistent = s.openLedger(id), rand.New(rand.NewPCG(s.seed, uint64(i+1))), i%2 == 0
		s.devices = append(s.devices, d)
	}
}

// newDevice makes a device that has nothing to write on.
func (s *site) newDevice(id string, key iot.Secret) *device {
	return &device{
		t: s.t, id: id, hub: hubName, addr: s.addr, key: key, tls: s.clientTLS(),
		window: 16, size: 256, every: 20 * time.Millisecond,
	}
}

// clientTLS is how a client trusts the gateway.
func (s *site) clientTLS() *tls.Config {
	return &tls.Config{
		RootCAs: s.roots, ServerName: gatewayName, MinVersion: tls.VersionTLS12,
		ClientSessionCache: tls.NewLRUClientSessionCache(1),
	}
}

func (s *site) openLedger(name string) *ledger.Writer {
	s.t.Helper()
	w, err := ledger.Open(s.path("ledgers", name+".ledger"))
	s.must(err)
	s.t.Cleanup(func() {
		if err := w.Close(); err != nil {
			s.t.Error(err)
		}
	})
	return w
}

// fault writes down what is about to be done to the system.
func (s *site) fault(what string) {
	s.t.Helper()
	s.must(s.script.Record(ledger.Event{Kind: ledger.Fault, Sender: what}))
}

// load lets devices send while the script runs, and returns when all have ended
// too.
func (s *site) load(script func()) {
	s.t.Helper()
	ctx, stop := context.WithCancel(s.t.Context())
	var sending sync.WaitGroup
	defer func() { // also when the script fails
		began := time.Now()
		stop()
		sending.Wait()
		tellSlow(s.t, "the last answers", began)
	}()
	for _, d := range s.devices {
		sending.Go(func() { d.run(ctx) })
	}
	script()
}

// acknowledged counts the messages that devices have a PUBACK for.
func (s *site) acknowledged() (n int) {
	for _, d := range s.devices {
		n += d.acknowledged()
	}
	return n
}

// progress waits until n more messages were acknowledged.
func (s *site) progress(n int) {
	s.t.Helper()
	n += s.acknowledged()
	eventually(s.t, patience, fmt.Sprintf("%d messages acknowledged", n), func() bool { return s.acknowledged() >= n })
}

// verdict heals what can be healed, waits for everything that was acknowledged to
// be at the hub, and judges.
func (s *site) verdict(rules ledger.Rules) *ledger.Report {
	s.t.Helper()
	s.must(errors.Join(s.mqtt.mend(), s.https.mend()))
	if !s.hub.running() {
		s.startHub()
	}
	if !s.gateway.running() {
		s.startGateway()
	}
	s.judge.await(s.devices)
	s.noSecrets()
	report, err := ledger.CheckDir(s.path("ledgers"), rules)
	s.must(err)
	s.t.Logf("slowest start of the gateway %v\n%v", s.slowest.Round(time.Millisecond), report)
	if !report.OK() {
		s.t.Errorf("promises were broken; the ledgers are in %s", s.keep())
	}
	if report.Acknowledged == 0 {
		s.t.Error("nothing was acknowledged: the test has tested nothing")
	}
	return report
}

// noSecrets checks that the gateway has told its log no key, of which a token
// is worth as much while it lasts (S12).
func (s *site) noSecrets() {
	s.t.Helper()
	for _, line := range s.gateway.said() {
		for id, key := range s.keys {
			if strings.Contains(line, key.Reveal()) || strings.Contains(line, "&sig=") {
				s.t.Errorf("S12 the log has a secret of %s: %s", id, line)
			}
		}
	}
}

// keep saves the ledgers of a run that failed.
func (s *site) keep() string {
	dir, err := os.MkdirTemp("", "sluice-ledgers-")
	s.must(err)
	s.must(os.CopyFS(dir, os.DirFS(s.path("ledgers"))))
	return dir
}

// ending is how long a process may take to end when it is asked to. Five seconds
// are promised, on a machine that does nothing else.
const ending = 15 * time.Second

// stop asks the gateway to end, which must be soon and say that all is well.
func (s *site) stop() {
	s.t.Helper()
	took, err := s.gateway.end(syscall.SIGTERM)
	if err != nil {
		s.t.Errorf("the gateway ended with %v", err)
	}
	if took > ending {
		s.t.Errorf("the gateway took %v to end", took)
	}
}
