package gateway

import (
	"context"
	"slices"
	"strconv"

	"sluice/iot"
)

// maxCommand bounds a command, in bytes, as IoT Hub does.
const maxCommand = 64 << 10

// handed is a command that somebody at the machine gives a client.
type handed struct {
	message iot.Message
	settled chan iot.Outcome // capacity 1; closed if it never will be
}

// Command hands a command to a member that is connected here and takes commands,
// whether the hub is there or not, and returns how the member settled it. Nobody
// keeps the command: if the member leaves, or gives it back, it is gone.
//
// The error is NotFound for who is no member, is away, or takes no commands, or left
// before it had settled the command; TooLarge; Timeout if ctx ended first, and then
// the member may or may not have got it.
func (g *Gateway) Command(ctx context.Context, id iot.Identity, m iot.Message) (iot.Outcome, error) {
	if err := g.isMember(ctx, id); err != nil {
		return 0, err
	}
	if n := m.Size(); n > maxCommand {
		return 0, iot.Errorf(iot.TooLarge, "command", id, "command of %d bytes, limit %d", n, maxCommand)
	}
	m.System.Set(iot.To, "/devices/"+id.Device+"/messages/devicebound")
	f := g.commandsOf(id)
	if f == nil {
		return 0, iot.Errorf(iot.NotFound, "command", id, "it is not connected, or takes no commands")
	}
	h := &handed{message: m, settled: make(chan iot.Outcome, 1)}
	f.offer(h)
	select {
	case outcome, ok := <-h.settled:
		if !ok {
			return 0, iot.Errorf(iot.NotFound, "command", id, "it left before it had settled the command")
		}
		return outcome, nil
	case <-ctx.Done():
		f.withdraw(h)
		return 0, iot.Errorf(iot.Timeout, "command", id, "it has not settled the command in time")
	}
}

// commandsOf is the flow of a client that takes commands now, or nil.
func (g *Gateway) commandsOf(id iot.Identity) *commandFlow {
	s, ok := g.sessions.Get(id)
	if !ok {
		return nil
	}
	s.down.mu.Lock()
	defer s.down.mu.Unlock()
	return s.down.commands
}

// offer delivers a command as soon as the client has credit for it. Credit that the
// hub was given is taken back first, so that nobody else uses it.
func (f *commandFlow) offer(h *handed) {
	for {
		f.mu.Lock()
		up := f.up
		f.mu.Unlock()
		free := 0
		if up != nil {
			free = up.Revoke()
		}
		f.mu.Lock()
		same := f.up == up
		var token string
		if same {
			if up == nil {
				free = f.credit
			}
			token = f.accept(h, min(free, f.credit) > 0)
		}
		f.mu.Unlock()
		if token != "" {
			free--
		}
		if up != nil && free > 0 {
			up.Grant(free)
		}
		if same {
			f.pass(h, token)
			return
		}
	}
}

// accept uses one credit for a command, and returns its lock token, or has it wait.
// mu is held.
func (f *commandFlow) accept(h *handed, free bool) (token string) {
	switch {
	case f.closed:
		close(h.settled)
	case !free:
		f.waiting = append(f.waiting, h)
	default:
		f.credit--
		f.serial++
		token = "operator-" + strconv.FormatUint(f.serial, 10)
		f.handed[token] = h
	}
	return token
}

func (f *commandFlow) pass(h *handed, token string) {
	if token != "" {
		f.deliver(iot.Delivery{Message: h.message, LockToken: token})
	}
}

// next accepts a command that waits, if there is credit: with its token, or nil. mu is
// held.
func (f *commandFlow) next() (h *handed, token string) {
	if len(f.waiting) == 0 || f.credit == 0 {
		return nil, ""
	}
	h, f.waiting = f.waiting[0], f.waiting[1:]
	return h, f.accept(h, true)
}

// withdraw forgets a command that was not delivered yet. One that was stays the
// client's to settle.
func (f *commandFlow) withdraw(h *handed) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.waiting = slices.DeleteFunc(f.waiting, func(o *handed) bool { return o == h })
}

// took settles a command that was handed, and reports whether it was one.
func (f *commandFlow) took(lockToken string, outcome iot.Outcome) bool {
	f.mu.Lock()
	h, ok := f.handed[lockToken]
	delete(f.handed, lockToken)
	f.mu.Unlock()
	if ok {
		h.settled <- outcome
	}
	return ok
}

// left notes that the client has gone. The downlink ends what the hub delivers.
func (f *commandFlow) left() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	f.giveUp()
}

// giveUp ends what was handed and will not be settled. mu is held.
func (f *commandFlow) giveUp() {
	for _, h := range f.waiting {
		close(h.settled)
	}
	for _, h := range f.handed {
		close(h.settled)
	}
	f.waiting = nil
	clear(f.handed)
}
