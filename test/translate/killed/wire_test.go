package killed

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"

	"sluice/iot"
)

// A life is one run of a process, from its start until it is killed. What it does
// after that reaches nobody, and what others do does not reach it.
type life struct {
	ctx  context.Context
	kill context.CancelFunc

	mu    sync.Mutex
	wires map[*wire]bool
	calls sync.WaitGroup // of others, under way in it; none begins after the end
}

func newLife() *life {
	l := &life{wires: map[*wire]bool{}}
	l.ctx, l.kill = context.WithCancel(context.Background())
	return l
}

func (l *life) over() bool { return l.ctx.Err() != nil }

// end is the moment of death: what was not said by now is not said any more.
func (l *life) end() {
	l.mu.Lock()
	l.kill()
	cut := l.wires
	l.wires = map[*wire]bool{}
	l.mu.Unlock()
	for w := range cut {
		w.cut()
	}
}

// call makes a call to who lives so, if it still does.
func (l *life) call(do func()) bool {
	l.mu.Lock()
	if l.over() {
		l.mu.Unlock()
		return false
	}
	l.calls.Add(1)
	l.mu.Unlock()
	defer l.calls.Done()
	do()
	return true
}

// holds notes a wire of a life, if it is not over.
func (l *life) holds(w *wire) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over() {
		return false
	}
	l.wires[w] = true
	return true
}

func (l *life) drops(w *wire) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.wires, w)
}

// A server is a run of what others connect to.
type server struct {
	*life
	iot.Hub
}

// errKilled is what either end of a wire hears when the other was killed.
var errKilled = iot.Errorf(iot.Unavailable, "wire", iot.Identity{}, "the other end was killed")

// A way leads from one run of a client to whichever run of a server there is.
type way struct {
	from    *life
	to      *atomic.Pointer[server]
	crossed func() // is called for all that goes over it
}

func (y way) Connect(ctx context.Context, creds iot.Credentials, client iot.Client) (iot.Session, error) {
	w := &wire{way: y, server: y.to.Load(), ended: client.Ended}
	client.Ended = w.end
	err := w.ask(func() (err error) {
		w.Session, err = w.server.Connect(ctx, creds, client)
		return err
	})
	if w.Session == nil {
		return nil, err
	}
	if !y.from.holds(w) || !w.server.holds(w) {
		w.cut()
		return nil, errKilled
	}
	return w, nil
}

func (y way) InScope(ctx context.Context, creds iot.Credentials, continuation string) (page iot.ScopePage, err error) {
	return ask(y, func(p iot.Parent) (iot.ScopePage, error) { return p.InScope(ctx, creds, continuation) })
}

func (y way) Lookup(ctx context.Context, creds iot.Credentials, target iot.Identity) ([]iot.Registration, error) {
	return ask(y, func(p iot.Parent) ([]iot.Registration, error) { return p.Lookup(ctx, creds, target) })
}

func ask[T any](y way, question func(iot.Parent) (T, error)) (answer T, err error) {
	w := &wire{way: y, server: y.to.Load()}
	err = w.ask(func() (err error) {
		answer, err = question(w.server.Hub.(iot.Parent))
		return err
	})
	return answer, err
}

// A wire is a session between two lives.
type wire struct {
	iot.Session
	way
	server *server
	once   sync.Once
	ended  func(error) // nil for nobody
}

// whole reports whether both ends live.
func (w *wire) whole() bool { return !w.from.over() && !w.server.over() }

// ask has the server do something, and returns what it says, or that one of the two
// was killed meanwhile.
func (w *wire) ask(do func() error) (err error) {
	w.crossed()
	if w.from.over() || !w.server.call(func() { err = do() }) {
		return errKilled
	}
	w.crossed()
	if !w.whole() {
		return errKilled
	}
	return err
}

// end passes on that the server has ended the session, once.
func (w *wire) end(reason error) {
	w.once.Do(func() {
		if w.ended != nil {
			w.ended(reason)
		}
	})
}

func (w *wire) cut() {
	_ = w.Session.Close() // in memory, it cannot fail
	w.end(errKilled)
}

func (w *wire) Close() error {
	w.once.Do(func() {})
	w.from.drops(w)
	w.server.drops(w)
	w.server.call(func() { _ = w.Session.Close() }) // or else it is closed already
	return nil
}

func (w *wire) Send(batch []iot.Message, done func(error)) {
	w.crossed()
	answer := func(err error) {
		w.crossed()
		if !w.whole() {
			err = errKilled
		}
		done(err)
	}
	if w.from.over() || !w.server.call(func() { w.Session.Send(batch, answer) }) {
		done(errKilled)
	}
}

func (w *wire) Settle(ctx context.Context, token string, outcome iot.Outcome) error {
	return w.ask(func() error { return w.Session.Settle(ctx, token, outcome) })
}

func (w *wire) Renew(ctx context.Context, creds iot.Credentials) error {
	return w.ask(func() error { return w.Session.Renew(ctx, creds) })
}

func (w *wire) Twin(ctx context.Context) (twin iot.Twin, err error) {
	err = w.ask(func() (err error) {
		twin, err = w.Session.Twin(ctx)
		return err
	})
	return twin, err
}

func (w *wire) PatchReported(ctx context.Context, patch json.RawMessage) (version int64, err error) {
	err = w.ask(func() (err error) {
		version, err = w.Session.PatchReported(ctx, patch)
		return err
	})
	return version, err
}

func (w *wire) Commands(deliver func(iot.Delivery)) (iot.Subscription, error) {
	return w.subscribe(func() (iot.Subscription, error) { return w.Session.Commands(w.deliveries(deliver)) })
}

func (w *wire) Inputs(deliver func(iot.Delivery)) (iot.Subscription, error) {
	return w.subscribe(func() (iot.Subscription, error) { return w.Session.Inputs(w.deliveries(deliver)) })
}

func (w *wire) DesiredChanges(changed func(json.RawMessage)) (iot.Subscription, error) {
	return w.subscribe(func() (iot.Subscription, error) {
		return w.Session.DesiredChanges(func(patch json.RawMessage) {
			if w.crossed(); w.whole() {
				changed(patch)
			}
		})
	})
}

func (w *wire) subscribe(to func() (iot.Subscription, error)) (sub iot.Subscription, err error) {
	err = w.ask(func() (err error) {
		sub, err = to()
		return err
	})
	return sub, err
}

func (w *wire) deliveries(deliver func(iot.Delivery)) func(iot.Delivery) {
	return func(d iot.Delivery) {
		if w.crossed(); w.whole() {
			deliver(d)
		}
	}
}

func (w *wire) Methods(invoke func(iot.MethodCall, func(iot.MethodResult))) (iot.Subscription, error) {
	return w.subscribe(func() (iot.Subscription, error) { return w.Session.Methods(w.calls(invoke)) })
}

func (w *wire) calls(invoke func(iot.MethodCall, func(iot.MethodResult))) func(iot.MethodCall, func(iot.MethodResult)) {
	return func(call iot.MethodCall, reply func(iot.MethodResult)) {
		if w.crossed(); !w.whole() {
			return
		}
		invoke(call, func(r iot.MethodResult) {
			if w.crossed(); w.whole() {
				reply(r)
			}
		})
	}
}

// An office is the hub's service API, as one run of a client reaches it.
type office struct {
	from    *life
	to      *atomic.Pointer[counter]
	crossed func()
}

// A counter is the service API of one run of the hub.
type counter struct {
	*life
	http.Handler
}

var errNoAnswer = errors.New("the hub was killed")

func (o office) RoundTrip(r *http.Request) (*http.Response, error) {
	o.crossed()
	to := o.to.Load()
	if o.from.over() {
		return nil, errNoAnswer
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(to.ctx, cancel)()
	defer context.AfterFunc(o.from.ctx, cancel)()
	r = r.Clone(ctx)
	if r.Body == nil {
		r.Body = http.NoBody
	}
	answer := httptest.NewRecorder()
	called := to.call(func() { to.ServeHTTP(answer, r) })
	o.crossed()
	if !called || to.over() || o.from.over() || ctx.Err() != nil {
		return nil, errNoAnswer
	}
	return answer.Result(), nil
}
