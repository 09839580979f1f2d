package amqp10

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sluice/amqp10/internal/frame"
	"sluice/amqp10/internal/wire"
)

// ada lets in one user, by PLAIN.
var ada = Plain(func(_ context.Context, _ *Conn, k Credentials) (any, error) {
	switch {
	case k.User == "slow":
		return nil, fmt.Errorf("the registry is away: %w", ErrTryLater)
	case k.User != "ada" || k.Password != "pa:ss=wörd&" || k.AuthorizationID != "":
		return nil, errors.New("unknown")
	}
	return k.User, nil
})

func initFrame(in frame.Init) frames { return func(w *wire.Encoder) { in.Append(w) } }

func TestA10_SASL(t *testing.T) {
	plain := func(response string) frame.Init {
		return frame.Init{Mechanism: MechanismPlain, Response: []byte(response)}
	}
	for name, tt := range map[string]struct {
		init frame.Init
		want string
	}{
		"A10 right":                    {plain("\x00ada\x00pa:ss=wörd&"), "sasl-outcome code=0"},
		"A10 wrong password":           {plain("\x00ada\x00nope"), "sasl-outcome code=1"},
		"A10 on behalf of another":     {plain("root\x00ada\x00pa:ss=wörd&"), "sasl-outcome code=1"},
		"A10 no user":                  {plain("\x00\x00"), "sasl-outcome code=1"},
		"A10 malformed":                {plain("ada"), "sasl-outcome code=1"},
		"A10 later":                    {plain("\x00slow\x00x"), "sasl-outcome code=4"},
		"A10 a mechanism not offered":  {frame.Init{Mechanism: "SCRAM-SHA-256"}, "sasl-outcome code=1"},
		"A10 EXTERNAL without TLS":     {frame.Init{Mechanism: MechanismExternal, Response: []byte("ada")}, "sasl-outcome code=1"},
		"A10 anonymous":                {frame.Init{Mechanism: MechanismAnonymous}, "sasl-outcome code=0"},
		"A10 claims":                   {frame.Init{Mechanism: MechanismMSSBCBS, Response: []byte{}}, "sasl-outcome code=0"},
		"A10 a token of 12 KiB is let": {plain("\x00ada\x00" + strings.Repeat("x", 12<<10)), "sasl-outcome code=1"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &Server{Mechanisms: []*Mechanism{ada, Anonymous(nil), MSSBCBS(nil), External(nil)}}
			scripted(t, s, acceptAll(nil), func(p *script) {
				p.header(frame.ProtoSASL)
				p.wantHeader(frame.ProtoSASL)
				p.want("sasl-mechanisms sasl-server-mechanisms=<:PLAIN :ANONYMOUS :MSSBCBS>")
				p.send(initFrame(tt.init))
				p.want(tt.want)
				if strings.HasSuffix(tt.want, "0") {
					p.opened()
					return
				}
				p.wantEOF()
				var refused *AuthError
				if err := p.end(); !errors.As(err, &refused) || refused.Temporary != strings.HasSuffix(tt.want, "4") {
					t.Errorf("ended with %v", err)
				}
			})
		})
	}
}

func TestA10_NothingIsServedBeforeTheVerdict(t *testing.T) {
	start := func(p *script) {
		p.header(frame.ProtoSASL)
		p.wantHeader(frame.ProtoSASL)
		p.want("sasl-mechanisms")
	}
	for name, f := range map[string]frames{
		"A10 open for an init":     open(nil),
		"A10 response for an init": func(w *wire.Encoder) { frame.AppendStep(w, frame.CodeResponse, []byte("x")) },
		"A10 empty init":           raw(0, 0, 0, 12, 2, 1, 0, 0, 0, 0x53, frame.CodeInit, 0x45),
		"A10 a frame of 1 MB":      raw(0, 0x10, 0, 0, 2, 1, 0, 0),
		"A10 heartbeat":            raw(0, 0, 0, 8, 2, 1, 0, 0),
	} {
		t.Run(name, func(t *testing.T) {
			scripted(t, &Server{Mechanisms: []*Mechanism{ada}}, nil, func(p *script) {
				start(p)
				p.send(f)
				p.wantEOF()
			})
		})
	}
	t.Run("A10 SASL left out", func(t *testing.T) {
		scripted(t, &Server{Mechanisms: []*Mechanism{ada}}, nil, func(p *script) {
			p.header(frame.ProtoAMQP)
			p.wantHeader(frame.ProtoSASL)
			p.wantEOF()
		})
	})
	t.Run("A10 SASL again after SASL", func(t *testing.T) {
		scripted(t, &Server{Mechanisms: []*Mechanism{Anonymous(nil)}}, nil, func(p *script) {
			start(p)
			p.send(initFrame(frame.Init{Mechanism: MechanismAnonymous}))
			p.want("sasl-outcome code=0")
			p.header(frame.ProtoSASL)
			p.wantHeader(frame.ProtoAMQP)
			p.wantEOF()
		})
	})
	t.Run("A10 SASL left out, judged by Direct", func(t *testing.T) {
		direct := Anonymous(func(context.Context, *Conn) (any, error) { return "by address", nil })
		var got any
		s := &Server{Mechanisms: []*Mechanism{ada}, Direct: direct}
		s.Open = func(c *Conn) (Handler, error) { got = c.Identity(); return acceptAll(nil), nil }
		scripted(t, s, nil, func(p *script) {
			p.opened()
			if got != "by address" {
				t.Errorf("identity %v", got)
			}
		})
	})
}

func TestPlainWithoutAnInitialResponseIsAskedFor(t *testing.T) {
	scripted(t, &Server{Mechanisms: []*Mechanism{ada}}, acceptAll(nil), func(p *script) {
		p.header(frame.ProtoSASL)
		p.wantHeader(frame.ProtoSASL)
		p.want("sasl-mechanisms")
		p.send(initFrame(frame.Init{Mechanism: MechanismPlain}))
		p.want("sasl-challenge")
		p.send(func(w *wire.Encoder) { frame.AppendStep(w, frame.CodeResponse, []byte("\x00ada\x00pa:ss=wörd&")) })
		p.want("sasl-outcome code=0")
		p.opened()
	})
}

func TestClientsLogIn(t *testing.T) {
	for name, tt := range map[string]struct {
		login    *Login
		identity any
		refused  bool
	}{
		"plain":     {LoginPlain(Credentials{User: "ada", Password: "pa:ss=wörd&"}), "ada", false},
		"wrong":     {LoginPlain(Credentials{User: "ada", Password: "x"}), nil, true},
		"anonymous": {LoginAnonymous(), nil, false},
		"claims":    {LoginMSSBCBS(), nil, false},
		"external":  {LoginExternal(""), nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ours, theirs := net.Pipe()
				ended := make(chan error, 1)
				var identity any
				s := &Server{Mechanisms: []*Mechanism{ada, Anonymous(nil), MSSBCBS(nil)}}
				s.Open = func(c *Conn) (Handler, error) { identity = c.Identity(); return acceptAll(nil), nil }
				go func() { ended <- s.ServeConn(context.Background(), ours) }()
				c, err := NewConn(t.Context(), theirs, ClientConfig{Login: tt.login})
				var refused *AuthError
				if errors.As(err, &refused) != tt.refused {
					t.Fatalf("NewConn = %v", err)
				}
				if err == nil {
					_ = c.Close(t.Context())
				}
				<-ended
				if identity != tt.identity {
					t.Errorf("identity %v, want %v", identity, tt.identity)
				}
			})
		})
	}
}

// certificate returns a self-signed certificate for both ends.
func certificate(t testing.TB) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, pool
}

func TestExternalOverTLS(t *testing.T) {
	cert, pool := certificate(t)
	external := External(func(_ context.Context, c *Conn) (any, error) {
		return c.TLS().PeerCertificates[0].SerialNumber.Int64(), nil
	})
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequestClientCert})
	if err != nil {
		t.Fatal(err)
	}
	identities := make(chan any, 1)
	s := &Server{Mechanisms: []*Mechanism{external}}
	s.Open = func(c *Conn) (Handler, error) { identities <- c.Identity(); return acceptAll(nil), nil }
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, l) }()
	c, err := Dial(soon(t), l.Addr().String(), ClientConfig{Login: LoginExternal(""),
		TLS: &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{cert}}})
	if err != nil {
		t.Fatal(err)
	}
	if got := <-identities; got != int64(1) {
		t.Errorf("identity %v", got)
	}
	cancel()
	<-c.Done()
	if err := c.Err(); !errors.Is(err, &Error{Condition: ErrConnectionForced}) {
		t.Errorf("the client's connection ended with %v", err)
	}
	if err := <-served; !errors.Is(err, context.Canceled) {
		t.Errorf("Serve = %v", err)
	}
}
