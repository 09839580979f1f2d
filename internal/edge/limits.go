package edge

import (
	"crypto/tls"
	"errors"
	"net"

	"sluice/internal/limit"
	"sluice/internal/tlsx"
	"sluice/iot"
	"sluice/mqtt"
)

// openLimits makes what remembers the addresses that fail, unless it is not wanted.
func (e *Edge) openLimits() {
	if l := e.cfg.Limits; l.FailedLogins > 0 {
		e.addresses = limit.NewAddresses(l.FailedLogins, l.FailedLoginRate, e.log)
	}
}

// hub is the gateway as heads see it.
func (e *Edge) hub() iot.Hub {
	if e.addresses == nil {
		return e.gateway
	}
	return e.addresses.Hub(e.gateway, e.gateway.Vouched)
}

// visit is how requests of HTTPS are let in.
func (e *Edge) visit() limit.Login {
	if e.addresses == nil {
		return e.gateway.Visit
	}
	return e.addresses.Guard(e.gateway.Visit, e.gateway.Vouched)
}

// bounded puts the limits of a port on its listener.
func (e *Edge) bounded(l net.Listener) *tlsx.Listener {
	if e.addresses != nil {
		l = e.addresses.Listener(l)
	}
	limits := tlsx.Limits{MaxConns: perListener(), MaxPerIP: e.cfg.Limits.ConnsFromAddress}
	return tlsx.Listen(l, limits, e.log)
}

// ended notes a connection that ended for a reason. One that says nothing at all, as
// what looks whether the port is open does, has done nothing wrong.
func (e *Edge) ended(c net.Conn, reason error) {
	if e.addresses != nil && failedHandshake(reason) {
		e.addresses.Failed(c.RemoteAddr().String())
	}
}

// failedHandshake reports whether a connection ended because its client did not do
// TLS in time, or at all, or refused ours.
func failedHandshake(err error) bool {
	var plain tls.RecordHeaderError
	var alert *net.OpError
	return errors.Is(err, mqtt.ErrConnectTimeout) || errors.As(err, &plain) ||
		errors.As(err, &alert) && alert.Op == "remote error"
}
