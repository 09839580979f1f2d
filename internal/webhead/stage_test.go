package webhead

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/internal/iottest"
	"sluice/iot"
)

// identity is a key with a certificate for both ends of TLS.
var identity = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})

// A stage is a head on a fake hub that Serve serves, on pipes.
type stage struct {
	t      testing.TB
	hub    *iottest.Hub
	head   *Head
	pipes  pipes
	cancel context.CancelFunc
	served chan error
}

// newHub returns a hub that believes certificates, and tokens that begin with "token".
func newHub() *iottest.Hub {
	h := iottest.NewHub()
	h.Judge = func(_ context.Context, creds iot.Credentials) error {
		if creds.Token != "" && !strings.HasPrefix(creds.Token, "token") {
			return iot.Errorf(iot.Unauthorized, "connect", creds.Identity, "the signature is wrong; this is secret")
		}
		return nil
	}
	return h
}

func newStage(t testing.TB, opt Options) *stage { return newStageOn(t, newHub(), opt) }

func newStageOn(t testing.TB, hub *iottest.Hub, opt Options) *stage {
	s := &stage{t: t, hub: hub, pipes: newPipes(), served: make(chan error, 1)}
	s.head = New(s.hub, opt)
	var ctx context.Context
	ctx, s.cancel = context.WithCancel(context.Background())
	config := &tls.Config{Certificates: []tls.Certificate{identity()}, ClientAuth: tls.RequestClientCert}
	go func() { s.served <- Serve(ctx, s.pipes, s.head, ServeOptions{TLS: config}) }()
	return s
}

// Stop ends everything; clients must have gone or will be cut off.
func (s *stage) Stop() {
	s.cancel()
	if err := <-s.served; err != nil {
		s.t.Error(err)
	}
	if err := s.head.Close(); err != nil {
		s.t.Error(err)
	}
}

// dial connects a client, which shows certificates if it has any.
func (s *stage) dial(certificates ...tls.Certificate) *tls.Conn {
	near, far := net.Pipe()
	s.pipes.accept <- far
	return tls.Client(near, &tls.Config{InsecureSkipVerify: true, Certificates: certificates}) //nolint:gosec // a pipe
}

// ask sends a request as it stands and returns all that comes until the connection
// closes or the time is over.
func (s *stage) ask(raw string, within time.Duration) string {
	c := s.dial()
	defer c.NetConn().Close() //nolint:errcheck // a pipe
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = io.WriteString(c, raw) }) // the server may close before
	_ = c.SetReadDeadline(time.Now().Add(within))   // never fails
	var got bytes.Buffer
	_, _ = io.Copy(&got, c) // the end is the answer
	_ = c.NetConn().Close()
	wg.Wait()
	return got.String()
}

// pipes is a listener in memory.
type pipes struct {
	accept chan net.Conn
	closed chan struct{}
	once   *sync.Once
}

func newPipes() pipes {
	return pipes{make(chan net.Conn), make(chan struct{}), new(sync.Once)}
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.accept:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p pipes) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }
