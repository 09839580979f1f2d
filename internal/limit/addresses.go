package limit

import (
	"cmp"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// DefaultBurst and DefaultRate are how often an address may fail: so often at
// once, and so often a second in the long run.
const (
	DefaultBurst = 20
	DefaultRate  = 1
)

// maxAddresses is how many addresses are remembered. Above it, those that did least
// are forgotten.
const maxAddresses = 10_000

// Addresses remember who has failed to log in. An address is one of IPv4, or a /64
// of IPv6. Its methods may be called from any goroutine.
type Addresses struct {
	rate, size float64
	log        *slog.Logger

	// Refused counts connections and logins that were turned away.
	Refused atomic.Uint64

	mu     sync.Mutex
	failed map[netip.Addr]*strikes
}

// strikes are what an address may still do wrong; those that never did have none.
type strikes struct {
	bucket bucket
	told   time.Time // when its penalty was logged
}

// NewAddresses allows each address burst failures at once, and rate a second in the
// long run; 0 means the defaults.
func NewAddresses(burst int, rate float64, log *slog.Logger) *Addresses {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Addresses{
		rate: cmp.Or(rate, DefaultRate), size: float64(cmp.Or(burst, DefaultBurst)),
		log: log, failed: map[netip.Addr]*strikes{},
	}
}

// addressOf takes the host out of "host:port". What is no address is nobody's.
func addressOf(remote string) (netip.Addr, bool) {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}, false
	}
	addr := ap.Addr().Unmap().WithZone("")
	if addr.Is6() {
		prefix, _ := addr.Prefix(64) // 64 is right for all of them
		addr = prefix.Addr()
	}
	return addr, true
}

// Allow reports whether a connection from remote, "host:port", may go on, and
// counts it if not.
func (a *Addresses) Allow(remote string) bool {
	addr, ok := addressOf(remote)
	if !ok {
		return true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.failed[addr]
	if s == nil {
		return true
	}
	s.bucket.fill(a.rate, a.size, time.Now())
	if s.bucket.level >= 1 {
		return true
	}
	a.Refused.Add(1)
	return false
}

// tellEvery is the time between two lines about one address.
const tellEvery = time.Minute

// Failed notes a failure of remote.
func (a *Addresses) Failed(remote string) {
	addr, ok := addressOf(remote)
	if !ok {
		return
	}
	now := time.Now()
	a.mu.Lock()
	s := a.failed[addr]
	if s == nil {
		a.makeRoom(now)
		s = &strikes{bucket: bucket{level: a.size, at: now}}
		a.failed[addr] = s
	}
	s.bucket.fill(a.rate, a.size, now)
	s.bucket.level = max(0, s.bucket.level-1)
	tell := s.bucket.level < 1 && now.Sub(s.told) >= tellEvery
	if tell {
		s.told = now
	}
	a.mu.Unlock()
	if tell {
		a.log.Warn("an address keeps failing to log in; its connections are limited for a while", "address", addr.String())
	}
}

// Succeeded notes a login of remote: an address where some fail and others do not
// is a site, not an attack.
func (a *Addresses) Succeeded(remote string) {
	addr, ok := addressOf(remote)
	if !ok {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.failed[addr]; s != nil {
		s.bucket.level = min(a.size, s.bucket.level+1)
	}
}

// makeRoom forgets addresses whose failures are long ago, if there are too many;
// and if there are none of those, one. mu is held.
func (a *Addresses) makeRoom(now time.Time) {
	if len(a.failed) < maxAddresses {
		return
	}
	var mildest netip.Addr
	most := -1.0
	for addr, s := range a.failed {
		s.bucket.fill(a.rate, a.size, now)
		if s.bucket.level >= a.size {
			delete(a.failed, addr)
		} else if s.bucket.level > most {
			mildest, most = addr, s.bucket.level
		}
	}
	if len(a.failed) >= maxAddresses {
		delete(a.failed, mildest)
	}
}
