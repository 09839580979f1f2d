package amqphead

import (
	"context"
	"errors"
	"sync"
	"time"

	"sluice/amqp10"
	"sluice/iot"
)

// conn is one connection, and whom it acts for. While nothing happens it has no
// goroutine of its own.
type conn struct {
	head *Head
	amqp *amqp10.Conn
	desk Desk // of the service; nil if there is none

	life   context.Context // ends with the connection
	stop   context.CancelFunc
	opened chan struct{} // closed by begin

	// settling ends a little later than life, for what the client has settled.
	settling     context.Context
	stopSettling context.CancelFunc

	// order is in which order things happen to one identity: its tokens, its
	// links and its end. What the hub is asked for this happens here.
	order turns[iot.Identity]

	mu          sync.Mutex
	proofs      map[iot.Identity]*proof // by who proves itself with it
	members     map[iot.Identity]*member
	claims      []*claims // the links from $cbs
	claimsLinks int       // to and from $cbs
	lonely      *time.Timer
	finished    bool
}

// A proof is a token that the client has put.
type proof struct {
	actor    iot.Identity // whose token it is
	token    string
	expires  time.Time
	accepted bool // by the hub, for at least one identity
}

// orderWidth is how many identities of one connection are before the hub at a
// time.
const orderWidth = 32

func newConn(h *Head, a *amqp10.Conn) *conn {
	c := &conn{
		head: h, amqp: a, opened: make(chan struct{}),
		proofs:  make(map[iot.Identity]*proof),
		members: make(map[iot.Identity]*member),
	}
	c.order.width = orderWidth
	c.life, c.stop = context.WithCancel(context.Background())
	c.settling, c.stopSettling = context.WithCancel(context.Background())
	return c
}

// begin is called when the connection is open.
func (c *conn) begin() {
	close(c.opened)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watch()
}

// Attach implements [amqp10.Handler].
func (c *conn) Attach(r *amqp10.LinkRequest) {
	text := linkAddress(r)
	if text == cbsNode {
		c.attachClaims(r)
		return
	}
	if c.atDesk(text) {
		c.desk.Attach(r)
		return
	}
	a, err := parseAddress(text)
	if err != nil {
		c.refuse(r, err)
		return
	}
	c.order.push(a.identity, func() { c.attach(r, a) })
}

// linkAddress is the address of the node, which is at our end of the link.
func linkAddress(r *amqp10.LinkRequest) string {
	switch {
	case r.Role == amqp10.RoleReceiver && r.Target != nil:
		return r.Target.Address
	case r.Role == amqp10.RoleSender && r.Source != nil:
		return r.Source.Address
	}
	return ""
}

func (c *conn) refuse(r *amqp10.LinkRequest, err error) {
	c.head.log.Info("amqphead: link refused", "remote", c.remote(), "address", linkAddress(r), "err", err)
	r.Refuse(refusal(err))
}

// attach opens a link for the identity whose turn it is.
func (c *conn) attach(r *amqp10.LinkRequest, a address) {
	m, err := c.join(a.identity, aboutLink(r.Properties), false)
	if err == nil {
		err = m.open(r, a.node)
	}
	if err != nil {
		c.refuse(r, err)
		c.leaveIfIdle(a.identity)
	}
}

// Closed implements [amqp10.Handler]. When it returns, nothing of the connection
// is left at the hub.
func (c *conn) Closed(err error) {
	if c.desk != nil {
		c.desk.Closed(err)
	}
	c.mu.Lock()
	c.finished = true
	c.unwatch()
	c.mu.Unlock()
	c.stop()
	defer c.stopSettling()
	defer time.AfterFunc(settleGrace, c.stopSettling).Stop()
	c.order.close()
	c.mu.Lock()
	left := c.members
	c.members = nil
	c.mu.Unlock()
	for _, m := range left {
		m.end()
	}
}

func (c *conn) remote() string { return c.amqp.RemoteAddr().String() }

// operate returns a context for one call of the hub.
func (c *conn) operate(life context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(life, c.head.opt.OperationTimeout)
}

// timely makes a Timeout of the error of a call that took too long.
func timely(ctx context.Context, op string, id iot.Identity, err error) error {
	var known *iot.Error
	if err != nil && !errors.As(err, &known) && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return &iot.Error{Kind: iot.Timeout, Op: op, Identity: id, Err: err}
	}
	return err
}

var _ amqp10.Handler = (*conn)(nil)
