package amqphead

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"sluice/amqp10"
	"sluice/internal/amqpmsg"
	"sluice/internal/sas"
	"sluice/iot"
)

// claims is a link from $cbs, on which the client hears what became of its tokens.
// While many answers wait for its credit, tokens are not settled, so that no more
// come.
type claims struct {
	outbox
	session *amqp10.Session

	mu   sync.Mutex
	held []*amqp10.Delivery
}

// answer settles a delivery and sends the answer to it; if many wait, it is settled
// when there is room for more.
func (k *claims) answer(d *amqp10.Delivery, msg *amqp10.Message) {
	n, _ := k.waiting()
	if n < claimsWindow {
		d.Accept()
	}
	k.send(amqp10.Outgoing{Message: msg})
	if n < claimsWindow {
		return
	}
	k.mu.Lock()
	k.held = append(k.held, d)
	k.mu.Unlock()
	k.settle()
}

// credit is the OnCredit of the link.
func (k *claims) credit(n uint32, drain bool) {
	k.outbox.credit(n, drain)
	k.settle()
}

// close drops what waits.
func (k *claims) close() {
	k.outbox.close()
	k.settle()
}

// settle settles what is held, unless many answers wait.
func (k *claims) settle() {
	if n, _ := k.waiting(); n >= claimsWindow {
		return
	}
	k.mu.Lock()
	held := k.held
	k.held = nil
	k.mu.Unlock()
	for _, d := range held {
		d.Accept()
	}
}

const (
	// claimsWindow is how many tokens of one link may wait to be judged.
	claimsWindow = 64
	// claimsLinks is how many links to and from $cbs a connection may have:
	// pools have a pair for each AMQP session.
	claimsLinks = 2 * maxSessions
	// maxToken is how large a message with a token may be, in bytes.
	maxToken = 16 << 10
)

// attachClaims accepts the links to and from $cbs.
func (c *conn) attachClaims(r *amqp10.LinkRequest) {
	c.mu.Lock()
	full := c.claimsLinks >= claimsLinks
	if !full {
		c.claimsLinks++
	}
	c.mu.Unlock()
	if full {
		r.Refuse(amqp10.Errorf(amqp10.ErrResourceLimit, "the connection has %d links to and from %s", claimsLinks, cbsNode))
		return
	}
	if r.Role == amqp10.RoleSender {
		c.acceptClaims(r)
		return
	}
	about := aboutLink(r.Properties)
	r.AcceptReceiver(amqp10.ReceiverConfig{
		ReceiverMode:   settleFirst,
		Window:         claimsWindow,
		MaxMessageSize: maxToken,
		OnDelivery:     func(d *amqp10.Delivery) { c.claim(d, about) },
		OnClose:        func(error) { c.forgetClaims(nil) },
	})
}

// acceptClaims accepts the link for answers.
func (c *conn) acceptClaims(r *amqp10.LinkRequest) {
	k := &claims{session: r.Session()}
	c.mu.Lock()
	c.claims = append(c.claims, k)
	c.mu.Unlock()
	k.attach(r.AcceptSender(amqp10.SenderConfig{
		OnCredit: k.credit,
		OnClose:  func(error) { c.forgetClaims(k) },
	}))
}

// forgetClaims is for a link that has ended; k is nil for one to $cbs.
func (c *conn) forgetClaims(k *claims) {
	if k != nil {
		k.close()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.claimsLinks--
	c.claims = slices.DeleteFunc(c.claims, func(other *claims) bool { return other == k })
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
	id    any          // message id, to be given back as correlation id
	whose iot.Identity // for whom it is put: the token's own, or one that its $edgeHub acts for
	token sas.Token
	text  string
}

// behalf reports whether the token is that of a gateway above.
func (k *claim) behalf() bool { return k.whose != k.token.Resource.Identity }

// claim takes one request to $cbs: it is answered when the hub has judged the
// token.
func (c *conn) claim(d *amqp10.Delivery, a about) {
	msg, err := d.Message()
	if err != nil {
		d.Reject(refusal(undecodable(err)))
		return
	}
	k, err := readClaim(msg)
	if err != nil {
		c.answerClaim(d, k, err)
		return
	}
	if k.ofPolicy() {
		c.answerClaim(d, k, c.proveToDesk(k))
		return
	}
	c.order.push(k.whose, func() {
		lost, err := c.prove(k, a)
		c.answerClaim(d, k, err)
		for _, m := range lost {
			m.ended(iot.Errorf(iot.Unauthorized, "put-token", m.id, "the token that was put is none of its"))
		}
	})
}

// readClaim reads
//
//	operation=put-token, type={…}:sastoken, name={audience}; the token is the body
//
// Azure's Event Hubs client for Python says jwt of a shared access signature.
//
// The name must be of the same identity as the token's own audience, unless that is
// an $edgeHub: gateways put their own token for each identity that they act for.
func readClaim(msg *amqp10.Message) (k claim, err error) {
	if msg.Properties != nil {
		k.id = amqpmsg.CloneID(msg.Properties.MessageID)
	}
	if op := msg.ApplicationProperties.Text("operation"); op != "put-token" {
		return k, badClaim("operation %.100q is not put-token", op)
	}
	switch kind := msg.ApplicationProperties.Text("type"); kind {
	case "servicebus.windows.net:sastoken", "azure-devices.net:sastoken", "jwt":
	default:
		return k, badClaim("type %.100q is not a shared access signature", kind)
	}
	body, err := amqpmsg.Body(msg)
	if err != nil {
		return k, err
	}
	k.text = string(body)
	if k.token, err = sas.Parse(k.text); err != nil {
		return k, &iot.Error{Kind: iot.Unauthorized, Op: "put-token", Err: err}
	}
	if k.ofPolicy() {
		return k, nil // the token says itself what it is for
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
		named, err := sas.ParseResource(encoded)
		if err == nil && (named.Identity == id || id.Module == iot.EdgeHubModule && !named.Identity.IsZero()) {
			k.whose = named.Identity
			return nil
		}
	}
	return iot.Errorf(iot.Unauthorized, "put-token", id, "the token is put for the audience %.300q, which is another", name)
}

// prove has the hub judge a token: with it the identity's session is begun or goes
// on, as are those of others that it acts for. It is the identity's turn.
//
// The token of an $edgeHub on which nobody depends yet is kept unjudged until
// something is attached with it: a gateway may have several connections, and only
// one session of its own, and links say how it stands above others.
//
// It also returns the members that have lost their right by it.
func (c *conn) prove(k claim, a about) (lost []*member, err error) {
	id := k.whose
	dependents, err := c.keepProof(k)
	switch {
	case err != nil:
		return nil, err
	case len(dependents) > 0:
		lost, err = c.renew(dependents, k.text)
	case k.token.Resource.Identity.Module != iot.EdgeHubModule:
		_, err = c.join(id, a, true)
	}
	if err != nil {
		c.dropProof(id, k)
	}
	return lost, err
}

// renew replaces the token of all that depend on it, and returns those for which
// the hub does not take it. They are an error only if there are no others; the rest
// stay until the older token expires.
func (c *conn) renew(dependents []*member, token string) (lost []*member, err error) {
	var wrong, late error
	for _, m := range dependents {
		err := m.renew(token)
		switch {
		case err == nil:
		case iot.KindOf(err) == iot.Unauthorized:
			wrong = err
			lost = append(lost, m)
		default:
			late = err
		}
	}
	if late == nil && len(lost) == len(dependents) {
		return lost, wrong
	}
	return lost, late
}

// keepProof notes a token, and returns the members whose token it replaces.
func (c *conn) keepProof(k claim) (dependents []*member, err error) {
	id := k.whose
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.proofs[id]
	if p == nil && len(c.proofs) >= c.head.opt.Identities {
		c.dropUnused()
	}
	if p == nil && len(c.proofs) >= c.head.opt.Identities {
		return nil, iot.Errorf(iot.Throttled, "put-token", id, "the connection has %d tokens; use another", len(c.proofs))
	}
	c.proofs[id] = &proof{actor: k.token.Resource.Identity, token: k.text, expires: k.token.Expiry, accepted: p != nil && p.accepted}
	if k.behalf() {
		// Nobody else can depend on it, and there may be thousands of these.
		if m := c.members[id]; m != nil && m.proof == id {
			dependents = append(dependents, m)
		}
		return dependents, nil
	}
	for _, m := range c.members {
		if m.proof == id {
			dependents = append(dependents, m)
		}
	}
	slices.SortFunc(dependents, func(a, b *member) int { return strings.Compare(a.id.String(), b.id.String()) })
	return dependents, nil
}

// dropUnused forgets tokens that served for a session which is over. c.mu is held.
func (c *conn) dropUnused() {
	for id, p := range c.proofs {
		if p.accepted && p.actor != id && c.members[id] == nil {
			delete(c.proofs, id)
		}
	}
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
	status, text := int32(200), "OK"
	if err != nil {
		c.head.log.Info("amqphead: token refused", "remote", c.remote(), "err", err)
		status, text = int32(iot.KindOf(err).HTTPStatus()), fmt.Sprintf("%s: %s", refusal(err).Condition, explain(err))
	}
	to := c.answerTo(d)
	if to == nil {
		d.Accept() // nobody wants to know
		return
	}
	msg := &amqp10.Message{Properties: &amqp10.Properties{CorrelationID: k.id}, Value: ""}
	msg.ApplicationProperties.Set("status-code", status)
	msg.ApplicationProperties.Set("status-description", text)
	to.answer(d, msg)
}
