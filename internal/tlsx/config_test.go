package tlsx

import (
	"crypto/tls"
	"io"
	"net"
	"testing"
	"time"
)

func TestS1_OldProtocolsAndPlaintextAreRefused(t *testing.T) {
	l := Listen(listen(t), Limits{}, nil)
	echo(t, l, ServerConfig(NewCertificate(newPair(t, "one").tls(t))))
	for _, tt := range []struct {
		name    string
		version uint16
	}{{"TLS 1.0", tls.VersionTLS10}, {"TLS 1.1", tls.VersionTLS11}} {
		config := anyServer()
		config.MinVersion, config.MaxVersion = tt.version, tt.version
		if c, err := tls.Dial("tcp", l.Addr().String(), config); err == nil {
			_ = c.Close()
			t.Errorf("%s was accepted", tt.name)
		}
	}
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	_, _ = c.Write([]byte("\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04abcd"))
	if _, err := io.ReadAll(c); isTimeout(err) {
		t.Error("plaintext was not answered by closing the connection")
	}
}

func isTimeout(err error) bool {
	ne, ok := err.(net.Error)
	return ok && ne.Timeout()
}

func TestClientsThatAreServed(t *testing.T) {
	client := newPair(t, "device1").tls(t)
	l := listen(t)
	config := ServerConfig(NewCertificate(newPair(t, "one").tls(t)))
	states := make(chan tls.ConnectionState, 1)
	config.VerifyConnection = func(s tls.ConnectionState) error { states <- s; return nil }
	echo(t, Listen(l, Limits{}, nil), config)
	for _, tt := range []struct {
		name   string
		config *tls.Config
		certs  int
	}{
		{"without a server name", anyServer(), 0},
		{"another server name", &tls.Config{ServerName: "other.test", InsecureSkipVerify: true}, 0},
		{"TLS 1.2", &tls.Config{MaxVersion: tls.VersionTLS12, InsecureSkipVerify: true}, 0},
		{"a certificate that nobody signed", &tls.Config{Certificates: []tls.Certificate{client}, InsecureSkipVerify: true}, 1},
		{"the same over TLS 1.2", &tls.Config{Certificates: []tls.Certificate{client}, MaxVersion: tls.VersionTLS12, InsecureSkipVerify: true}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ping(t, dial(t, l.Addr(), tt.config))
			if s := <-states; len(s.PeerCertificates) != tt.certs {
				t.Errorf("%d certificates, want %d", len(s.PeerCertificates), tt.certs)
			}
		})
	}
}
