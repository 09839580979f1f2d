package edge

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"sluice/internal/edge/config"
	"sluice/internal/pki"
	"sluice/internal/sas"
	"sluice/iot"
)

func TestWhatDevicesSendArrivesAtTheHub(t *testing.T) {
	s := newSite(t, "pump1", "pump2")
	e := s.open(nil)
	s.run(e.Run)
	var sent []string
	for _, id := range []string{"pump1", "pump2"} {
		d := s.connect(id, e.MQTTAddr().String(), nil)
		for n := range 50 {
			body := fmt.Sprintf("%s %d", id, n)
			d.send(body)
			sent = append(sent, body)
		}
	}
	s.expect(sent)
}

// The file of a certificate from elsewhere is renewed, as certbot would.
func TestS5_RenewedFilesReachNewConnectionsAndEndNone(t *testing.T) {
	s := newSite(t, "pump1", "pump2")
	authority := newAuthorities(t, pki.Options{}).root
	files := keyPair(s.dir)
	write := func() *x509.Certificate {
		pair, err := authority.Server([]string{"127.0.0.1"}, pki.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := pair.WriteFiles(files.Cert, files.Key, true); err != nil {
			t.Fatal(err)
		}
		return pair.Leaf()
	}
	write()
	e := s.open(func(c *config.Config) { c.Server = files })
	s.run(e.Run)
	trust := func(o *paho.ClientOptions) { o.SetTLSConfig(&tls.Config{RootCAs: pool(authority.CertPEM())}) }
	old := s.connect("pump1", e.MQTTAddr().String(), trust)
	old.send("before")

	renewed := write()
	e.Reload()
	var offered *x509.Certificate
	s.connect("pump2", e.MQTTAddr().String(), func(o *paho.ClientOptions) {
		trust(o)
		o.TLSConfig.VerifyConnection = func(state tls.ConnectionState) error {
			offered = state.PeerCertificates[0]
			return nil
		}
	}).send("new")
	if !renewed.Equal(offered) {
		t.Error("a new connection was offered the old certificate")
	}
	old.send("after")
	s.expect([]string{"before", "new", "after"})
}

// probe returns a function that connects to the hub as the gateway does.
func (e *Edge) probe(t *testing.T) func() error {
	id := iot.ModuleIdentity(e.cfg.Device.Device, iot.EdgeHubModule)
	token, err := sas.Sign(e.cfg.DeviceKey, sas.Resource{Host: e.cfg.HubHostName, Identity: id}, "", time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return func() error {
		_, err := e.parent.InScope(t.Context(), iot.Credentials{Identity: id, Token: token}, "")
		return err
	}
}

func TestCountsAreLoggedWhenTheyChange(t *testing.T) {
	s := newSite(t, "pump1")
	e := s.open(nil)
	defer e.Close() //nolint:errcheck // the end of the test
	var log bytes.Buffer
	e.log = slog.New(slog.NewTextHandler(&log, nil))
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); e.report(ctx) }()
		time.Sleep(10 * reportEvery)
		synctest.Wait()
		e.gateway.Counts().Received.Add(7)
		time.Sleep(10 * reportEvery)
		stop()
		<-done
	})
	if n := strings.Count(log.String(), "received=7"); n != 1 || strings.Count(log.String(), "\n") != 1 {
		t.Errorf("want one line:\n%s", log.String())
	}
}
