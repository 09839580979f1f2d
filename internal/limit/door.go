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

// A Login begins a session, as [iot.Hub] does with Connect.
type Login func(context.Context, iot.Credentials, iot.Client) (iot.Session, error)

// Excuse says of a failed login that it does not count.
type Excuse func(creds iot.Credentials, remote string) bool

// Hub turns away the logins of addresses that have failed too often, and notes how
// those of all others end. A failure that is excused does not count; excused may be
// nil.
func (a *Addresses) Hub(hub iot.Hub, excused Excuse) iot.Hub {
	return desk{a.Guard(hub.Connect, excused)}
}

type desk struct{ login Login }

// Connect implements [iot.Hub].
func (d desk) Connect(ctx context.Context, creds iot.Credentials, client iot.Client) (iot.Session, error) {
	return d.login(ctx, creds, client)
}

// Guard does for one way to log in what [Addresses.Hub] does for a hub's. To an
// address that has failed too often it says Throttled, without asking whose login it
// is.
func (a *Addresses) Guard(login Login, excused Excuse) Login {
	return func(ctx context.Context, creds iot.Credentials, client iot.Client) (iot.Session, error) {
		if !a.Allow(client.RemoteAddr) {
			return nil, iot.Errorf(iot.Throttled, "connect", creds.Identity, "too many logins from %s have failed", client.RemoteAddr)
		}
		session, err := login(ctx, creds, client)
		switch {
		case err == nil:
			a.Succeeded(client.RemoteAddr)
		case iot.KindOf(err) == iot.Unauthorized && (excused == nil || !excused(creds, client.RemoteAddr)):
			a.Failed(client.RemoteAddr)
		}
		return session, err
	}
}
