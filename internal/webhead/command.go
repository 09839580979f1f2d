package webhead

import (
	"context"
	"errors"
	"net/http"
	"time"

	"sluice/internal/hub/code"
	"sluice/iot"
)

// An inbox is where a device's commands arrive, one for each that it asks for.
type inbox struct {
	turn    chan struct{}     // capacity 1; who has its token may ask
	sub     iot.Subscription  // owned by who has the turn; nil before the first
	arrived chan iot.Delivery // capacity 1: no more is ever granted
}

func (b *inbox) init() {
	b.turn, b.arrived = make(chan struct{}, 1), make(chan iot.Delivery, 1)
}

// next waits for a command until ctx ends, or for as long as patience lasts.
func (b *inbox) next(ctx context.Context, hub iot.Session, patience time.Duration) (d iot.Delivery, ok bool, err error) {
	select {
	case b.turn <- struct{}{}:
		defer func() { <-b.turn }()
	case <-ctx.Done():
		return d, false, nil
	}
	if b.sub == nil {
		if b.sub, err = hub.Commands(func(d iot.Delivery) { b.arrived <- d }); err != nil {
			b.sub = nil
			return d, false, err
		}
	}
	b.sub.Grant(1)
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case d = <-b.arrived:
		return d, true, nil
	case <-late.C:
	case <-ctx.Done():
	}
	b.sub.Revoke()
	select { // it may have come just then
	case d = <-b.arrived:
		return d, true, nil
	default:
		return d, false, nil
	}
}

// getCommand answers the next command that can be written as headers.
func (c *call) getCommand() (answer, error) {
	ctx, cancel := c.operate()
	defer cancel()
	for {
		d, ok, err := c.session.commands.next(ctx, c.session.hub, c.opt.Patience)
		if err != nil || !ok {
			return answer{}, c.sessionError(err)
		}
		h, ok := writeHeaders(&d)
		if !ok {
			c.log.Warn("webhead: command rejected: it has a property that cannot be a header", "identity", c.id.String())
			if err := c.settle(d.LockToken, iot.Reject); err != nil {
				return answer{}, err
			}
			continue
		}
		hub, token := c.session.hub, d.LockToken
		return answer{
			status: http.StatusOK, header: h, body: d.Message.Body, contentType: "application/octet-stream",
			failed: func() { c.giveBack(hub, token) },
		}, nil
	}
}

// giveBack abandons a command that its device has not got, so that it can ask again
// before the lock expires.
func (c *call) giveBack(hub iot.Session, token string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.r.Context()), c.opt.OperationTimeout)
	defer cancel()
	if err := hub.Settle(ctx, token, iot.Abandon); err != nil {
		c.log.Info("webhead: command not given back; it comes again when its lock expires", "identity", c.id.String(), "err", err)
	}
}

func (c *call) deleteCommand() (answer, error) {
	outcome := iot.Complete
	if c.r.URL.Query().Has("reject") {
		outcome = iot.Reject
	}
	return answer{}, c.settle(c.vars.etag, outcome)
}

func (c *call) abandonCommand() (answer, error) {
	return answer{}, c.settle(c.vars.etag, iot.Abandon)
}

// settle ends the delivery with this lock token.
func (c *call) settle(token string, outcome iot.Outcome) error {
	ctx, cancel := c.operate()
	defer cancel()
	err := c.session.hub.Settle(ctx, token, outcome)
	var e *iot.Error
	if errors.As(err, &e) && e.Kind == iot.NotFound {
		return code.Errorf(code.MessageLockLost, "settle", c.id, "the lock of the message has expired, or it was settled before")
	}
	return c.sessionError(err)
}
