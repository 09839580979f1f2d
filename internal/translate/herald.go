package translate

import (
	"context"
	"sync"

	"sluice/iot"
)

// A herald sends to translators, in order, for those who must not wait themselves.
type herald struct {
	mu    sync.Mutex
	wait  []news
	more  chan struct{} // capacity 1
	ended bool
}

// news is a message for a translator.
type news struct {
	msg  iot.Message
	done func(error) // nil if nobody needs to know
}

// maxNews is how many messages may wait. All but states are bounded by what leaves'
// sessions have been granted.
const maxNews = 100_000

func (h *herald) init() { h.more = make(chan struct{}, 1) }

// tell has a message sent; done is called once, if not nil.
func (h *herald) tell(msg iot.Message, done func(error)) {
	h.mu.Lock()
	refused := h.ended || len(h.wait) >= maxNews
	if !refused {
		h.wait = append(h.wait, news{msg, done})
	}
	h.mu.Unlock()
	if !refused {
		raise(h.more)
	} else if done != nil {
		done(errEnding)
	}
}

func (h *herald) run(ctx context.Context, m *Module) {
	for {
		select {
		case <-h.more:
		case <-ctx.Done():
			h.mu.Lock()
			h.ended = true
			h.mu.Unlock()
			h.send(nil, m)
			return
		}
		h.send(m.link.now(), m)
	}
}

// send sends what waits; without a session it fails.
func (h *herald) send(session iot.Session, m *Module) {
	h.mu.Lock()
	wait := h.wait
	h.wait = nil
	h.mu.Unlock()
	for _, n := range wait {
		done := n.done
		if done == nil {
			done = func(err error) {
				if err != nil {
					m.opt.Log.Debug("a translator was not told", "err", err)
				}
			}
		}
		if session == nil {
			done(iot.Errorf(iot.Unavailable, "tell", m.id, "no gateway"))
			continue
		}
		session.Send([]iot.Message{n.msg}, done)
	}
}
