package edge

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"time"

	"sluice/internal/pki"
)

// clockFloor is earlier than any true time at which this program runs: a clock
// before it has not been set since the machine started. Certificates are made as
// of then, and are right when the clock is.
var clockFloor = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// issuingTime is the clock by which certificates are made and judged. It is of the
// wall, without Go's monotonic reading: a clock that is set counts at once.
func issuingTime(now time.Time) time.Time {
	if now = now.Round(0); now.Before(clockFloor) {
		return clockFloor
	}
	return now
}

// An issuer makes the server's certificate, keeps it on disk, and makes another
// when it must.
type issuer struct {
	names     []string
	cert, key string // files of the server's certificate
	authority string // file of the authority's certificate
	open      func() (*pki.Authority, error)
	now       func() time.Time
	log       *slog.Logger

	tried time.Time // when an issue was last attempted
}

// retryAfter is how long an issue is not repeated.
const retryAfter = time.Hour

// current returns the certificate on disk if it is as it should be, else a new
// one. If none can be made, the one on disk must do, whatever is wrong with it.
func (i *issuer) current() (*pki.Pair, error) {
	now := issuingTime(i.now())
	old, err := pki.ReadPair(i.cert, i.key)
	var reason string
	switch {
	case err == nil:
		if reason = i.fault(old, now); reason == "" {
			return old, nil
		}
	case errors.Is(err, fs.ErrNotExist):
		reason = "there is none"
	default: // a half of a pair, after a power cut
		reason = err.Error()
	}
	if since := now.Sub(i.tried); old != nil && since >= 0 && since < retryAfter {
		return old, nil
	}
	i.tried = now
	fresh, err := i.issue(now)
	switch {
	case err == nil:
		i.log.Info("server certificate made", "file", i.cert, "names", i.names, "expires", fresh.Leaf().NotAfter, "why", reason)
		return fresh, nil
	case old != nil:
		i.log.Error("no new server certificate; the old one is still used", "why", reason, "expires", old.Leaf().NotAfter, "err", err)
		return old, nil
	}
	return nil, err
}

func (i *issuer) issue(now time.Time) (*pki.Pair, error) {
	authority, err := i.open()
	if err != nil {
		return nil, err
	}
	pair, err := authority.Server(i.names, pki.Options{Now: func() time.Time { return now }})
	if err != nil {
		return nil, fmt.Errorf("server certificate: %w", err)
	}
	if err := makePrivate(filepath.Dir(i.cert)); err != nil {
		return nil, err
	}
	if err := pair.WriteFiles(i.cert, i.key, true); err != nil {
		return nil, fmt.Errorf("server certificate: %w", err)
	}
	return pair, nil
}

// fault says why a certificate is to be replaced; "" if it is not.
func (i *issuer) fault(p *pki.Pair, now time.Time) string {
	leaf := p.Leaf()
	for _, name := range i.names {
		if leaf.VerifyHostname(name) != nil {
			return "it is not for " + name
		}
	}
	if len(leaf.DNSNames)+len(leaf.IPAddresses) > len(slices.Compact(slices.Sorted(slices.Values(i.names)))) {
		return "it is for names that are no longer configured"
	}
	if !i.signed(p) {
		return "the authority is another"
	}
	if now.Equal(clockFloor) {
		return "" // nobody knows what time it is
	}
	life := leaf.NotAfter.Sub(leaf.NotBefore)
	switch left := leaf.NotAfter.Sub(now); {
	case left <= 0:
		return "it has expired"
	case left < life/3:
		return "it will expire"
	case leaf.NotBefore.After(now):
		return "it is not valid yet"
	}
	return ""
}

// signed reports whether the authority of now has signed p. One that cannot be
// read is no reason to think otherwise.
func (i *issuer) signed(p *pki.Pair) bool {
	certs, err := pki.ReadCertificates(i.authority)
	if err != nil {
		return true
	}
	ca := certs[0]
	if len(p.Chain) > 1 && !p.Chain[1].Equal(ca) {
		return false
	}
	return bytes.Equal(p.Leaf().RawIssuer, ca.RawSubject) && p.Leaf().CheckSignatureFrom(ca) == nil
}

var errRootKey = errors.New("its private key is gone; if devices no longer trust it, remove it as well, and another root is made")
