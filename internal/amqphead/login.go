package amqphead

import (
	"context"
	"fmt"
	"strings"

	"sluice/amqp10"
	"sluice/internal/sas"
	"sluice/iot"
)

// parseUser reads the user of SASL PLAIN: {device}[/{module}]@sas.{hub}. Ids may
// contain what separates them, so the last separator counts. The name of the hub
// is not looked at: a token names it too, and there it is signed.
func parseUser(user string) (iot.Identity, error) {
	at := strings.LastIndex(strings.ToLower(user), "@sas.")
	if at < 0 {
		return iot.Identity{}, fmt.Errorf("user %.300q is not {device}@sas.{hub}", user)
	}
	if strings.HasPrefix(strings.ToLower(user[at:]), "@sas.root.") {
		return iot.Identity{}, fmt.Errorf("user %.300q is a policy of the service; devices and modules connect here", user)
	}
	return iot.ParseIdentity(user[:at])
}

// judgePlain decides about SASL PLAIN. What it returns is the connection, with the
// identity's session begun.
func (h *Head) judgePlain(ctx context.Context, a *amqp10.Conn, k amqp10.Credentials) (any, error) {
	id, err := parseUser(k.User)
	if err != nil {
		return nil, err
	}
	token, err := sas.Parse(k.Password)
	if err != nil {
		return nil, err
	}
	if token.Resource.Identity != id {
		return nil, fmt.Errorf("user %v brings a token for %q", id, token.Resource)
	}
	c := newConn(h, a)
	c.proofs[id] = &proof{actor: id, token: k.Password, expires: token.Expiry}
	defer context.AfterFunc(ctx, c.stop)()
	if _, err := c.join(id, about{}, true); err != nil {
		c.Closed(nil)
		if iot.KindOf(err).Retryable() {
			return nil, fmt.Errorf("%w: %w", amqp10.ErrTryLater, err)
		}
		return nil, err
	}
	c.expectOpen()
	return c, nil
}

// expectOpen is for a connection that exists before it is open: its peer may go
// before, and then nobody else is told.
func (c *conn) expectOpen() {
	go func() {
		select {
		case <-c.opened:
		case <-c.amqp.Done():
			if !c.isOpen() {
				c.Closed(nil)
			}
		}
	}()
}

// isOpen reports whether the engine tells of the connection's end.
func (c *conn) isOpen() bool {
	select {
	case <-c.opened:
		return true
	default:
		return false
	}
}
