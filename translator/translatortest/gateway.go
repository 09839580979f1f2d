// Package translatortest has a gateway in memory, for tests of protocol
// translators: what they send can be read, and acknowledged when the test likes;
// calls and commands can be sent down; and the connection can be cut.
package translatortest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"sluice/internal/leafwire"
	"sluice/iot"
	"sluice/translator"
)

// Module is the id of the translator's module.
const Module = "ptm-test"

// A Gateway is what a translator connects to. Its methods may be called from any
// goroutine.
type Gateway struct {
	t testing.TB

	mu      sync.Mutex
	changed *sync.Cond
	safe    []iot.Message // acknowledged, in order
	held    []held
	hold    bool
	refuse  func(iot.Message) error
	now     *session
	down    []iot.Message // not delivered yet
	asked   int
	twin    iot.Twin
	away    bool
}

type held struct {
	batch []iot.Message
	done  func(error)
}

// New makes a gateway for a test.
func New(t testing.TB) *Gateway {
	g := &Gateway{t: t, twin: iot.Twin{Desired: json.RawMessage("{}"), Reported: json.RawMessage("{}")}}
	g.changed = sync.NewCond(&g.mu)
	return g
}

// Options are those of a translator at this gateway; what a test has to add is
// added to them.
func (g *Gateway) Options() translator.Options {
	return translator.Options{ModuleID: Module, DeviceID: "edge-1", Connect: g.Connect}
}

// Connect is for [translator.Options].
func (g *Gateway) Connect(_ context.Context, client iot.Client) (iot.Session, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.away {
		return nil, iot.Errorf(iot.Unavailable, "connect", iot.Identity{}, "the gateway is away")
	}
	g.now = &session{g: g, client: client}
	g.changed.Broadcast()
	return g.now, nil
}

// Hold keeps what comes from now on without an acknowledgement, until Release.
func (g *Gateway) Hold() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.hold = true
}

// Release acknowledges what is held, and what comes.
func (g *Gateway) Release() {
	g.mu.Lock()
	g.hold = false
	list := g.held
	g.held = nil
	for _, h := range list {
		g.safe = append(g.safe, h.batch...)
	}
	g.changed.Broadcast()
	g.mu.Unlock()
	for _, h := range list {
		h.done(nil)
	}
}

// Held is how many messages wait for an acknowledgement.
func (g *Gateway) Held() (n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, h := range g.held {
		n += len(h.batch)
	}
	return n
}

// Refuse has messages refused for which f has an error.
func (g *Gateway) Refuse(f func(iot.Message) error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.refuse = f
}

// Cut ends the connection. What is held is lost. While away is set there is no
// other.
func (g *Gateway) Cut(away bool) {
	g.mu.Lock()
	s, lost := g.now, g.held
	g.now, g.held, g.away = nil, nil, away
	g.mu.Unlock()
	if s == nil {
		return
	}
	s.over(lost)
	if s.client.Ended != nil {
		s.client.Ended(fmt.Errorf("%w: cut by the test", iot.ErrClosed))
	}
}

// SetDesired changes the desired properties of the translator's module.
func (g *Gateway) SetDesired(doc string) {
	g.mu.Lock()
	g.twin.Desired = json.RawMessage(doc)
	g.twin.DesiredVersion++
	s := g.now
	g.mu.Unlock()
	if s != nil {
		s.tellDesired(json.RawMessage(doc))
	}
}

// Reported are the reported properties that the module set last.
func (g *Gateway) Reported() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return string(g.twin.Reported)
}

// patience is how long tests wait for something.
const patience = 30 * time.Second

// Wait waits until ok, which is called with all that the gateway has, in order.
func (g *Gateway) Wait(what string, ok func([]iot.Message) bool) {
	g.t.Helper()
	late := false
	timer := time.AfterFunc(patience, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		late = true
		g.changed.Broadcast()
	})
	defer timer.Stop()
	g.mu.Lock()
	defer g.mu.Unlock()
	for !ok(g.safe) {
		if late {
			g.t.Fatalf("waited in vain for %s; the gateway has %d messages, the last: %s", what, len(g.safe), last(g.safe))
		}
		g.changed.Wait()
	}
}

func last(list []iot.Message) string {
	if len(list) == 0 {
		return "none"
	}
	m := list[len(list)-1]
	return fmt.Sprintf("%v %.200s", m.Properties, m.Body)
}

// Messages are all that the gateway has, in order.
func (g *Gateway) Messages() []iot.Message {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.safe)
}

// Find waits for a message of a leaf and of a type, "" for telemetry, that ok
// accepts; nil accepts any.
func (g *Gateway) Find(leaf, kind string, ok func(iot.Message) bool) iot.Message {
	g.t.Helper()
	var found iot.Message
	g.Wait(fmt.Sprintf("a message of %s of type %q", leaf, kind), func(list []iot.Message) bool {
		for _, m := range list {
			of, _, _ := leafwire.Leaf(&m)
			is, _ := leafwire.Type(&m)
			if of == leaf && is == kind && (ok == nil || ok(m)) {
				found = m
				return true
			}
		}
		return false
	})
	return found
}

// Bodies are the bodies of a leaf's telemetry, in order.
func (g *Gateway) Bodies(leaf string) (list []string) {
	for _, m := range g.Messages() {
		of, _, _ := leafwire.Leaf(&m)
		if is, _ := leafwire.Type(&m); of == leaf && is == "" {
			list = append(list, string(m.Body))
		}
	}
	return list
}

// Call invokes a direct method of a leaf, and returns the translator's answer.
func (g *Gateway) Call(leaf, name, payload string) (status int, answer string) {
	g.t.Helper()
	id := g.id()
	g.send(route(leaf).Method(leafwire.Method{ID: id, Name: name, Payload: json.RawMessage(payload), Timeout: patience}))
	r := g.response(leaf, id)
	return r.Status, string(r.Payload)
}

// Command sends a leaf a cloud-to-device message, and returns how it was settled.
func (g *Gateway) Command(leaf, body string) iot.Outcome {
	g.t.Helper()
	id := g.id()
	g.send(route(leaf).Command(id, iot.Message{Body: []byte(body)}))
	return g.response(leaf, id).Settle
}

// Desire sends a leaf desired properties, all of them or a patch.
func (g *Gateway) Desire(leaf, doc string, full bool) {
	g.send(route(leaf).Desired(leafwire.Desired{Full: full, Patch: json.RawMessage(doc)}))
}

// Tell sends a leaf's state to the translator.
func (g *Gateway) Tell(leaf, state, reason string) {
	g.send(route(leaf).State(leafwire.State(state), reason))
}

// Input sends any message to the translator.
func (g *Gateway) Input(m iot.Message) { g.send(m) }

// Capabilities waits until a leaf has said that it can take this.
func (g *Gateway) Capabilities(leaf string, want translator.Capabilities) {
	g.t.Helper()
	g.Wait(fmt.Sprintf("%s to say %+v", leaf, want), func(list []iot.Message) bool {
		var said *leafwire.Hello
		for _, m := range list {
			of, _, _ := leafwire.Leaf(&m)
			if is, _ := leafwire.Type(&m); of == leaf && is == leafwire.TypeHello {
				h, _ := leafwire.ParseHello(m.Body)
				said = &h
			}
		}
		return said != nil && *said == leafwire.Hello{Methods: want.Methods, Desired: want.Desired, Commands: want.Commands}
	})
}

func route(leaf string) leafwire.Route { return leafwire.Route{Leaf: leaf, Module: Module} }

func (g *Gateway) id() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asked++
	return fmt.Sprintf("question-%d", g.asked)
}

func (g *Gateway) response(leaf, id string) leafwire.Response {
	g.t.Helper()
	m := g.Find(leaf, leafwire.TypeResponse, func(m iot.Message) bool { return m.System.Get(iot.CorrelationID) == id })
	r, err := leafwire.ParseResponse(&m)
	if err != nil {
		g.t.Fatal(err)
	}
	return r
}

func (g *Gateway) send(m iot.Message) {
	g.mu.Lock()
	g.down = append(g.down, m)
	s := g.now
	g.mu.Unlock()
	if s != nil {
		s.push()
	}
}

// Reports waits until the module reported this last.
func (g *Gateway) Reports(want string) {
	g.t.Helper()
	g.Wait("the module to report "+want, func([]iot.Message) bool { return string(g.twin.Reported) == want })
}
