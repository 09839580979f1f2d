package pki

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"slices"
	"strings"
	"testing"
	"time"
)

// cutPath takes the path length's place: the edge CA signs another authority all
// the same, as other tools do.
func cutPath(t *testing.T, s site) *Pair {
	below := signAny(t, s.edge, func(c *x509.Certificate) { c.Subject.CommonName = "too deep" })
	a := &Authority{chain: below.Chain, key: below.Key}
	return must(a.Server([]string{"gw.local"}, Options{}))
}

func TestVerifySaysEveryReason(t *testing.T) {
	s := newSite()
	roots := s.root.Chain()
	chain := s.server.Chain
	stranger := must(NewRoot("Stranger", Options{}))
	namesake := must(NewRoot("Site root", Options{}))
	self := must(SelfSigned("gw.local", Options{}))
	day := func(n int) time.Time { return time.Now().AddDate(0, 0, n) }
	host := Question{Roots: roots, Host: "gw.local"}
	with := func(change func(q *Question)) Question { q := host; change(&q); return q }
	byDevice := &Authority{chain: s.device.Chain, key: s.device.Key}
	belowDevice := must(byDevice.issue(&x509.Certificate{DNSNames: []string{"gw.local"}, Subject: s.server.Leaf().Subject}, time.Hour, Options{}))
	clientCA := signAny(t, s.root, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })
	belowClientCA := must((&Authority{chain: clientCA.Chain, key: clientCA.Key}).Server([]string{"gw.local"}, Options{}))
	cnOnly := must(s.edge.issue(&x509.Certificate{Subject: s.server.Leaf().Subject, EmailAddresses: []string{"a@b"}}, time.Hour, Options{}))
	noNames := must(s.edge.issue(&x509.Certificate{Subject: s.edge.Certificate().Issuer, URIs: nil}, time.Hour, Options{CommonName: "nobody"}))
	odd := must(s.edge.issue(&x509.Certificate{Subject: s.server.Leaf().Subject, DNSNames: []string{"gw.local"},
		UnknownExtKeyUsage: []asn1.ObjectIdentifier{{1, 2, 3}}}, time.Hour, Options{}))
	constrained := signAny(t, s.root, func(c *x509.Certificate) {
		c.PermittedDNSDomains, c.PermittedDNSDomainsCritical = []string{"example.com"}, true
	})
	outside := must((&Authority{chain: constrained.Chain, key: constrained.Key}).Server([]string{"gw.local"}, Options{}))
	caDevice := signAny(t, s.root, func(c *x509.Certificate) { c.Subject.CommonName = "pump-7" })

	tests := []struct {
		name  string
		chain []*x509.Certificate
		q     Question
		want  []Reason
		says  string
	}{
		{"holds", chain, host, nil, ""},
		{"holds by address", chain, with(func(q *Question) { q.Host = "127.0.0.1" }), nil, ""},
		{"holds with the root at its end", append(slices.Clone(chain), roots...), host, nil, ""},
		{"holds with a root below the top", chain, with(func(q *Question) { q.Roots = s.mid.Chain()[:1] }), nil, ""},
		{"holds with its key", chain, with(func(q *Question) { q.Key = s.server.Key }), nil, ""},
		{"an authority by itself", s.edge.Chain(), with(func(q *Question) { q.Host = "" }), nil, ""},
		{"a device", s.device.Chain, Question{Roots: roots, Device: "pump-7", Key: s.device.Key}, nil, ""},

		{"expired leaf", chain, with(func(q *Question) { q.Now = day(400) }), []Reason{Expired}, `"gw.local" expired on`},
		{"expired from top to bottom", chain, with(func(q *Question) { q.Now = day(20 * 365) }), []Reason{Expired, Expired, Expired, Expired}, "renew it, and then"},
		{"a clock that is late", chain, with(func(q *Question) { q.Now = day(-1) }), []Reason{NotYetValid, NotYetValid, NotYetValid, NotYetValid}, "clock"},
		{"another name", chain, with(func(q *Question) { q.Host = "gateway" }), []Reason{WrongName}, "not for gateway but for gw.local, 127.0.0.1"},
		{"another address", chain, with(func(q *Question) { q.Host = "10.0.0.7" }), []Reason{WrongName}, "gw.local, 127.0.0.1"},
		{"the name only as common name", cnOnly.Chain, host, []Reason{WrongName}, "only its common name"},
		{"no name at all", noNames.Chain, host, []Reason{WrongName}, "no host name at all"},
		{"the edge CA in place of the server's", s.edge.Chain(), host, []Reason{WrongName}, "no host name"},
		{"a foreign root", chain, with(func(q *Question) { q.Roots = stranger.Chain() }), []Reason{UnknownRoot}, `trusted: "Stranger"`},
		{"a root made anew", chain, with(func(q *Question) { q.Roots = namesake.Chain() }), []Reason{UnknownRoot}, `another "Site root"`},
		{"no roots", chain, with(func(q *Question) { q.Roots = nil }), []Reason{UnknownRoot}, "no root is trusted"},
		{"its own root, not trusted", append(slices.Clone(chain), roots...), with(func(q *Question) { q.Roots = stranger.Chain() }), []Reason{UnknownRoot}, "signed itself"},
		{"self-signed", self.Chain, host, []Reason{UnknownRoot, WrongName, WrongUsage}, "signed itself"},
		{"the leaf alone", chain[:1], host, []Reason{MissingIntermediate}, "neither in the chain file nor trusted"},
		{"the leaf alone, its issuer at hand", chain[:1], with(func(q *Question) { q.Around = s.edge.Chain() }), []Reason{MissingIntermediate}, `append the certificate of "gw edge CA"`},
		{"without the upper intermediate", chain[:2], with(func(q *Question) { q.Around = s.mid.Chain() }), []Reason{MissingIntermediate}, `append the certificate of "Site intermediate"`},
		{"a hole in the chain", []*x509.Certificate{chain[0], chain[2]}, with(func(q *Question) { q.Around = chain }), []Reason{MissingIntermediate}, `"gw edge CA"`},
		{"an unknown root at hand", chain, with(func(q *Question) { q.Roots, q.Around = stranger.Chain(), roots }), []Reason{UnknownRoot}, `trust "Site root"`},
		{"issuers swapped", []*x509.Certificate{chain[0], chain[2], chain[1]}, host, []Reason{WrongOrder, WrongOrder}, "certificate 3"},
		{"upside down", []*x509.Certificate{chain[2], chain[1], chain[0]}, host, []Reason{WrongOrder}, "begins with the authority"},
		{"a device as a server", s.device.Chain, Question{Roots: roots}, []Reason{WrongUsage}, "clientAuth"},
		{"a server as a device", chain, Question{Roots: roots, Device: "gw.local"}, []Reason{WrongUsage}, "serverAuth"},
		{"a usage without a name", odd.Chain, host, []Reason{WrongUsage}, "1.2.3"},
		{"an authority for clients only", belowClientCA.Chain, host, []Reason{WrongUsage}, "Odd"},
		{"signed by a device", belowDevice.Chain, host, []Reason{NotAuthority}, `"pump-7" signed "gw.local"`},
		{"an authority as a device", caDevice.Chain, Question{Roots: roots, Device: "pump-7"}, []Reason{WrongUsage}, "authority"},
		{"another device", s.device.Chain, Question{Roots: roots, Device: "Pump-7"}, []Reason{WrongName}, `"pump-7", not the device id "Pump-7"`},
		{"another's key", chain, with(func(q *Question) { q.Key = s.edge.key }), []Reason{KeyMismatch}, "does not belong"},
		{"a path that is too long", cutPath(t, s).Chain, host, []Reason{PathTooLong}, `"gw edge CA" permits 0`},
		{"outside of what its authority may name", outside.Chain, host, []Reason{Other}, "not permitted"},
		{"nothing at all", nil, host, []Reason{Other}, "no certificate"},
		{"several things at once", chain[:1], Question{Roots: roots, Host: "gw", Now: day(400), Key: s.device.Key},
			[]Reason{MissingIntermediate, Expired, WrongName, KeyMismatch}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			found := Verify(tt.chain, tt.q)
			var got []Reason
			text := ""
			for _, p := range found {
				got = append(got, p.Reason)
				text += p.Text + "\n" + p.Fix + "\n"
			}
			slices.Sort(got)
			want := slices.Sorted(slices.Values(tt.want))
			if !slices.Equal(got, want) || !strings.Contains(text, tt.says) {
				t.Errorf("got %v, want %v saying %q:\n%s", got, want, tt.says, text)
			}
		})
	}
}

// What Verify says must be what a TLS client of crypto/tls does.
func TestVerifyAgreesWithAHandshake(t *testing.T) {
	s := newSite()
	other := must(NewRoot("Stranger", Options{}))
	expired := must(s.edge.Server([]string{"gw.local"}, Options{Valid: time.Nanosecond}))
	alone := &Pair{Chain: s.server.Chain[:1], Key: s.server.Key}
	device := &Pair{Chain: s.device.Chain, Key: s.device.Key}
	for name, tt := range map[string]struct {
		pair *Pair
		root *Authority
		host string
	}{
		"good":           {s.server, s.root, "gw.local"},
		"another name":   {s.server, s.root, "gw"},
		"stranger":       {s.server, other, "gw.local"},
		"expired":        {expired, s.root, "gw.local"},
		"leaf alone":     {alone, s.root, "gw.local"},
		"a device":       {device, s.root, "pump-7"},
		"a long path":    {cutPath(t, s), s.root, "gw.local"},
		"below the root": {must(s.root.Server([]string{"x"}, Options{})), s.root, "x"},
	} {
		t.Run(name, func(t *testing.T) {
			roots := x509.NewCertPool()
			roots.AddCert(tt.root.Certificate())
			_, err := shakeHands(t, &tls.Config{Certificates: []tls.Certificate{tt.pair.TLS()}}, &tls.Config{RootCAs: roots, ServerName: tt.host})
			found := Verify(tt.pair.Chain, Question{Roots: tt.root.Chain(), Host: tt.host})
			if (err == nil) != (found == nil) {
				t.Errorf("the handshake says %v, and Verify %v", err, found)
			}
		})
	}
}
