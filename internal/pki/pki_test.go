package pki

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// must takes the value of a call that cannot fail here.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// A site is one of everything.
type site struct {
	root, mid, edge *Authority
	server, device  *Pair
}

func newSite() site {
	var s site
	s.root = must(NewRoot("Site root", Options{}))
	s.mid = must(s.root.Intermediate("Site intermediate", Options{}))
	s.edge = must(s.mid.Intermediate("gw edge CA", Options{NoAuthorities: true}))
	s.server = must(s.edge.Server([]string{"gw.local", "127.0.0.1"}, Options{}))
	s.device = must(s.mid.Device("pump-7", Options{}))
	return s
}

// at is a clock that stands still.
func at(t time.Time) func() time.Time { return func() time.Time { return t } }

func TestS1_AServerAndADeviceOfASiteShakeHandsWithTheRootAlone(t *testing.T) {
	s := newSite()
	roots := x509.NewCertPool()
	roots.AddCert(s.root.Root())
	for _, name := range []string{"gw.local", "127.0.0.1"} {
		server := &tls.Config{Certificates: []tls.Certificate{s.server.TLS()}, ClientCAs: roots, ClientAuth: tls.RequireAndVerifyClientCert}
		client := &tls.Config{Certificates: []tls.Certificate{s.device.TLS()}, RootCAs: roots, ServerName: name}
		serverErr, clientErr := shakeHands(t, server, client)
		if serverErr != nil || clientErr != nil {
			t.Errorf("%s: server %v, client %v", name, serverErr, clientErr)
		}
	}
}

func shakeHands(t *testing.T, server, client *tls.Config) (serverErr, clientErr error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	done := make(chan error, 1)
	go func() {
		conn, err := ln.Accept()
		if err == nil {
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
			err = tls.Server(conn, server).HandshakeContext(t.Context())
		}
		done <- err
	}()
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	clientErr = tls.Client(conn, client).HandshakeContext(t.Context())
	return <-done, clientErr
}

func TestProfilesAreWhatStrictVerifiersWant(t *testing.T) {
	s := newSite()
	self := must(SelfSigned("pump-8", Options{}))
	const ca = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	tests := []struct {
		name  string
		cert  *x509.Certificate
		by    *x509.Certificate
		usage x509.KeyUsage
		ext   []x509.ExtKeyUsage
		path  int // -1 for no limit
	}{
		{"root", s.root.Certificate(), s.root.Certificate(), ca, nil, -1},
		{"intermediate", s.mid.Certificate(), s.root.Certificate(), ca, nil, -1},
		{"edge CA", s.edge.Certificate(), s.mid.Certificate(), ca, nil, 0},
		{"server", s.server.Leaf(), s.edge.Certificate(), x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, -1},
		{"device", s.device.Leaf(), s.mid.Certificate(), x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, -1},
		{"self-signed", self.Leaf(), self.Leaf(), x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, -1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := tt.cert
			if !c.BasicConstraintsValid || c.IsCA != (tt.usage == ca) || c.MaxPathLen != tt.path {
				t.Errorf("basic constraints valid %v, CA %v, path length %d", c.BasicConstraintsValid, c.IsCA, c.MaxPathLen)
			}
			if c.KeyUsage != tt.usage || !slices.Equal(c.ExtKeyUsage, tt.ext) {
				t.Errorf("key usage %b, extended %v", c.KeyUsage, c.ExtKeyUsage)
			}
			if len(c.SubjectKeyId) != 20 || !bytes.Equal(c.AuthorityKeyId, tt.by.SubjectKeyId) {
				t.Errorf("key identifier %x below %x, want below %x", c.SubjectKeyId, c.AuthorityKeyId, tt.by.SubjectKeyId)
			}
			if c.NotBefore.Before(tt.by.NotBefore) || c.NotAfter.After(tt.by.NotAfter) {
				t.Errorf("lives from %v to %v, beyond its issuer", c.NotBefore, c.NotAfter)
			}
			if early := time.Since(c.NotBefore); early < Backdate || early > Backdate+time.Minute {
				t.Errorf("begins %v ago, want an hour, for clocks that are late", early)
			}
		})
	}
}

func TestSerialNumbersAre128BitsAndNeverTheSame(t *testing.T) {
	root := must(NewRoot("Site root", Options{}))
	seen, longest := map[string]bool{}, 0
	for range 20 {
		n := must(root.Device("pump-7", Options{})).Leaf().SerialNumber
		longest = max(longest, n.BitLen())
		if seen[n.String()] || n.Sign() <= 0 || n.BitLen() > 128 {
			t.Fatalf("serial number %v", n)
		}
		seen[n.String()] = true
	}
	if longest < 120 {
		t.Errorf("the longest of 20 serial numbers has %d bits", longest)
	}
}

func TestEveryKeyTypeSignsAndIsReadAgain(t *testing.T) {
	for k := P256; k <= RSA4096; k++ {
		if testing.Short() && k > RSA2048 {
			continue // seconds each
		}
		t.Run(k.String(), func(t *testing.T) {
			root := must(NewRoot("Site root", Options{Key: k}))
			p := must(root.Server([]string{"gw"}, Options{Key: k}))
			if found := Verify(p.Chain, Question{Roots: root.Chain(), Host: "gw", Key: must(ParseKey(must(p.KeyPEM())))}); found != nil {
				t.Error(found)
			}
			if got, known := KeyTypeOf(p.Leaf().PublicKey); got != k || !known {
				t.Errorf("KeyTypeOf = %v, %v", got, known)
			}
			if got, err := ParseKeyType(strings.ToUpper(k.String())); got != k || err != nil {
				t.Errorf("ParseKeyType = %v, %v", got, err)
			}
			rsa := p.Leaf().KeyUsage&x509.KeyUsageKeyEncipherment != 0
			if rsa != (k >= RSA2048) {
				t.Errorf("key encipherment %v", rsa)
			}
		})
	}
	if _, err := ParseKeyType("dsa"); err == nil || !strings.Contains(err.Error(), "rsa3072") {
		t.Errorf("ParseKeyType(dsa): %v", err)
	}
}

func TestAChildNeverOutlivesAnyoneAboveIt(t *testing.T) {
	root := must(NewRoot("Site root", Options{Valid: 48 * time.Hour}))
	mid := must(root.Intermediate("mid", Options{}))
	p := must(mid.Server([]string{"gw"}, Options{Valid: 1000 * time.Hour}))
	if !p.Leaf().NotAfter.Equal(root.Certificate().NotAfter) {
		t.Errorf("ends %v, and the root %v", p.Leaf().NotAfter, root.Certificate().NotAfter)
	}
	short := must(mid.Device("pump-7", Options{Valid: 5 * time.Minute}))
	if left := time.Until(short.Leaf().NotAfter); left > 5*time.Minute || left < 4*time.Minute {
		t.Errorf("%v left of five minutes", left)
	}
}

func TestNamesOfServersStandWhereClientsLook(t *testing.T) {
	root := must(NewRoot("Site root", Options{}))
	long := strings.Repeat("a.", 40) + "example"
	tests := []struct {
		name  string
		names []string
		want  []string
		cn    string
	}{
		{"name and address", []string{"GW.local", "10.0.0.7"}, []string{"gw.local", "10.0.0.7"}, "gw.local"},
		{"an address first", []string{"10.0.0.7", "gw"}, []string{"gw", "10.0.0.7"}, "10.0.0.7"},
		{"IPv6 in brackets, and mapped IPv4", []string{"[2001:db8::1]", "::ffff:10.0.0.7"}, []string{"2001:db8::1", "10.0.0.7"}, "2001:db8::1"},
		{"twice the same", []string{"gw", "GW", "gw.", "10.0.0.7", "10.0.0.7"}, []string{"gw", "10.0.0.7"}, "gw"},
		{"wildcard and underscore", []string{"*.plant_4.local"}, []string{"*.plant_4.local"}, "*.plant_4.local"},
		{"longer than a common name", []string{long}, []string{long}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := root.Server(tt.names, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, ServerNames(p.Leaf())); diff != "" {
				t.Error(diff)
			}
			if cn := p.Leaf().Subject.CommonName; cn != tt.cn {
				t.Errorf("common name %q, want %q", cn, tt.cn)
			}
			for _, name := range tt.want {
				if found := Verify(p.Chain, Question{Roots: root.Chain(), Host: strings.Replace(name, "*", "x", 1)}); found != nil {
					t.Error(found)
				}
			}
		})
	}
}

func TestThumbprintsAreThoseOfIoTHub(t *testing.T) {
	c := &x509.Certificate{Raw: []byte("abc")}
	short, long := Thumbprints(c)
	if short != "A9993E364706816ABA3E25717850C26C9CD0D89D" ||
		long != "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD" {
		t.Errorf("Thumbprints = %s, %s", short, long)
	}
}

func TestSubjectsTakeWhatTheOptionsSay(t *testing.T) {
	root := must(NewRoot("Site root", Options{Organization: "Plant 4"}))
	p := must(root.Server([]string{"gw"}, Options{CommonName: "The gateway", Organization: "Plant 4"}))
	if got := p.Leaf().Subject.String(); got != "CN=The gateway,O=Plant 4" {
		t.Errorf("subject %s", got)
	}
	long := strings.Repeat("x", 128)
	if got := must(SelfSigned(long, Options{})).Leaf().Subject.CommonName; got != long[:64] {
		t.Errorf("common name of %d characters", len(got))
	}
}

func TestSpan(t *testing.T) {
	const day = 24 * time.Hour
	tests := map[time.Duration]string{
		30 * time.Second:             "30 seconds",
		3 * time.Minute:              "3 minutes",
		5*time.Hour + time.Second:    "5 hours",
		47 * time.Hour:               "2 days",
		365 * day:                    "365 days",
		10*365*day - 3*time.Second:   "10 years",
		3*365*day - 200*day:          "895 days",
		30*day - 10*time.Millisecond: "30 days",
	}
	for d, want := range tests {
		if got := Span(d); got != want {
			t.Errorf("Span(%v) = %q, want %q", d, got, want)
		}
	}
}

func BenchmarkDevice(b *testing.B) {
	root := must(NewRoot("Site root", Options{}))
	b.ReportAllocs()
	for b.Loop() {
		must(root.Device("pump-7", Options{}))
	}
}

func BenchmarkVerify(b *testing.B) {
	s := newSite()
	q := Question{Roots: s.root.Chain(), Host: "gw.local"}
	b.ReportAllocs()
	for b.Loop() {
		if found := Verify(s.server.Chain, q); found != nil {
			b.Fatal(found)
		}
	}
}
