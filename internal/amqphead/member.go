package amqphead

import (
	"errors"
	"slices"
	"strings"

	"sluice/amqp10"
	"sluice/internal/method"
	"sluice/iot"
)

// A member is an identity for which a connection acts: one session at the hub, and
// the links that use it.
type member struct {
	conn  *conn
	id    iot.Identity
	proof iot.Identity // for whom the token was put with which it is here; zero for a certificate
	chain string       // from the identity up to the actor, as the client has it
	hub   iot.Session  // set before the member is known to others
	twin  twinDesk
	calls method.Calls

	// Guarded by conn.mu.
	token string // with which the hub let it in or stay
	over  error  // why the hub has ended the session, or nil
	known bool   // is or was one of the connection's members
	links []*link
	waits bool // begun by a token alone, and for its first link
}

// linksPerIdentity is how many links one identity may have. SDKs have six.
const linksPerIdentity = 16

// about is what a client says of itself with a link.
type about struct {
	apiVersion string
	product    string
	modelID    string
	authChain  string
}

func aboutLink(properties amqp10.Fields) about {
	return about{
		apiVersion: properties.Text("com.microsoft:api-version"),
		product:    properties.Text("com.microsoft:client-version"),
		modelID:    properties.Text("com.microsoft:model-id"),
		authChain:  properties.Text("com.microsoft:auth-chain"),
	}
}

// join returns the member for an identity, which is made if its proof is good; one
// that waits stays until it has had a link. It is the identity's turn.
func (c *conn) join(id iot.Identity, a about, waits bool) (*member, error) {
	c.mu.Lock()
	m := c.members[id]
	c.mu.Unlock()
	switch {
	case m == nil:
	case a.authChain != "" && a.authChain != m.chain:
		return nil, iot.Errorf(iot.Unauthorized, "connect", id, "its session is not on behalf by %.300q", a.authChain)
	default:
		return m, nil
	}
	m = &member{conn: c, id: id, waits: waits}
	creds, err := c.credentials(m, a.authChain)
	if err != nil {
		return nil, err
	}
	if err := m.connect(creds, a); err != nil {
		return nil, err
	}
	if err := c.add(m); err != nil {
		m.end()
		return nil, err
	}
	if err := m.catchUp(creds); err != nil {
		m.ended(err)
		return nil, err
	}
	return m, nil
}

// connect begins the session.
func (m *member) connect(creds iot.Credentials, a about) error {
	c := m.conn
	ctx, cancel := c.operate(c.life)
	defer cancel()
	hub, err := c.head.hub.Connect(ctx, creds, iot.Client{
		Protocol:   c.head.opt.Protocol,
		RemoteAddr: c.remote(),
		APIVersion: a.apiVersion,
		Product:    a.product,
		ModelID:    a.modelID,
		Ended:      m.ended,
	})
	if err != nil {
		return timely(ctx, "connect", m.id, err)
	}
	m.hub = hub
	return nil
}

// credentials finds the proof for a member: the token that was put for it, its own
// or that of the $edgeHub at the end of the chain; the one that was put for that
// $edgeHub; or the certificate of the connection.
func (c *conn) credentials(m *member, chain string) (iot.Credentials, error) {
	creds := iot.Credentials{Identity: m.id, AuthChain: chain}
	m.chain = chain
	actor := m.id
	if chain != "" {
		actor = iot.ModuleIdentity(chain[strings.LastIndexByte(chain, ';')+1:], iot.EdgeHubModule)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.members) >= c.head.opt.Identities {
		return creds, iot.Errorf(iot.Throttled, "connect", m.id, "the connection acts for %d identities; use another", len(c.members))
	}
	if p := c.proofs[m.id]; p != nil && (chain == "" || p.actor == actor) {
		m.proof, m.token, creds.Token = m.id, p.token, p.token
		return creds, nil
	}
	if p := c.proofs[actor]; p != nil {
		m.proof, m.token, creds.Token = actor, p.token, p.token
		return creds, nil
	}
	if t := c.amqp.TLS(); chain == "" && t != nil && len(t.PeerCertificates) > 0 {
		creds.Certificates = t.PeerCertificates
		return creds, nil
	}
	return creds, iot.Errorf(iot.Unauthorized, "connect", m.id, "no token of %v has been put, and there is no certificate", actor)
}

// add makes a member known, unless the hub has ended it already.
func (c *conn) add(m *member) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case m.over != nil:
		return m.over
	case c.finished:
		return iot.ErrClosed
	}
	if p := c.proofs[m.proof]; p != nil {
		p.accepted = true
	}
	c.members[m.id] = m
	m.known = true
	c.watch()
	return nil
}

// catchUp renews the session if its token was replaced while the hub judged the
// older one.
func (m *member) catchUp(creds iot.Credentials) error {
	c := m.conn
	c.mu.Lock()
	p := c.proofs[m.proof]
	c.mu.Unlock()
	if p == nil || p.token == creds.Token {
		return nil
	}
	return m.renew(p.token)
}

// renew replaces the token of a living session.
func (m *member) renew(token string) error {
	c := m.conn
	ctx, cancel := c.operate(c.life)
	defer cancel()
	creds := iot.Credentials{Identity: m.id, Token: token, AuthChain: m.chain}
	if err := m.hub.Renew(ctx, creds); err != nil {
		return timely(ctx, "renew", m.id, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	m.token = token
	return nil
}

// ended is told by the hub that it has ended the session. The identity's links are
// closed, and it must prove itself again; if it was the last, the connection is
// closed, since its client may have nothing left that would tell it.
func (m *member) ended(reason error) {
	c := m.conn
	c.mu.Lock()
	if m.over != nil {
		c.mu.Unlock()
		return
	}
	m.over = reason
	if !m.known || c.finished {
		c.mu.Unlock()
		return // join or Closed sees to the rest
	}
	if c.members[m.id] == m {
		delete(c.members, m.id)
		c.watch()
		c.order.push(m.id, m.end)
	}
	if p := c.proofs[m.id]; p != nil && p.token == m.token {
		delete(c.proofs, m.id)
	}
	last := len(c.members) == 0 && !c.hopeful()
	links := slices.Clone(m.links)
	c.mu.Unlock()

	c.head.log.Info("amqphead: session ended", "identity", m.id.String(), "remote", c.remote(), "err", reason)
	why := refusal(reason)
	if last {
		c.amqp.Dismiss(why)
		return
	}
	for _, l := range links {
		l.close(why)
	}
}

// end lets go of everything the session has, and returns when nothing of it runs.
// What the client has settled is settled first: it is not to come again.
func (m *member) end() {
	c := m.conn
	c.mu.Lock()
	links := slices.Clone(m.links)
	c.mu.Unlock()
	for _, l := range links {
		l.finish()
	}
	if err := m.hub.Close(); err != nil && !errors.Is(err, iot.ErrClosed) {
		c.head.log.Warn("amqphead: close session", "identity", m.id.String(), "err", err)
	}
	m.twin.close()
	m.calls.Close()
}

// leaveIfIdle ends the session of an identity that has no link any more, unless it
// waits for its first. It is the identity's turn.
func (c *conn) leaveIfIdle(id iot.Identity) {
	c.mu.Lock()
	m := c.members[id]
	if m == nil || m.waits || len(m.links) > 0 || c.finished {
		c.mu.Unlock()
		return
	}
	delete(c.members, id)
	c.watch()
	c.mu.Unlock()
	m.end()
}
