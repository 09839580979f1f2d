package translate

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"sync"
	"time"

	"sluice/internal/leafwire"
	"sluice/iot"
)

// A desk has the questions that translators were asked: methods and commands.
type desk struct {
	mu    sync.Mutex
	asked map[string]*question
	over  bool
}

// A question waits for its answer, or for its time to be up.
type question struct {
	route  leafwire.Route
	timer  *time.Timer
	answer func(leafwire.Response) // to what was asked
	unmet  func()                  // there is none
}

// maxQuestions is how many may wait.
const maxQuestions = 20_000

func (d *desk) init() { d.asked = map[string]*question{} }

// open notes a question under its id. It reports whether it did.
func (d *desk) open(id string, q *question, within time.Duration) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.over || len(d.asked) >= maxQuestions {
		return false
	}
	d.asked[id] = q
	q.timer = time.AfterFunc(within, func() { d.giveUp(id) })
	return true
}

// take takes a question off the desk; nil if it is not there any more.
func (d *desk) take(id string, fits func(*question) bool) *question {
	d.mu.Lock()
	defer d.mu.Unlock()
	q := d.asked[id]
	if q == nil || !fits(q) {
		return nil
	}
	delete(d.asked, id)
	q.timer.Stop()
	return q
}

// giveUp ends a question without an answer.
func (d *desk) giveUp(id string) {
	if q := d.take(id, func(*question) bool { return true }); q != nil {
		q.unmet()
	}
}

// answer takes a translator's answer. Only who was asked, for the leaf that it was
// asked about, may answer.
func (d *desk) answer(from leafwire.Route, r leafwire.Response) {
	if q := d.take(r.Correlation, func(q *question) bool { return q.route == from }); q != nil {
		q.answer(r)
	}
}

func (d *desk) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.over = true
	for _, q := range d.asked {
		q.timer.Stop()
	}
	clear(d.asked)
}

// module is the translator that speaks for the leaf.
func (c *conn) module() string {
	c.m.mu.Lock()
	defer c.m.mu.Unlock()
	return c.l.Module
}

// ask asks the translator.
func (c *conn) ask(id string, msg iot.Message, q *question, within time.Duration) {
	d := &c.m.desk
	if !d.open(id, q, within) {
		q.unmet()
		return
	}
	c.m.herald.tell(msg, func(err error) {
		if err != nil {
			d.giveUp(id)
		}
	})
}

func (c *conn) listenForMethods(context.Context) error {
	_, err := c.session.Methods(c.called)
	return err
}

// called hands a method to the translator.
func (c *conn) called(call iot.MethodCall, reply func(iot.MethodResult)) {
	within := call.ResponseTimeout
	if within <= 0 {
		within = c.m.opt.MethodTimeout
	}
	id := rand.Text()
	route := leafwire.Route{Leaf: c.l.id, Module: c.module()}
	msg := route.Method(leafwire.Method{ID: id, Name: call.Name, Timeout: within, Payload: call.Payload})
	c.ask(id, msg, &question{
		route:  route,
		answer: func(r leafwire.Response) { reply(iot.MethodResult{Status: r.Status, Payload: r.Payload}) },
		unmet:  func() { reply(problem(504, "the leaf's translator did not answer")) },
	}, within)
}

// problem is the answer to a method that could not be called.
func problem(status int, text string) iot.MethodResult {
	payload, err := json.Marshal(map[string]string{"message": text})
	if err != nil {
		payload = nil
	}
	return iot.MethodResult{Status: status, Payload: payload}
}

// commandsAtATime is how many commands of a leaf its translator has at a time.
const commandsAtATime = 4

func (c *conn) listenForCommands(context.Context) error {
	sub, err := c.session.Commands(c.commanded)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.commands = sub
	c.mu.Unlock()
	sub.Grant(commandsAtATime)
	return nil
}

// commanded hands a command to the translator.
func (c *conn) commanded(d iot.Delivery) {
	id := rand.Text()
	route := leafwire.Route{Leaf: c.l.id, Module: c.module()}
	c.ask(id, route.Command(id, d.Message), &question{
		route:  route,
		answer: func(r leafwire.Response) { c.settle(d.LockToken, r.Settle) },
		unmet:  func() { c.settle(d.LockToken, iot.Abandon) },
	}, c.m.opt.CommandLock)
}

// settle settles a command. It fails when the session has ended, or its lock: the
// command comes again then.
func (c *conn) settle(token string, outcome iot.Outcome) {
	if outcome == 0 {
		outcome = iot.Complete // a status, from who takes a command for a method
	}
	ctx, cancel := context.WithTimeout(context.Background(), operationTimeout)
	defer cancel()
	_ = c.session.Settle(ctx, token, outcome)
	c.mu.Lock()
	sub := c.commands
	c.mu.Unlock()
	sub.Grant(1)
}
