package amqp10

import (
	"log/slog"
	"runtime/debug"
)

// event is a callback that is due. Events are queued with mu held and run
// without it, one after the other.
type event struct {
	kind     eventKind
	snd      *Sender
	rcv      *Receiver
	delivery *Delivery
	done     func(Outcome, error)
	outcome  Outcome
	request  *LinkRequest
	err      error
}

type eventKind uint8

const (
	evAttach eventKind = iota
	evDelivery
	evCredit
	evDone
	evLinkClosed
)

// A turn is a lock that is held for as long as somebody else's callback takes. It is
// a channel, as testing/synctest takes nobody for waiting who waits for a mutex.
type turn chan struct{}

func (t turn) take() { t <- struct{}{} }

func (t turn) give() { <-t }

// post queues an event. [mu held]
func (c *Conn) post(e event) { c.events = append(c.events, e) }

// maxSpareEvents is how many events' room a busy connection keeps; an idle one
// keeps none.
const maxSpareEvents = 256

// runEvents runs what is queued, until nothing is. Whoever holds calling runs
// the events of others too, so that their order stays.
func (c *Conn) runEvents() {
	c.calling.take()
	defer c.calling.give()
	c.mu.Lock()
	for len(c.events) > 0 {
		due := c.events
		c.events, c.spareEvents = c.spareEvents[:0], nil
		c.mu.Unlock()
		for i := range due {
			c.call(&due[i])
		}
		clear(due)
		c.mu.Lock()
		c.spareEvents = due[:0]
	}
	if cap(c.spareEvents) > maxSpareEvents {
		c.spareEvents = nil
	}
	c.mu.Unlock()
}

func (c *Conn) call(e *event) {
	switch e.kind {
	case evAttach:
		c.handler.Attach(e.request)
	case evDelivery:
		e.rcv.config.OnDelivery(e.delivery)
	case evCredit:
		e.snd.offerCredit()
	case evDone:
		e.done(e.outcome, e.err)
	case evLinkClosed:
		if e.snd != nil {
			e.snd.config.OnClose(e.err)
		} else {
			e.rcv.config.OnClose(e.err)
		}
	}
}

// notify runs events that were posted outside the reader. [mu held]
func (c *Conn) notify() {
	if len(c.events) == 0 || c.notifying || c.ended {
		return
	}
	c.notifying = true
	c.wg.Go(func() {
		defer c.recovered()
		c.mu.Lock()
		c.notifying = false
		c.mu.Unlock()
		c.runEvents()
	})
}

// recovered ends the connection of a callback that panicked, and nothing else.
// It is deferred wherever callbacks run.
func (c *Conn) recovered() {
	p := recover()
	if p == nil {
		return
	}
	c.logPanic(p)
	c.CloseWith(Errorf(ErrInternal, "internal error"))
}

func (c *Conn) logPanic(p any) {
	c.log.Error("amqp10: panic in a callback; closing the connection",
		slog.Any("panic", p), slog.String("remote", c.RemoteAddr().String()), slog.String("stack", string(debug.Stack())))
}
