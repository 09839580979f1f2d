package limit

import (
	"context"
	"net"

	"sluice/iot"
)

// Listener turns away, on l, the connections of addresses that have failed too
// often: they are closed before a handshake costs anything. What it lets in is l's
// own.
func (a *Addresses) Listener(l net.Listener) net.Listener { return door{l, a} }

type door struct {
	net.Listener
	a *Addresses
}

func (d door) Accept() (net.Conn, error) {
	for {
		c, err := d.Listener.Accept()
		if err != nil || d.a.Allow(c.RemoteAddr().String()) {
			return c, err
		}
		_ = c.Close() // nothing was said
	}
}

// Hub turns away the logins of addresses that have failed too often, and notes how
// those of all others end. A failure that is excused does not count; excused may be
// nil.
func (a *Addresses) Hub(hub iot.Hub, excused func(creds iot.Credentials, remote string) bool) iot.Hub {
	return desk{hub, a, excused}
}

type desk struct {
	hub     iot.Hub
	a       *Addresses
	excused func(creds iot.Credentials, remote string) bool
}

// Connect implements [iot.Hub]. To an address that has failed too often it says
// Throttled, without asking whose login it is.
func (d desk) Connect(ctx context.Context, creds iot.Credentials, client iot.Client) (iot.Session, error) {
	return d.a.Guard(d.hub.Connect)(ctx, creds, client)
}

// A Login begins a session, as [iot.Hub] does with Connect.
type Login func(context.Context, iot.Credentials, iot.Client) (iot.Session, error)

// Guard does for one way to log in what [Addresses.Hub] does for a hub's.
func (a *Addresses) Guard(login Login) Login {
	return func(ctx context.Context, creds iot.Credentials, client iot.Client) (iot.Session, error) {
		if !a.Allow(client.RemoteAddr) {
			return nil, iot.Errorf(iot.Throttled, "connect", creds.Identity, "too many logins from %s have failed", client.RemoteAddr)
		}
		session, err := login(ctx, creds, client)
		switch {
		case err == nil:
			a.Succeeded(client.RemoteAddr)
		case iot.KindOf(err) == iot.Unauthorized:
			a.Failed(client.RemoteAddr)
		}
		return session, err
	}
}
