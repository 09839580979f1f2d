package amqphead

import (
	"context"
	"strings"

	"sluice/amqp10"
	"sluice/internal/sas"
	"sluice/iot"
)

// A Service is for the applications that use a hub on the connections and at the
// address that devices use too. A connection may be both at once.
type Service interface {
	// Open begins a connection.
	Open(c *amqp10.Conn) Desk
	// Login begins a connection whose user of SASL PLAIN is not of a device or
	// module.
	Login(c *amqp10.Conn, k amqp10.Credentials) (Desk, error)
}

// A Desk is the [Service] of one connection. Attach and Closed are those of an
// [amqp10.Handler].
type Desk interface {
	// PutToken is given the tokens of shared access policies that are put to
	// $cbs. Its error is an [iot.Error].
	PutToken(token sas.Token) error
	// Attach is asked about links to and from what is not below /devices.
	Attach(r *amqp10.LinkRequest)
	// Authorized reports whether anybody has proved at present that the
	// connection may go on. It may be called from any goroutine.
	Authorized() bool
	Closed(err error)
}

// login decides about SASL PLAIN.
func (h *Head) login(ctx context.Context, a *amqp10.Conn, k amqp10.Credentials) (any, error) {
	user := strings.ToLower(k.User)
	ofDevice := strings.Contains(user, "@sas.") && !strings.Contains(user, "@sas.root.")
	if h.opt.Service == nil || ofDevice {
		return h.judgePlain(ctx, a, k)
	}
	desk, err := h.opt.Service.Login(a, k)
	if err != nil {
		return nil, err
	}
	c := newConn(h, a)
	c.desk = desk
	c.expectOpen()
	return c, nil
}

// atDesk reports whether a link is for the service.
func (c *conn) atDesk(address string) bool {
	first, _, _ := strings.Cut(strings.TrimLeft(path(address), "/"), "/")
	return c.desk != nil && !strings.EqualFold(first, "devices")
}

// ofPolicy reports whether a claim is for the service.
func (k *claim) ofPolicy() bool {
	return k.token.Policy != "" && k.token.Resource.Identity.IsZero()
}

// proveToDesk has the service judge a token.
func (c *conn) proveToDesk(k claim) error {
	if c.desk == nil {
		return iot.Errorf(iot.Unauthorized, "put-token", iot.Identity{}, "the token is of policy %.100q; devices and modules connect here", k.token.Policy)
	}
	return c.desk.PutToken(k.token)
}
