package translate

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"sluice/internal/await"
	"sluice/internal/edge"
	"sluice/internal/edge/config"
	"sluice/internal/hub"
	"sluice/internal/hub/host"
	"sluice/internal/leafwire"
	"sluice/internal/moduleclient"
	"sluice/internal/sas"
	"sluice/internal/upstream"
	"sluice/iot"
)

// newWireSite is a site whose hub and gateway listen on loopback, and whose modules
// speak a protocol to the gateway.
func newWireSite(t *testing.T, protocol upstream.Protocol) *site {
	t.Helper()
	s := prepare(t)
	s.name = "localhost"
	h, err := host.Open(host.Config{Dir: t.TempDir(), HostName: s.name, MQTTPort: -1, AMQPPort: -1, HTTPSPort: -1, Log: s.log})
	s.must(err)
	s.hub, s.devices, s.events = h.Hub().(*hub.Hub), h.Registry(), h.Events()
	t.Cleanup(await.Run(func(ctx context.Context) { s.must(h.Run(ctx)) }))
	s.populate()
	e, err := edge.Open(s.configure(h), s.log)
	s.must(err)
	t.Cleanup(await.Run(func(ctx context.Context) { s.must(e.Run(ctx)) }))
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(e.TrustPEM())
	s.client = func(id iot.Identity) *moduleclient.Client {
		t.Helper()
		entry, _ := s.devices.Get(id)
		text := sas.ConnectionString{HostName: s.name, Identity: id, Key: entry.Auth.PrimaryKey, GatewayHostName: "127.0.0.1"}.Reveal()
		env, err := moduleclient.FromConnectionString(text)
		s.must(err)
		c, err := moduleclient.Open(t.Context(), env, moduleclient.Options{
			Protocol: protocol, AMQPPort: port(e.AMQPAddr()), MQTTPort: port(e.MQTTAddr()), Roots: roots,
		})
		s.must(err)
		return c
	}
	s.begin()
	return s
}

func port(a net.Addr) int { return a.(*net.TCPAddr).Port }

// configure is the gateway's configuration.
func (s *site) configure(h *host.Host) *config.Config {
	s.t.Helper()
	root := filepath.Join(s.dir, "hub-root.pem")
	s.must(os.WriteFile(root, h.RootPEM(), 0o600))
	connection := sas.ConnectionString{HostName: s.name, Identity: iot.DeviceIdentity("edge"), Key: s.edgeKey}
	file := filepath.Join(s.dir, "config.toml")
	s.must(os.WriteFile(file, fmt.Appendf(nil, `
hostname = "127.0.0.1"
[provisioning]
source = "manual"
connection_string = %q
[sluice]
data_dir = "data"
[sluice.hub]
address = "127.0.0.1"
ca = "hub-root.pem"
amqp_port = %d
mqtt_port = %d
https_port = %d
[sluice.listen]
address = "127.0.0.1"
mqtt_port = 0
amqp_port = 0
https_port = 0
`, connection.Reveal(), port(h.AMQPAddr()), port(h.MQTTAddr()), port(h.HTTPSAddr())), 0o600))
	cfg, err := config.Load(file)
	s.must(err)
	return cfg
}

// Everything that a leaf can do, with real connections between all.
func TestTheWholePathOverTheNetwork(t *testing.T) {
	for _, protocol := range []upstream.Protocol{upstream.AMQP, upstream.MQTT} {
		t.Run(string(protocol), func(t *testing.T) {
			t.Parallel()
			s := newWireSite(t, protocol)
			p := s.translator(ptm, 64)
			var want []string
			for i := range 50 {
				want = append(want, fmt.Sprint(i))
				p.tell("leaf", want[i])
				p.tell("leaf-2", want[i])
			}
			s.cloud.has("leaf", want...)
			s.cloud.has("leaf-2", want...)
			p.say(p.route("leaf").Hello(leafwire.Hello{Methods: true, Desired: true, Commands: true}))
			p.hears("leaf", leafwire.TypeDesired)
			s.callOnWire(p)
			s.must(s.hub.SendCommand(iot.DeviceIdentity("leaf"), iot.Message{Body: []byte("on")}))
			c := p.hears("leaf", leafwire.TypeCommand)
			p.say(p.route("leaf").Response(leafwire.Response{Correlation: c.System.Get(iot.MessageID), Settle: iot.Complete}))
			await.Success(s.t, "the command is done", func() error {
				if n := s.hub.CommandCount(iot.DeviceIdentity("leaf")); n != 0 {
					return fmt.Errorf("%d left", n)
				}
				return nil
			})
		})
	}
}

func (s *site) callOnWire(p *translator) {
	s.t.Helper()
	answer := make(chan error, 1)
	go func() {
		r, err := s.hub.InvokeMethod(context.Background(), iot.DeviceIdentity("leaf"), iot.MethodCall{Name: "m", Payload: json.RawMessage(`1`), ConnectTimeout: await.Patience, ResponseTimeout: await.Patience})
		if err == nil && (r.Status != 200 || string(r.Payload) != `2`) {
			err = fmt.Errorf("%d %s", r.Status, r.Payload)
		}
		answer <- err
	}()
	m := p.hears("leaf", leafwire.TypeMethod)
	p.say(p.route("leaf").Response(leafwire.Response{Correlation: m.System.Get(iot.MessageID), Status: 200, Payload: json.RawMessage(`2`)}))
	s.must(await.Value(s.t, answer, "the method's answer"))
}

// A token that ends in the middle of a session is replaced in time.
func TestSessionsOutliveTheirTokens(t *testing.T) {
	t.Parallel()
	const life = 8 * time.Second // of which a quarter is left when the token is replaced
	s := newSite(t, nil)
	e, _ := s.devices.Get(ptm)
	c, err := moduleclient.Over(front{s}, moduleclient.Environment{Identity: ptm, Hub: s.name, Key: e.Auth.PrimaryKey}, moduleclient.Options{TokenLife: life})
	s.must(err)
	defer c.Close()
	ended := make(chan error, 1)
	session, err := c.Connect(t.Context(), iot.Client{Ended: func(reason error) { ended <- reason }})
	s.must(err)
	defer func() { _ = session.Close() }()
	select {
	case reason := <-ended:
		t.Fatalf("ended: %v", reason)
	case <-time.After(life * 3 / 2):
	}
}
