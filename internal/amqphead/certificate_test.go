package amqphead_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"testing"

	"sluice/amqp10"
	"sluice/internal/amqphead"
	"sluice/internal/iottest"
	"sluice/internal/pki"
	"sluice/iot"
)

// A client certificate proves whoever it is that a link names, if the hub agrees:
// after SASL EXTERNAL, ANONYMOUS, or none.
func TestCertificatesProveTheIdentityOfALink(t *testing.T) {
	root, err := pki.NewRoot("root", pki.Options{})
	if err != nil {
		t.Fatal(err)
	}
	server, err := root.Server([]string{"hub"}, pki.Options{})
	if err != nil {
		t.Fatal(err)
	}
	device, err := root.Device("dev1", pki.Options{})
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(root.Root())
	hub := iottest.NewHub()
	hub.Judge = func(_ context.Context, c iot.Credentials) error {
		if len(c.Certificates) == 0 || c.Certificates[0].Subject.CommonName != c.Identity.Device {
			return iot.Errorf(iot.Unauthorized, "connect", c.Identity, "not its certificate")
		}
		return nil
	}
	head := amqphead.New(hub, amqphead.Options{}).Server()
	for name, login := range map[string]*amqp10.Login{
		"EXTERNAL": amqp10.LoginExternal(""), "ANONYMOUS": amqp10.LoginAnonymous(), "no SASL": nil,
	} {
		t.Run(name, func(t *testing.T) {
			near, far := tcpPair(t) // in a pipe, the alerts of TLS block
			done := make(chan struct{})
			go func() {
				defer close(done)
				_ = head.ServeConn(t.Context(), tls.Server(far, &tls.Config{
					Certificates: []tls.Certificate{server.TLS()}, ClientAuth: tls.RequestClientCert,
				}))
			}()
			defer func() { <-done }()
			conn, err := amqp10.NewConn(t.Context(), tls.Client(near, &tls.Config{
				Certificates: []tls.Certificate{device.TLS()}, RootCAs: roots, ServerName: "hub",
			}), amqp10.ClientConfig{Login: login})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close(context.Background()) }()
			sess, err := conn.NewSession(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			d := &desk{t: t, sess: sess}
			if !d.attach(amqp10.RoleSender, "/devices/dev1/messages/events", "") {
				t.Error("its own link was refused")
			}
			for _, other := range []string{"/devices/dev2/messages/events", "/devices/DEV1/messages/events"} {
				if d.attach(amqp10.RoleSender, other, "") {
					t.Errorf("%s was opened", other)
				}
			}
			if d.attach(amqp10.RoleSender, "/devices/dev1/messages/events", "dev1;gw") {
				t.Error("a chain was believed to a certificate")
			}
		})
	}
}

func tcpPair(t *testing.T) (near, far net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if near, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if far, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return near, far
}

// EXTERNAL is not offered to who has no certificate.
func TestNoCertificateNoExternal(t *testing.T) {
	near, far := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = amqphead.New(iottest.NewHub(), amqphead.Options{}).Server().ServeConn(t.Context(), far)
	}()
	if _, err := amqp10.NewConn(t.Context(), near, amqp10.ClientConfig{Login: amqp10.LoginExternal("")}); err == nil {
		t.Error("the client was let in")
	}
	<-done
}
