package mqttbridge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"sluice/mqtt"
	"sluice/translator"
)

// broker is the bridge's own. It carries messages between devices and the gateway,
// and none between devices. It keeps nothing for a client that is not connected:
// commands and desired properties wait at the hub, which is told what a leaf can
// take as its subscriptions come and go.
type broker struct {
	of        *Bridge
	server    *mqtt.Server
	passwords passwords // nil: anybody
	listening func(net.Addr)

	mu      sync.Mutex
	clients map[string]*client // by client id
	made    int                // client ids
	// Who subscribed to what goes down to a leaf, or, with the id "", to all.
	subscribers [kinds]map[string]map[*client]struct{}
}

// brokerLimits bound what one device can make the bridge hold.
var brokerLimits = mqtt.Limits{MaxInbound: 64, MaxInboundBytes: 64 << 10, MaxSubscriptions: 128, ShutdownGrace: time.Second}

// maxFilter is the longest filter that is granted, in bytes.
const maxFilter = 1 << 10

func newBroker(b *Bridge, listening func(net.Addr)) (*broker, error) {
	k := &broker{of: b, listening: listening, clients: make(map[string]*client)}
	k.server = &mqtt.Server{Backend: k, Limits: brokerLimits, Log: b.log}
	k.server.Limits.MaxConnections = b.cfg.MaxConnections
	for i := range k.subscribers {
		k.subscribers[i] = make(map[string]map[*client]struct{})
	}
	var err error
	if b.cfg.PasswordFile != "" {
		if k.passwords, err = loadPasswords(b.cfg.PasswordFile); err != nil {
			return nil, err
		}
	}
	if b.cfg.Cert != "" {
		pair, err := tls.LoadX509KeyPair(b.cfg.Cert, b.cfg.Key)
		if err != nil {
			return nil, fmt.Errorf("cert and key: %w", err)
		}
		k.server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	}
	return k, nil
}

func (k *broker) run(ctx context.Context) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", k.of.cfg.Listen)
	if err != nil {
		return err
	}
	k.of.log.Info("listening for MQTT", "address", l.Addr(), "tls", k.server.TLS != nil)
	if host, _, _ := net.SplitHostPort(l.Addr().String()); k.passwords == nil && !net.ParseIP(host).IsLoopback() {
		k.of.log.Warn("anybody on the network may publish as any leaf: set password_file and own_topics, or listen on 127.0.0.1")
	}
	if k.listening != nil {
		k.listening(l.Addr())
	}
	return k.server.Serve(ctx, l)
}

var errTakenOver = errors.New("mqttbridge: a client of the same id connected")

// Connect implements mqtt.Backend.
func (k *broker) Connect(_ context.Context, c *mqtt.Connect, conn *mqtt.Conn) (mqtt.Session, bool, error) {
	if k.passwords != nil && !k.passwords.check(c.Username, c.Password) {
		return nil, false, &mqtt.ConnectError{Code: mqtt.CodeBadCredentials, Err: fmt.Errorf("wrong user name or password, user %.100q", c.Username)}
	}
	s := &client{of: k, conn: conn, id: c.ClientID, user: c.Username, filters: make(map[string]mqtt.QoS)}
	switch k.of.cfg.OwnTopics {
	case "username":
		s.own = c.Username
	case "client_id":
		s.own = c.ClientID
	}
	if k.of.cfg.OwnTopics != "" {
		if _, err := k.of.t.Leaf(s.own); err != nil {
			return nil, false, &mqtt.ConnectError{Code: mqtt.CodeNotAuthorized, Err: err}
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if s.id == "" {
		k.made++
		s.id = "auto/" + strconv.Itoa(k.made) // [MQTT-3.1.3-6]
	}
	if old := k.clients[s.id]; old != nil {
		old.conn.Close(errTakenOver)
	}
	k.clients[s.id] = s
	return s, false, nil
}

// subscribe notes a client's filter for what it reaches, and returns the leaves of
// which that changes what they can take; all for every leaf. It is called with mu.
func (k *broker) note(c *client, filter string) (leaves []string, all bool) {
	for kind, topic := range k.of.mapping.Load().down {
		if topic == nil {
			continue
		}
		leaf, every, any := topic.reach(filter)
		if !any {
			continue
		}
		if every {
			leaf, all = "", true
		} else {
			leaves = append(leaves, leaf)
		}
		if k.subscribers[kind][leaf] == nil {
			k.subscribers[kind][leaf] = make(map[*client]struct{})
		}
		k.subscribers[kind][leaf][c] = struct{}{}
	}
	return leaves, all
}

// forget removes a client from what a filter reaches, unless another of its
// filters reaches that too.
func (k *broker) forget(c *client, filter string) (leaves []string, all bool) {
	for kind, topic := range k.of.mapping.Load().down {
		if topic == nil {
			continue
		}
		leaf, every, any := topic.reach(filter)
		if !any {
			continue
		}
		if every {
			leaf, all = "", true
		} else {
			leaves = append(leaves, leaf)
		}
		delete(k.subscribers[kind][leaf], c)
		if len(k.subscribers[kind][leaf]) == 0 {
			delete(k.subscribers[kind], leaf)
		}
	}
	for other := range c.filters {
		k.note(c, other)
	}
	return leaves, all
}

// tell has leaves greeted whose subscribers changed. It takes no names that cannot
// be a leaf's, and no more than there may be leaves: they wait as long as the
// gateway is away.
func (k *broker) tell(leaves []string, all bool) {
	if all {
		k.of.in.greetings(k.of.ids()...)
	}
	for _, id := range leaves {
		_, err := k.of.t.Leaf(id)
		if err == nil && !k.of.isKnown(id) && k.of.in.greeting() >= k.of.cfg.MaxLeaves {
			err = refuse("more than max_leaves are waited for")
		}
		if err != nil {
			k.of.Stats.Refused.Add(1)
			k.of.refused.tell(&publication{topic: "a subscription"}, err)
			continue
		}
		k.of.in.greetings(id)
	}
}

// can implements field: a leaf can take what somebody subscribed to for it.
func (k *broker) can(leaf string) translator.Capabilities {
	k.mu.Lock()
	defer k.mu.Unlock()
	has := func(what kind) bool {
		return len(k.subscribers[what][leaf])+len(k.subscribers[what][""]) > 0
	}
	return translator.Capabilities{Methods: has(method), Desired: has(desired), Commands: has(command)}
}

// remapped implements field: what filters reach is found anew.
func (k *broker) remapped() {
	k.mu.Lock()
	for i := range k.subscribers {
		clear(k.subscribers[i])
	}
	for _, c := range k.clients {
		for filter := range c.filters {
			k.note(c, filter)
		}
	}
	k.mu.Unlock()
	k.tell(nil, true)
}

var errNobody = errors.New("nobody subscribed to it")

// deliver implements field. The first client that takes it is enough.
func (k *broker) deliver(d delivery, done func(error)) {
	k.mu.Lock()
	var to []*client
	for _, of := range []string{d.leaf, ""} {
		for c := range k.subscribers[d.kind][of] {
			to = append(to, c)
		}
	}
	k.mu.Unlock()
	p := &pending{left: len(to), done: done}
	if len(to) == 0 {
		done(errNobody)
	}
	for _, c := range to {
		c.send(d, p)
	}
}

// pending is a delivery to several clients.
type pending struct {
	mu   sync.Mutex
	left int
	done func(error) // nil after it was called
}

// settle counts one client's result: nil, or that of the last.
func (p *pending) settle(err error) {
	p.mu.Lock()
	p.left--
	done := p.done
	if done == nil || err != nil && p.left > 0 {
		p.mu.Unlock()
		return
	}
	p.done = nil
	p.mu.Unlock()
	done(err)
}
