package tlsx

import (
	"cmp"
	"errors"
	"time"
)

// Limits bounds what peers can make a listener hold. A zero field takes the
// default in its comment.
type Limits struct {
	// MaxConns is the number of connections at a time: 20,000; negative for no
	// limit. Those above are closed at once.
	MaxConns int
	// MaxPerIP is the number of connections at a time from one address, or from
	// one /64 of IPv6: negative, and the default, for no limit, since a whole
	// site may be behind one address.
	MaxPerIP int
	// Handshake is the time from accept to the server's first bytes after the
	// client's handshake, which are session tickets or an answer: 10 s; negative
	// for no limit. See [Conn.Socket] and [Conn.Established] for when it does not
	// apply.
	Handshake time.Duration
}

func (l Limits) withDefaults() Limits {
	l.MaxConns = cmp.Or(l.MaxConns, 20_000)
	l.Handshake = cmp.Or(l.Handshake, 10*time.Second)
	return l
}

// ErrHandshakeTimeout is what reading from a connection returns when the
// handshake has taken longer than [Limits.Handshake].
var ErrHandshakeTimeout error = timeoutError{errors.New("tlsx: no TLS handshake in time")}

// timeoutError is a net.Error.
type timeoutError struct{ error }

func (timeoutError) Timeout() bool   { return true }
func (timeoutError) Temporary() bool { return false }
