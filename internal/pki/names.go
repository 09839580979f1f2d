package pki

import (
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxCommonName is the most characters that a common name has
// [RFC 5280, ub-common-name].
const maxCommonName = 64

func checkCommonName(name string) error {
	switch n := utf8.RuneCountInString(name); {
	case n == 0:
		return fmt.Errorf("%w: it is empty", ErrBadName)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return fmt.Errorf("%w: %q has characters that cannot be printed", ErrBadName, name)
	case n > maxCommonName:
		return fmt.Errorf("%w: %d characters, and a common name has at most %d", ErrBadName, n, maxCommonName)
	}
	return nil
}

// addNames puts names into the alternative names, each once, and returns the
// first as it stands there.
func addNames(t *x509.Certificate, names []string) (first string, err error) {
	for _, name := range names {
		name, ip, err := readName(name)
		switch {
		case err != nil:
			return "", err
		case ip != nil && !slices.ContainsFunc(t.IPAddresses, ip.Equal):
			t.IPAddresses = append(t.IPAddresses, ip)
		case ip == nil && !slices.Contains(t.DNSNames, name):
			t.DNSNames = append(t.DNSNames, name)
		}
		if first == "" {
			first = name
		}
	}
	if first == "" {
		return "", fmt.Errorf("%w: a server needs at least one DNS name or IP address", ErrBadName)
	}
	return first, nil
}

// readName tells a DNS name from an IP address and puts either in the form that
// certificates have.
func readName(s string) (name string, ip net.IP, err error) {
	if addr, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		if addr.Zone() != "" {
			return "", nil, fmt.Errorf("%w: %q is an address with a zone", ErrBadName, s)
		}
		addr = addr.Unmap()
		return addr.String(), net.IP(addr.AsSlice()), nil
	}
	name = strings.ToLower(strings.TrimSuffix(s, "."))
	if err := checkDNSName(name); err != nil {
		return "", nil, err
	}
	return name, nil, nil
}

func checkDNSName(name string) error {
	switch {
	case strings.Contains(name, "://"):
		return fmt.Errorf("%w: %q is a URL; give its host name", ErrBadName, name)
	case strings.Contains(name, ":"):
		return fmt.Errorf("%w: %q has a port; certificates are for any port", ErrBadName, name)
	case len(name) > 253:
		return fmt.Errorf("%w: %d characters, and a DNS name has at most 253", ErrBadName, len(name))
	}
	labels := strings.Split(name, ".")
	if len(labels) > 2 && labels[0] == "*" {
		labels = labels[1:]
	}
	for _, label := range labels {
		if !validLabel(label) {
			return fmt.Errorf("%w: %q is not a DNS name", ErrBadName, name)
		}
	}
	return nil
}

// validLabel accepts the underscore too: hosts have it although they should not.
func validLabel(label string) bool {
	if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
		return false
	}
	return !strings.ContainsFunc(label, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_'
	})
}

// commonName is what to call c in a sentence.
func commonName(c *x509.Certificate) string {
	switch {
	case c.Subject.CommonName != "":
		return c.Subject.CommonName
	case len(c.DNSNames) > 0:
		return c.DNSNames[0]
	}
	return c.Subject.String()
}
