package pki

import (
	"crypto"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Reason is why somebody would refuse a chain. Scripts may rely on the words.
type Reason string

// The reasons.
const (
	Expired             Reason = "expired"
	NotYetValid         Reason = "not-yet-valid"
	WrongName           Reason = "wrong-name"
	UnknownRoot         Reason = "unknown-root"
	MissingIntermediate Reason = "missing-intermediate"
	WrongUsage          Reason = "wrong-usage"
	NotAuthority        Reason = "not-an-authority"
	PathTooLong         Reason = "path-too-long"
	WrongOrder          Reason = "wrong-order"
	KeyMismatch         Reason = "key-mismatch"
	Other               Reason = "other" // what crypto/x509 refuses beyond these
)

// A Problem is one thing that is wrong with a chain.
type Problem struct {
	Reason  Reason `json:"reason"`
	Subject string `json:"subject"` // the certificate's common name
	Text    string `json:"text"`    // what is wrong, with the facts
	Fix     string `json:"fix"`     // what to do about it
}

// A Question is what a chain is to be good for.
type Question struct {
	// Roots are trusted. Without any, every chain has an unknown root.
	Roots []*x509.Certificate
	// Host is the DNS name or IP address that clients connect to. If it is
	// empty, names are not compared.
	Host string
	// Device is the id that a client certificate must have as its common name.
	// If it is set, the chain is judged as a client's, else as a server's.
	Device string
	// Key is the private key of the leaf; nil if it is not at hand.
	Key crypto.Signer
	// Around are certificates that help to explain what is missing; they are
	// never trusted and never complete the chain.
	Around []*x509.Certificate
	// Now is the moment to judge for: time.Now() if zero.
	Now time.Time
}

// Verify says everything that is wrong with a chain, leaf first, in the order in
// which a verifier comes upon it; nothing if the chain holds. It answers as
// OpenSSL and crypto/x509 do, with two exceptions in which it is stricter: the
// chain must be in order, and a device must not be an authority.
func Verify(chain []*x509.Certificate, q Question) []Problem {
	if len(chain) == 0 {
		return []Problem{{Other, "", "there is no certificate", "configure one, or send it"}}
	}
	if q.Now.IsZero() {
		q.Now = time.Now()
	}
	v := &verifier{Question: q}
	chain = v.leafFirst(chain)
	path := v.path(chain)
	v.times(path)
	v.authorities(path)
	v.leaf(path)
	if len(v.found) == 0 {
		v.crossCheck(chain)
	}
	return v.found
}

type verifier struct {
	Question
	found []Problem
}

func (v *verifier) add(r Reason, c *x509.Certificate, fix, format string, args ...any) {
	v.found = append(v.found, Problem{r, commonName(c), fmt.Sprintf(format, args...), fix})
}

// fixOrder is what to do about a wrong order.
const fixOrder = "put the certificates into the file in this order: leaf, its issuer, and so on"

// leafFirst turns a chain that begins with an authority and has something else
// further down, so that the rest of the answer is about that.
func (v *verifier) leafFirst(chain []*x509.Certificate) []*x509.Certificate {
	at := slices.IndexFunc(chain, func(c *x509.Certificate) bool { return !c.IsCA })
	if at <= 0 {
		return chain
	}
	v.add(WrongOrder, chain[0], fixOrder, "the chain begins with the authority %q", commonName(chain[0]))
	turned := append([]*x509.Certificate{chain[at]}, chain[:at]...)
	slices.Reverse(turned[1:])
	return append(turned, chain[at+1:]...)
}

// path follows the signatures from the leaf to a root, or as far as they go.
func (v *verifier) path(chain []*x509.Certificate) []*x509.Certificate {
	path := chain[:1:1]
	for range len(chain) + 1 {
		top := path[len(path)-1]
		if slices.ContainsFunc(v.Roots, top.Equal) {
			return path
		}
		if root := issuerIn(v.Roots, top); root != nil {
			return append(path, root)
		}
		next := issuerIn(chain[1:], top)
		if next == nil || slices.ContainsFunc(path, next.Equal) {
			v.noRoot(path)
			return path
		}
		if len(path) >= len(chain) || !chain[len(path)].Equal(next) {
			v.order(chain, next)
		}
		path = append(path, next)
	}
	return path
}

func issuerIn(certs []*x509.Certificate, c *x509.Certificate) *x509.Certificate {
	for _, issuer := range certs {
		if signedBy(c, issuer) {
			return issuer
		}
	}
	return nil
}

func (v *verifier) order(chain []*x509.Certificate, next *x509.Certificate) {
	v.add(WrongOrder, next, fixOrder,
		"%q is certificate %d of the chain, and does not follow the one that it signed",
		commonName(next), slices.IndexFunc(chain, next.Equal)+1)
}

// noRoot explains why the path ends before a root.
func (v *verifier) noRoot(path []*x509.Certificate) {
	top := path[len(path)-1]
	switch issuer := issuerIn(v.Around, top); {
	case IsSelfSigned(top):
		v.add(UnknownRoot, top, "trust that root, or use a chain that ends at a trusted one",
			"the chain ends at %q, which signed itself and is not trusted; %s", commonName(top), v.trusted())
	case v.namesake(top):
		v.add(UnknownRoot, top, "the root was made anew at some time: trust the one that signed this chain, or issue the chain again",
			"%q is signed by another %q than the trusted one, with another key", commonName(top), issuerName(top))
	case issuer != nil && !IsSelfSigned(issuer):
		v.add(MissingIntermediate, top, fmt.Sprintf("append the certificate of %q to the chain file", commonName(issuer)),
			"%q is signed by %q, which is not in the chain file", commonName(top), commonName(issuer))
	case issuer != nil || len(path) > 1:
		v.add(UnknownRoot, top, fmt.Sprintf("trust %q, or use a chain that ends at a trusted root", issuerName(top)),
			"%q is signed by %q, which is not trusted; %s", commonName(top), issuerName(top), v.trusted())
	default:
		v.add(MissingIntermediate, top, fmt.Sprintf("append the certificate of %q to the chain file; if that is a root, trust it", issuerName(top)),
			"%q is signed by %q, which is neither in the chain file nor trusted; %s", commonName(top), issuerName(top), v.trusted())
	}
}

// namesake reports whether a trusted root has the name of c's issuer.
func (v *verifier) namesake(c *x509.Certificate) bool {
	return slices.ContainsFunc(v.Roots, func(r *x509.Certificate) bool { return r.Subject.String() == c.Issuer.String() })
}

func issuerName(c *x509.Certificate) string {
	if c.Issuer.CommonName != "" {
		return c.Issuer.CommonName
	}
	return c.Issuer.String()
}

// trusted says which roots there are.
func (v *verifier) trusted() string {
	if len(v.Roots) == 0 {
		return "no root is trusted"
	}
	names := make([]string, 0, 3)
	for _, r := range v.Roots[:min(len(v.Roots), 3)] {
		names = append(names, fmt.Sprintf("%q", commonName(r)))
	}
	if more := len(v.Roots) - len(names); more > 0 {
		names = append(names, fmt.Sprintf("%d more", more))
	}
	return "trusted: " + strings.Join(names, ", ")
}

func (v *verifier) times(path []*x509.Certificate) {
	for i, c := range path {
		switch {
		case v.Now.After(c.NotAfter):
			fix := "renew it"
			if i > 0 {
				fix = "renew it, and then what is below it"
			}
			v.add(Expired, c, fix, "%q expired on %s, %s ago", commonName(c), moment(c.NotAfter), Span(v.Now.Sub(c.NotAfter)))
		case v.Now.Before(c.NotBefore):
			v.add(NotYetValid, c, "set the clock of the machine that judges, or wait",
				"%q is valid from %s, %s from now; it is %s here", commonName(c), moment(c.NotBefore), Span(c.NotBefore.Sub(v.Now)), moment(v.Now))
		}
	}
}

func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// authorities looks at everything above the leaf.
func (v *verifier) authorities(path []*x509.Certificate) {
	for i, c := range path[1:] {
		if err := checkCA(c); err != nil {
			v.add(NotAuthority, c, fmt.Sprintf("sign %q with an authority; \"sluice certs edge\" makes one", commonName(path[i])),
				"%q signed %q but is %v", commonName(c), commonName(path[i]), err)
		}
		if n, limited := pathLimit(c); limited && between(path[1:i+1]) > n {
			v.add(PathTooLong, c, fmt.Sprintf("make %q again with a longer path length, or sign with it directly", commonName(c)),
				"%q permits %d authorities below it, and there are %d", commonName(c), n, between(path[1:i+1]))
		}
	}
}

// between counts the authorities that path lengths count: those whose issuer has
// another name [RFC 5280 4.2.1.9].
func between(path []*x509.Certificate) int {
	n := 0
	for _, c := range path {
		if c.Subject.String() != c.Issuer.String() {
			n++
		}
	}
	return n
}

// leaf looks at what the leaf itself is for.
func (v *verifier) leaf(path []*x509.Certificate) {
	c := path[0]
	v.usage(path)
	switch {
	case v.Device != "" && c.Subject.CommonName != v.Device:
		v.add(WrongName, c, fmt.Sprintf("make one with \"sluice certs device %s\", or use the id that it has", v.Device),
			"the common name is %q, not the device id %q; capitals count", c.Subject.CommonName, v.Device)
	case v.Host != "" && c.VerifyHostname(v.Host) != nil:
		v.wrongHost(c)
	}
	if v.Key != nil && !sameKey(c.PublicKey, v.Key) {
		v.add(KeyMismatch, c, "find the key that was made with it, or make both again",
			"the private key does not belong to %q", commonName(c))
	}
}

func (v *verifier) wrongHost(c *x509.Certificate) {
	names := ServerNames(c)
	switch {
	case len(names) == 0 && strings.EqualFold(c.Subject.CommonName, v.Host):
		v.add(WrongName, c, "make it again; \"sluice certs edge\" puts names where clients look",
			"%s is only its common name, which clients no longer look at; it has no alternative names", v.Host)
	case len(names) == 0:
		v.add(WrongName, c, "use the server's certificate", "it is for no host name at all")
	default:
		v.add(WrongName, c, fmt.Sprintf("connect by one of those names, or make it again with --name %s", v.Host),
			"it is not for %s but for %s", v.Host, strings.Join(names, ", "))
	}
}

// ServerNames lists the DNS names and IP addresses that c is for.
func ServerNames(c *x509.Certificate) []string {
	names := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}

// usage wants the extended key usage in the leaf, and in those authorities that
// have any: they limit what is below them.
func (v *verifier) usage(path []*x509.Certificate) {
	want, name := x509.ExtKeyUsageServerAuth, "servers (serverAuth)"
	if v.Device != "" {
		want, name = x509.ExtKeyUsageClientAuth, "clients (clientAuth)"
	}
	if c := path[0]; v.Device != "" && c.IsCA {
		v.add(WrongUsage, c, "use a device certificate signed by it", "%q is an authority, and hubs refuse those as devices", commonName(c))
	}
	for i, c := range path {
		if (i == 0 || c.IsCA) && !permits(c, want) {
			v.add(WrongUsage, c, "make it again for that use",
				"%q is not for %s; its extended key usage is %s", commonName(c), name, strings.Join(Usages(c), ", "))
		}
	}
}

func permits(c *x509.Certificate, want x509.ExtKeyUsage) bool {
	if len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) == 0 {
		return true
	}
	return slices.Contains(c.ExtKeyUsage, want) || slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageAny)
}

// Usages names c's extended key usages as OpenSSL does; those without a name
// there are given by number.
func Usages(c *x509.Certificate) []string {
	known := map[x509.ExtKeyUsage]string{
		x509.ExtKeyUsageAny: "any", x509.ExtKeyUsageServerAuth: "serverAuth",
		x509.ExtKeyUsageClientAuth: "clientAuth", x509.ExtKeyUsageCodeSigning: "codeSigning",
		x509.ExtKeyUsageEmailProtection: "emailProtection", x509.ExtKeyUsageTimeStamping: "timeStamping",
		x509.ExtKeyUsageOCSPSigning: "OCSPSigning",
	}
	var names []string
	for _, u := range c.ExtKeyUsage {
		if known[u] == "" {
			known[u] = fmt.Sprintf("number %d", u)
		}
		names = append(names, known[u])
	}
	for _, oid := range c.UnknownExtKeyUsage {
		names = append(names, oid.String())
	}
	return names
}

// crossCheck lets crypto/x509 have the last word: name constraints, extensions
// that it does not know, algorithms that are too weak.
func (v *verifier) crossCheck(chain []*x509.Certificate) {
	opts := x509.VerifyOptions{
		DNSName: v.Host, CurrentTime: v.Now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(),
	}
	if v.Device != "" {
		opts.KeyUsages = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}
	for _, c := range v.Roots {
		opts.Roots.AddCert(c)
	}
	for _, c := range chain[1:] {
		opts.Intermediates.AddCert(c)
	}
	if _, err := chain[0].Verify(opts); err != nil {
		v.add(Other, chain[0], "make it again with another authority or key", "%v", err)
	}
}
