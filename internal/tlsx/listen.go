package tlsx

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// A Listener is a net.Listener within limits. Its connections are [Conn]s.
type Listener struct {
	net.Listener
	limits Limits
	log    *slog.Logger
	closed chan struct{}
	once   sync.Once
	freed  chan struct{} // has a token after a connection ended; capacity 1

	Stats Stats

	mu      sync.Mutex
	open    int
	perIP   map[netip.Prefix]int // nil without Limits.MaxPerIP
	refused time.Time            // when a refusal was logged
}

// Stats counts since the Listener was made. Its fields may be read at any time.
type Stats struct {
	Accepted  atomic.Int64 // connections handed out
	Open      atomic.Int64 // of them, not closed
	Refused   atomic.Int64 // closed at once for Limits.MaxConns or MaxPerIP
	TimedOut  atomic.Int64 // closed for Limits.Handshake
	Exhausted atomic.Int64 // errors of accept that passed, like a lack of descriptors
}

// Listen puts limits on ln, which carries TLS records: it is TCP's, and whoever
// accepts does the TLS. Closing it closes ln and leaves the connections alone.
func Listen(ln net.Listener, limits Limits, log *slog.Logger) *Listener {
	l := &Listener{
		Listener: ln, limits: limits.withDefaults(), log: orDiscard(log),
		closed: make(chan struct{}), freed: make(chan struct{}, 1),
	}
	if l.limits.MaxPerIP > 0 {
		l.perIP = make(map[netip.Prefix]int)
	}
	return l
}

// Accept waits for a connection that is within the limits. It pauses, up to a
// second, after errors that pass, like a lack of file descriptors, and returns
// only those that do not.
func (l *Listener) Accept() (net.Conn, error) {
	var pause time.Duration
	for {
		nc, err := l.Listener.Accept()
		switch {
		case err == nil:
			pause = 0
			if c := l.admit(nc); c != nil {
				return c, nil
			}
			_ = nc.Close() // nothing was written
		case !passing(err):
			return nil, err
		default:
			l.Stats.Exhausted.Add(1)
			if pause == 0 {
				l.log.Warn("accept paused", "address", l.Addr().String(), "err", err)
			}
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			l.pause(pause)
		}
	}
}

// Close closes the listener below and wakes Accept.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// passing reports whether an error of accept is expected to pass by itself.
func passing(err error) bool {
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary() && !errors.Is(err, net.ErrClosed)
}

// pause waits for d, or until a connection ends and leaves its descriptor.
func (l *Listener) pause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-l.closed:
	case <-l.freed:
	case <-t.C:
	}
}

// admit returns nil if the connection is over a limit.
func (l *Listener) admit(nc net.Conn) *Conn {
	from := prefixOf(nc.RemoteAddr())
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.limits.MaxConns > 0 && l.open >= l.limits.MaxConns {
		l.refuse(nc, "connections", l.limits.MaxConns)
		return nil
	}
	if l.perIP != nil && l.perIP[from] >= l.limits.MaxPerIP {
		l.refuse(nc, "connections from one address", l.limits.MaxPerIP)
		return nil
	}
	l.open++
	if l.perIP != nil {
		l.perIP[from]++
	}
	l.Stats.Accepted.Add(1)
	l.Stats.Open.Add(1)
	return newConn(l, nc, from)
}

// refuse counts, and says so at most every ten seconds. l.mu is held.
func (l *Listener) refuse(nc net.Conn, what string, limit int) {
	l.Stats.Refused.Add(1)
	if now := time.Now(); now.Sub(l.refused) >= 10*time.Second {
		l.refused = now
		l.log.Warn("connection refused: too many "+what, "limit", limit, "remote", nc.RemoteAddr().String(),
			"refused", l.Stats.Refused.Load())
	}
}

// release gives back the place of a connection.
func (l *Listener) release(from netip.Prefix) {
	l.Stats.Open.Add(-1)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	select {
	case l.freed <- struct{}{}:
	default:
	}
	if l.perIP == nil {
		return
	}
	if l.perIP[from]--; l.perIP[from] == 0 {
		delete(l.perIP, from)
	}
}

// prefixOf is what counts as one address: that of IPv4, or the /64 that a network
// gives to one customer. It is zero for addresses that are not of IP.
func prefixOf(a net.Addr) netip.Prefix {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	addr := tcp.AddrPort().Addr().Unmap().WithZone("")
	bits := 64
	if addr.Is4() {
		bits = 32
	}
	p, _ := addr.Prefix(bits) // zero for the address that is not valid
	return p
}
