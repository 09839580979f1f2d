package presence

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"sluice/internal/auth"
	"sluice/iot"
)

// SweepEvery is how often [Table.Run] looks for expired tokens. A seat is lost
// within this time of its token's end.
const SweepEvery = 5 * time.Second

// A Sitter is a session that embeds a [Seat].
type Sitter interface {
	comparable
	Presence() *Seat
}

// Options configure a Table. Auth is required.
type Options[S Sitter] struct {
	Auth auth.Authenticator
	// Left is called once for each session that lost its seat, after the seat
	// was lost and before its client is told. It may be nil.
	Left func(S)
	Log  *slog.Logger // nil discards
}

// A Table seats sessions. Its methods may be called from any goroutine.
type Table[S Sitter] struct {
	opt Options[S]

	mu       sync.Mutex
	byID     map[iot.Identity]S
	visitors map[S]bool // sessions beside those
	closed   bool
}

// NewTable returns an empty table.
func NewTable[S Sitter](opt Options[S]) *Table[S] {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.Auth.Now == nil {
		opt.Auth.Now = time.Now
	}
	return &Table[S]{opt: opt, byID: map[iot.Identity]S{}, visitors: map[S]bool{}}
}

// Enter authenticates an identity and seats its session. A session of the same
// identity that sits already is ended with [iot.ErrTakenOver] before Enter
// returns.
func (t *Table[S]) Enter(session S, creds iot.Credentials, client iot.Client) error {
	if err := t.admit(session, creds, client); err != nil {
		return err
	}
	s := session.Presence()
	before, sat, err := t.put(session)
	if err != nil {
		return err
	}
	if sat {
		b := before.Presence()
		t.opt.Log.Info("connection taken over", "identity", s.id, "from", b.client.RemoteAddr, "by", client.RemoteAddr)
		b.End(iot.ErrTakenOver)
	}
	return t.settled(s)
}

// Visit authenticates an identity and lets its session in beside the one that may
// sit: it takes nobody over, nobody takes it over, and [Table.Get] does not find
// it. It ends by all the other rules.
func (t *Table[S]) Visit(session S, creds iot.Credentials, client iot.Client) error {
	if err := t.admit(session, creds, client); err != nil {
		return err
	}
	t.mu.Lock()
	closed := t.closed
	if !closed {
		t.visitors[session] = true
	}
	t.mu.Unlock()
	if closed {
		return iot.ErrClosed
	}
	return t.settled(session.Presence())
}

// admit authenticates an identity and fills its seat.
func (t *Table[S]) admit(session S, creds iot.Credentials, client iot.Client) error {
	now := t.now()
	result, err := t.authenticate(creds, now)
	if err != nil {
		return err
	}
	s := session.Presence()
	s.judges, s.id, s.client, s.since = t, creds.Identity, client, now
	s.left = func() { t.leave(session) }
	s.prove(creds, result, now)
	return nil
}

// settled judges once more who is in the table by now: the registration may have
// changed between the decision and the seat.
func (t *Table[S]) settled(s *Seat) error {
	err := s.stillAllowed()
	if err != nil {
		s.Leave(err)
	}
	return err
}

func (t *Table[S]) put(session S) (before S, sat bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return before, false, iot.ErrClosed
	}
	id := session.Presence().id
	before, sat = t.byID[id]
	t.byID[id] = session
	return before, sat, nil
}

// leave takes a session out, unless its identity has another by now.
func (t *Table[S]) leave(session S) {
	t.mu.Lock()
	if id := session.Presence().id; t.byID[id] == session {
		delete(t.byID, id)
	}
	delete(t.visitors, session)
	t.mu.Unlock()
	if t.opt.Left != nil {
		t.opt.Left(session)
	}
}

// Get returns the session of an identity that is connected.
func (t *Table[S]) Get(id iot.Identity) (session S, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	session, ok = t.byID[id]
	return session, ok
}

// Len is how many identities are connected.
func (t *Table[S]) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.byID)
}

// All lists the sessions that sit, in no order.
func (t *Table[S]) All() []S {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Collect(maps.Values(t.byID))
}

// everyone lists the visitors too.
func (t *Table[S]) everyone() []S {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.AppendSeq(slices.Collect(maps.Values(t.byID)), maps.Keys(t.visitors))
}

// Rejudge authenticates sessions again after registrations have changed, and ends
// those that would not be let in any more: of these identities, or all if there
// are none. Tokens count as they did when they were shown.
func (t *Table[S]) Rejudge(ids ...iot.Identity) {
	for _, session := range t.some(ids) {
		s := session.Presence()
		if err := s.stillAllowed(); err != nil {
			t.opt.Log.Info("connection ended: it is no longer allowed", "identity", s.id, "err", err)
			s.End(t.reason(s.id, err))
		}
	}
}

func (t *Table[S]) some(ids []iot.Identity) []S {
	if len(ids) == 0 {
		return t.everyone()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	var some []S
	for _, id := range ids {
		if session, ok := t.byID[id]; ok {
			some = append(some, session)
		}
	}
	for session := range t.visitors {
		if slices.Contains(ids, session.Presence().id) {
			some = append(some, session)
		}
	}
	return some
}

// reason is what a client is told whose identity is no longer let in.
func (t *Table[S]) reason(id iot.Identity, err error) error {
	reg, known := t.opt.Auth.Directory.Registration(id)
	switch {
	case auth.IsUnknown(err) || !known:
		return iot.ErrRemoved
	case !reg.Enabled:
		return iot.ErrDisabled
	}
	return err
}

// Run ends sessions whose token has expired, until ctx ends. Then it closes the
// table: every session is ended with [iot.ErrClosed], and nobody enters again.
func (t *Table[S]) Run(ctx context.Context) {
	tick := time.NewTicker(SweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			t.close()
			return
		case <-tick.C:
			t.sweep()
		}
	}
}

func (t *Table[S]) sweep() {
	for _, session := range t.everyone() {
		if s := session.Presence(); s.expired() {
			t.opt.Log.Info("connection ended: its token expired", "identity", s.id)
			s.End(iot.ErrTokenExpired)
		}
	}
}

func (t *Table[S]) close() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	for _, session := range t.everyone() {
		session.Presence().End(iot.ErrClosed)
	}
}

func (t *Table[S]) now() time.Time { return t.opt.Auth.Now() }

func (t *Table[S]) authenticate(creds iot.Credentials, at time.Time) (auth.Result, error) {
	judge := t.opt.Auth
	judge.Now = func() time.Time { return at }
	return judge.Authenticate(creds)
}
