package mqtt_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"sluice/mqtt"
	"sluice/mqtt/mqttmem"
)

// serve runs a server on loopback until the test ends.
func serve(t testing.TB, s *mqtt.Server) net.Addr {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveListener(t, s, l)
}

func serveListener(t testing.TB, s *mqtt.Server, l net.Listener) net.Addr {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return l.Addr()
}

// certificate makes a self-signed certificate for 127.0.0.1.
func certificate(t testing.TB) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "test"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	server = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	return server, &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"}
}

func pahoConnect(t *testing.T, options *paho.ClientOptions) paho.Client {
	t.Helper()
	c := paho.NewClient(options.SetConnectTimeout(5 * time.Second).SetAutoReconnect(false))
	wait(t, "connect", c.Connect())
	t.Cleanup(func() { c.Disconnect(100) })
	return c
}

func wait(t *testing.T, what string, token paho.Token) {
	t.Helper()
	if !token.WaitTimeout(time.Minute) {
		t.Fatalf("%s: no answer", what)
	}
	if err := token.Error(); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func TestPahoExchangesMessages(t *testing.T) {
	serverTLS, clientTLS := certificate(t)
	for _, tt := range []struct {
		name   string
		start  func(t *testing.T) (net.Addr, string)
		client *tls.Config
	}{
		{"TCP", func(t *testing.T) (net.Addr, string) {
			return serve(t, &mqtt.Server{Backend: new(mqttmem.Broker)}), "tcp"
		}, nil},
		{"TLS by the engine", func(t *testing.T) (net.Addr, string) {
			return serve(t, &mqtt.Server{Backend: new(mqttmem.Broker), TLS: serverTLS}), "ssl"
		}, clientTLS},
		{"TLS by the listener", func(t *testing.T) (net.Addr, string) {
			l, err := tls.Listen("tcp", "127.0.0.1:0", serverTLS)
			if err != nil {
				t.Fatal(err)
			}
			return serveListener(t, &mqtt.Server{Backend: new(mqttmem.Broker)}, l), "ssl"
		}, clientTLS},
	} {
		t.Run(tt.name, func(t *testing.T) {
			addr, scheme := tt.start(t)
			options := func(id string) *paho.ClientOptions {
				return paho.NewClientOptions().AddBroker(fmt.Sprintf("%s://%s", scheme, addr)).
					SetClientID(id).SetTLSConfig(tt.client).SetOrderMatters(true)
			}
			exchange(t, pahoConnect(t, options("publisher")), pahoConnect(t, options("subscriber")))
		})
	}
}

// exchange sends messages of many sizes and wants all of them in order.
func exchange(t *testing.T, from, to paho.Client) {
	const n = 500
	received := make(chan paho.Message, n)
	wait(t, "subscribe", to.Subscribe("a/+/c", 1, func(_ paho.Client, m paho.Message) { received <- m }))
	size := func(i int) int { return i * i % 70000 }
	var tokens []paho.Token
	for i := range n {
		payload := make([]byte, size(i))
		tokens = append(tokens, from.Publish(fmt.Sprintf("a/%d/c", i), 1, false, payload))
	}
	for i, token := range tokens {
		wait(t, fmt.Sprintf("publish %d", i), token)
	}
	for i := range n {
		select {
		case m := <-received:
			if m.Topic() != fmt.Sprintf("a/%d/c", i) || len(m.Payload()) != size(i) {
				t.Fatalf("message %d is %s with %d bytes", i, m.Topic(), len(m.Payload()))
			}
		case <-time.After(time.Minute):
			t.Fatalf("message %d did not come", i)
		}
	}
}
