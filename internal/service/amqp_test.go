package service_test

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"sluice/internal/hub"
	"sluice/internal/hub/code"
	"sluice/internal/hub/host"
	"sluice/internal/hub/storage"
	"sluice/internal/sas"
	"sluice/internal/service"
	"sluice/iot"
)

// name is the one that the certificate of httptest is for.
const name = "example.com"

// azureLike is a hub that takes commands over AMQP alone, and a client of it.
func azureLike(t *testing.T) (*service.Client, *host.Host) {
	t.Helper()
	h, err := host.Open(host.Config{Dir: t.TempDir(), HostName: name, Address: "127.0.0.1", MQTTPort: -1, AMQPPort: -1, HTTPSPort: -1})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	web := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(func() {
		web.Close()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	roots := x509.NewCertPool()
	roots.AddCert(web.Certificate())
	roots.AppendCertsFromPEM(h.RootPEM())
	p, _ := h.Registry().Policy(storage.ServicePolicy)
	c, err := service.New(sas.ConnectionString{HostName: name, PolicyName: p.Name, Key: p.Primary}, service.Options{
		Roots: roots, Address: "127.0.0.1", Port: web.Listener.Addr().(*net.TCPAddr).Port, AMQPPort: h.AMQPAddr().(*net.TCPAddr).Port,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, h
}

func TestCommandsGoOverAMQPWhereHTTPSDoesNotTakeThem(t *testing.T) {
	c, h := azureLike(t)
	var e storage.Entry
	e.Identity, e.Enabled = iot.DeviceIdentity("pump+7"), true
	made, err := h.Registry().Create(e)
	if err != nil {
		t.Fatal(err)
	}
	m := iot.Message{Body: []byte("open"), Properties: iot.Properties{{Key: "Urgent", Value: "ja – ü"}}}
	expiry := time.Now().Add(time.Hour).UTC().Truncate(time.Millisecond)
	for name, value := range map[iot.SystemName]string{
		iot.MessageID: "m1", iot.CorrelationID: "c1", iot.UserID: "me", iot.ContentType: "text/plain",
		iot.ContentEncoding: "utf-8", iot.Ack: "full", iot.ExpiryTime: expiry.Format(time.RFC3339Nano),
	} {
		m.System.Set(name, value)
	}
	if err := c.SendCommand(t.Context(), e.Identity, m); err != nil {
		t.Fatal(err)
	}

	token, err := sas.Sign(made[0].Auth.PrimaryKey, sas.Resource{Host: name, Identity: e.Identity}, "", time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	s, err := h.Hub().Connect(t.Context(), iot.Credentials{Identity: e.Identity, Token: token}, iot.Client{})
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan iot.Delivery, 1)
	sub, err := s.Commands(func(d iot.Delivery) { got <- d })
	if err != nil {
		t.Fatal(err)
	}
	sub.Grant(1)
	select {
	case d := <-got:
		if string(d.Message.Body) != "open" || !d.Message.Expiry().Equal(expiry) {
			t.Errorf("the device gets %q until %v, want it until %v", d.Message.Body, d.Message.Expiry(), expiry)
		}
		if v, _ := d.Message.Properties.Get("Urgent"); v != "ja – ü" {
			t.Errorf("the property is %q", v)
		}
		for name, want := range map[iot.SystemName]string{
			iot.MessageID: "m1", iot.CorrelationID: "c1", iot.UserID: "me", iot.ContentType: "text/plain",
			iot.ContentEncoding: "utf-8", iot.Ack: "full",
		} {
			if v := d.Message.System.Get(name); v != want {
				t.Errorf("%v is %q, want %q", name, v, want)
			}
		}
	case <-time.After(time.Minute):
		t.Fatal("the device gets nothing")
	}
}

func TestRefusalsOverAMQPAreThoseOfHTTPS(t *testing.T) {
	c, h := azureLike(t)
	var e storage.Entry
	e.Identity, e.Enabled = iot.DeviceIdentity("pump"), true
	if _, err := h.Registry().Create(e); err != nil {
		t.Fatal(err)
	}
	err := c.SendCommand(t.Context(), iot.DeviceIdentity("nobody"), iot.Message{})
	if !errors.Is(err, code.DeviceNotFound) || !strings.Contains(err.Error(), "device 'nobody' is not registered") {
		t.Errorf("a command for nobody: %v", err)
	}
	for range 50 {
		if err := h.Hub().(*hub.Hub).SendCommand(e.Identity, iot.Message{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.SendCommand(t.Context(), e.Identity, iot.Message{}); !errors.Is(err, code.QueueDepthExceeded) {
		t.Errorf("one too many: %v", err)
	}
	p, _ := h.Registry().Policy(storage.ServicePolicy)
	var bad iot.Message
	bad.System.Set(iot.Ack, "maybe")
	if err := c.SendCommand(t.Context(), e.Identity, bad); !errors.Is(err, code.ArgumentInvalid) {
		t.Errorf("a wrong ack, as %s: %v", p.Name, err)
	}
}
