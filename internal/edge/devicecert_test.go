package edge

import (
	"crypto/tls"
	"path/filepath"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"sluice/internal/edge/config"
	"sluice/internal/hub/registry"
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
	made, err := s.hub.Registry().Create(registry.Entry{Registration: iot.Registration{
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
