package edge

import (
	"crypto/tls"
	"io"
	"path/filepath"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"sluice/internal/edge/config"
	"sluice/internal/hub/storage"
	"sluice/internal/pki"
	"sluice/iot"
)

// present connects with a certificate and without a token.
func (s *site) present(id string, e *Edge, p *pki.Pair) error {
	t := s.trusted()
	t.Certificates = []tls.Certificate{p.TLS()}
	client := paho.NewClient(paho.NewClientOptions().AddBroker("ssl://" + e.MQTTAddr().String()).SetClientID(id).SetProtocolVersion(4).
		SetUsername(s.hub.HostName() + "/" + id + "/?api-version=2021-04-12").SetTLSConfig(t).
		SetAutoReconnect(false).SetConnectTimeout(patience))
	k := client.Connect()
	k.WaitTimeout(patience)
	client.Disconnect(0)
	return k.Error()
}

func TestS3_DeviceCertificatesAreJudgedByTheConfiguredAuthorities(t *testing.T) {
	s := newSite(t, "pump1")
	made, err := s.hub.Registry().Create(storage.Entry{Registration: iot.Registration{
		Identity: iot.DeviceIdentity("camera"), Enabled: true, ParentScopes: []string{s.edge.Scope},
		Auth: iot.Authentication{Type: iot.AuthCA},
	}})
	if err != nil || len(made) != 1 {
		t.Fatal(err)
	}
	authority, stranger := newAuthorities(t, pki.Options{}).root, newAuthorities(t, pki.Options{}).root
	certify := func(a *pki.Authority, id string) *pki.Pair {
		p, err := a.Device(id, pki.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	right, wrong, other := certify(authority, "camera"), certify(stranger, "camera"), certify(authority, "pump1")
	file := filepath.Join(s.dir, "devices.pem")

	for _, tt := range []struct {
		name   string
		change func(*config.Config)
		ok     bool
	}{
		{"device_ca", func(c *config.Config) { c.DeviceCA = file }, true},
		{"trust bundle", func(c *config.Config) { c.TrustBundle = file }, true},
		{"device_ca takes the place of the trust bundle", func(c *config.Config) {
			c.TrustBundle, c.DeviceCA = file, filepath.Join(s.dir, "hub-root.pem")
		}, false},
		{"none", nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s.write(file, authority.CertPEM())
			e := s.open(tt.change)
			stop := s.run(e.Run)
			defer stop()
			s.connect("pump1", e.MQTTAddr().String(), nil) // the scope is there
			if err := s.present("camera", e, right); (err == nil) != tt.ok {
				t.Errorf("certificate of the authority: %v, want accepted %v", err, tt.ok)
			}
			if s.present("camera", e, wrong) == nil {
				t.Error("a certificate of another authority was accepted")
			}
			if s.present("camera", e, other) == nil {
				t.Error("another device's certificate was accepted")
			}
			if !tt.ok {
				return
			}
			s.write(file, stranger.CertPEM())
			late := time.After(patience)
			for s.present("camera", e, wrong) != nil {
				select {
				case <-time.After(100 * time.Millisecond):
				case <-late:
					t.Fatal("a new authority is not trusted although the file has it")
				}
			}
		})
	}
}

// Who resumes a TLS session shows the certificate of the first handshake again; the
// login is judged anew all the same.
func TestS6_ASessionTicketLetsNobodyIn(t *testing.T) {
	s := newSite(t, "pump1")
	authority := newAuthorities(t, pki.Options{}).root
	camera, err := s.hub.Registry().Create(storage.Entry{Registration: iot.Registration{
		Identity: iot.DeviceIdentity("camera"), Enabled: true, ParentScopes: []string{s.edge.Scope},
		Auth: iot.Authentication{Type: iot.AuthCA},
	}})
	if err != nil {
		t.Fatal(err)
	}
	pair, err := authority.Device("camera", pki.Options{})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(s.dir, "devices.pem")
	s.write(file, authority.CertPEM())
	e := s.open(func(c *config.Config) { c.DeviceCA = file })
	s.run(e.Run)
	s.connect("pump1", e.MQTTAddr().String(), nil) // the scope is there

	conf := s.trusted()
	conf.Certificates, conf.ClientSessionCache = []tls.Certificate{pair.TLS()}, tls.NewLRUClientSessionCache(1)
	conf.ServerName = "127.0.0.1"
	login := func() (code byte, resumed bool) {
		t.Helper()
		conn, err := tls.Dial("tcp", e.MQTTAddr().String(), conf)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close() //nolint:errcheck // said all
		user := s.hub.HostName() + "/camera/?api-version=2021-04-12"
		body := append([]byte{0, 4, 'M', 'Q', 'T', 'T', 4, 0x82, 0, 60, 0, 6}, "camera"...)
		body = append(append(body, 0, byte(len(user))), user...)
		if _, err := conn.Write(append([]byte{0x10, byte(len(body))}, body...)); err != nil {
			t.Fatal(err)
		}
		answer := make([]byte, 4)
		if _, err := io.ReadFull(conn, answer); err != nil {
			t.Fatal(err)
		}
		return answer[3], conn.ConnectionState().DidResume
	}
	if code, _ := login(); code != 0 {
		t.Fatalf("first login: CONNACK %d", code)
	}
	if code, resumed := login(); code != 0 || !resumed {
		t.Fatalf("second login: CONNACK %d, resumed %v; want 0 and resumed", code, resumed)
	}
	camera[0].Enabled = false
	if _, err := s.hub.Registry().Update(camera[0], storage.Any); err != nil {
		t.Fatal(err)
	}
	s.refreshScope(e)
	if code, resumed := login(); code != 5 || !resumed {
		t.Errorf("after it was disabled: CONNACK %d, resumed %v; want 5 and resumed", code, resumed)
	}
}

// refreshScope waits until the gateway has been told of a change.
func (s *site) refreshScope(e *Edge) {
	s.t.Helper()
	if err := e.gateway.RefreshScope(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}
