package amqphead

import (
	"fmt"
	"strings"

	"sluice/amqp10"
	"sluice/internal/sas"
	"sluice/iot"
)

// claims is a link from $cbs, on which the client hears what became of its tokens.
type claims struct {
	outbox
	session *amqp10.Session
}

const (
	// claimsWindow is how many tokens of one link may wait to be judged.
	claimsWindow = 64
	// claimsLinks is how many links to and from $cbs a connection may have:
	// pools have a pair for each AMQP session.
	claimsLinks = 2 * maxSessions
)

// attachClaims accepts the links to and from $cbs.
func (c *conn) attachClaims(r *amqp10.LinkRequest) {
	if r.Role == amqp10.RoleReceiver {
		about := aboutLink(r.Properties)
		r.AcceptReceiver(amqp10.ReceiverConfig{
			Window:         claimsWindow,
			MaxMessageSize: 16 << 10,
			OnDelivery:     func(d *amqp10.Delivery) { c.claim(d, about) },
		})
		return
	}
	k := &claims{session: r.Session()}
	c.mu.Lock()
	full := len(c.claims) >= claimsLinks
	if !full {
		c.claims = append(c.claims, k)
	}
	c.mu.Unlock()
	if full {
		r.Refuse(amqp10.Errorf(amqp10.ErrResourceLimit, "too many links from %s", cbsNode))
		return
	}
	k.attach(r.AcceptSender(amqp10.SenderConfig{
		OnCredit: k.credit,
		OnClose:  func(error) { c.forgetClaims(k) },
	}))
}

func (c *conn) forgetClaims(k *claims) {
	k.close()
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, other := range c.claims {
		if other == k {
			c.claims = append(c.claims[:i:i], c.claims[i+1:]...)
			return
		}
	}
}

// answerTo finds the link for the answer to a delivery: the latest of the same
// AMQP session, or else of all.
func (c *conn) answerTo(d *amqp10.Delivery) *claims {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found *claims
	for _, k := range c.claims {
		if k.session == d.Receiver().Session() || found == nil || found.session != d.Receiver().Session() {
			found = k
		}
	}
	return found
}

// A claim is a token that a client puts.
type claim struct {
	id    any // message id, to be given back as correlation id
	token sas.Token
	text  string
}

// claim takes one request to $cbs: it is answered when the hub has judged the
// token.
func (c *conn) claim(d *amqp10.Delivery, a about) {
	k, err := readClaim(d)
	if err != nil {
		c.answerClaim(d, k, err)
		return
	}
	id := k.token.Resource.Identity
	c.order.push(id, func() { c.answerClaim(d, k, c.prove(id, k, a)) })
}

// readClaim reads
//
//	operation=put-token, type={…}:sastoken, name={audience}; the token is the body
//
// The name must be of the same identity as the token's own audience.
func readClaim(d *amqp10.Delivery) (k claim, err error) {
	msg, err := d.Message()
	if err != nil {
		return k, undecodable(err)
	}
	if msg.Properties != nil {
		k.id = msg.Properties.MessageID
	}
	if op := msg.ApplicationProperties.Text("operation"); op != "put-token" {
		return k, badClaim("operation %.100q is not put-token", op)
	}
	switch kind := msg.ApplicationProperties.Text("type"); kind {
	case "servicebus.windows.net:sastoken", "azure-devices.net:sastoken":
	default:
		return k, badClaim("type %.100q is not a shared access signature", kind)
	}
	body, err := readBody(msg)
	if err != nil {
		return k, err
	}
	k.text = string(body)
	if k.token, err = sas.Parse(k.text); err != nil {
		return k, &iot.Error{Kind: iot.Unauthorized, Op: "put-token", Err: err}
	}
	return k, k.checkAudience(msg.ApplicationProperties.Text("name"))
}

func badClaim(format string, args ...any) error {
	return iot.Errorf(iot.Invalid, "put-token", iot.Identity{}, format, args...)
}

func (k *claim) checkAudience(name string) error {
	id := k.token.Resource.Identity
	if id.IsZero() {
		return iot.Errorf(iot.Unauthorized, "put-token", id, "the token is for %q, which is no device or module", k.token.Resource)
	}
	name = strings.TrimPrefix(name, "amqps://")
	// Some clients name the audience as it is, others url-encoded.
	for _, encoded := range []string{name, strings.ReplaceAll(name, "%", "%25")} {
		if named, err := sas.ParseResource(encoded); err == nil && named.Identity == id {
			return nil
		}
	}
	return iot.Errorf(iot.Unauthorized, "put-token", id, "the token is put for the audience %.300q, which is another", name)
}

// prove has the hub judge a token: with it the identity's session is begun or goes
// on, as are those of others that it acts for. It is the identity's turn.
//
// The token of an $edgeHub that has no links of its own is kept unjudged until
// something is attached with it: a gateway may have several connections, and only
// one session of its own.
func (c *conn) prove(id iot.Identity, k claim, a about) error {
	dependents, err := c.keepProof(id, k)
	if err != nil {
		return err
	}
	if len(dependents) == 0 && id.Module == iot.EdgeHubModule {
		return nil
	}
	if len(dependents) == 0 {
		if _, err := c.join(id, a); err != nil {
			c.dropProof(id, k)
			return err
		}
		return nil
	}
	var own error
	for _, m := range dependents {
		if err := m.renew(k.text); err != nil {
			own = err
			if iot.KindOf(err) == iot.Unauthorized {
				m.expel(err)
			}
		}
	}
	if own != nil && iot.KindOf(own) == iot.Unauthorized {
		c.dropProof(id, k)
	}
	return own
}

// keepProof notes a token, and returns the members whose token it replaces.
func (c *conn) keepProof(id iot.Identity, k claim) (dependents []*member, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.proofs[id]
	if p == nil && len(c.proofs) >= c.head.opt.Identities {
		return nil, iot.Errorf(iot.Throttled, "put-token", id, "the connection has %d tokens; use another", len(c.proofs))
	}
	c.proofs[id] = &proof{token: k.text, expires: k.token.Expiry, accepted: p != nil && p.accepted}
	for _, m := range c.members {
		if m.actor == id {
			dependents = append(dependents, m)
		}
	}
	return dependents, nil
}

// dropProof forgets a token that the hub did not take.
func (c *conn) dropProof(id iot.Identity, k claim) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.proofs[id]; p != nil && p.token == k.text {
		delete(c.proofs, id)
	}
}

// answerClaim settles a request to $cbs, and answers it.
func (c *conn) answerClaim(d *amqp10.Delivery, k claim, err error) {
	d.Accept()
	status, text := int32(200), "OK"
	if err != nil {
		c.head.log.Info("amqphead: token refused", "remote", c.remote(), "err", err)
		status, text = int32(iot.KindOf(err).HTTPStatus()), fmt.Sprintf("%s: %s", refusal(err).Condition, explain(err))
	}
	to := c.answerTo(d)
	if to == nil {
		return // nobody wants to know
	}
	msg := &amqp10.Message{Properties: &amqp10.Properties{CorrelationID: k.id}, Value: ""}
	msg.ApplicationProperties.Set("status-code", status)
	msg.ApplicationProperties.Set("status-description", text)
	to.send(amqp10.Outgoing{Message: msg})
	if _, bytes := to.waiting(); bytes > crowd {
		c.amqp.CloseWith(notRead)
	}
}
