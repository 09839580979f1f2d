package webhead

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"sluice/iot"
)

// sessions are those of identities that have made a request not long ago. There is
// one for an identity, however many requests it makes.
type sessions struct {
	begin func(context.Context, iot.Credentials, iot.Client) (iot.Session, error)
	keep  time.Duration

	mu     sync.Mutex
	byID   map[iot.Identity]*session
	closed bool
	ending sync.WaitGroup // added to while not closed
}

// A session is that of one identity, shared by its requests.
type session struct {
	among *sessions
	id    iot.Identity

	turn  chan struct{} // capacity 1; who has its token may begin or renew
	hub   iot.Session   // set once, by who had the turn; nil before
	proof proof         // of whom has the turn

	commands inbox

	// Guarded by among.mu.
	users int
	uses  int  // claims so far
	ended bool // the hub has ended it
	idle  *time.Timer
}

func newSessions(begin func(context.Context, iot.Credentials, iot.Client) (iot.Session, error), keep time.Duration) *sessions {
	return &sessions{begin: begin, keep: keep, byID: make(map[iot.Identity]*session)}
}

// enter returns the session of an identity that proves itself, for the use of one
// request, which leaves it in the end.
func (a *sessions) enter(ctx context.Context, creds iot.Credentials, client iot.Client) (*session, error) {
	for {
		s, err := a.claim(creds.Identity)
		if err != nil {
			return nil, err
		}
		again, err := s.prove(ctx, creds, client)
		switch {
		case err == nil && !again:
			return s, nil
		case err != nil:
			s.leave()
			return nil, err
		}
		s.leave()
	}
}

// claim returns the session of an identity, which may not have begun.
func (a *sessions) claim(id iot.Identity) (*session, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return nil, iot.ErrClosed
	}
	s := a.byID[id]
	if s == nil {
		s = &session{among: a, id: id, turn: make(chan struct{}, 1)}
		s.commands.init()
		a.byID[id] = s
	}
	s.stay()
	s.users++
	s.uses++
	return s, nil
}

// prove begins the session, or judges a proof that differs from the one before. again
// says that the session has ended meanwhile and another is to be claimed.
func (s *session) prove(ctx context.Context, creds iot.Credentials, client iot.Client) (again bool, err error) {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return false, iot.Errorf(iot.Unavailable, "connect", s.id, "other requests of the identity are still being judged")
	}
	shown := proofOf(creds)
	switch {
	case s.hub == nil:
		client.Ended = s.lost
		if s.hub, err = s.among.begin(ctx, creds, client); err != nil {
			s.hub = nil
			return false, err
		}
	case s.hasEnded():
		return true, nil
	case s.proof == shown:
		return false, nil
	default:
		if err := s.hub.Renew(ctx, creds); isEnd(err) {
			s.lost(err)
			return true, nil
		} else if err != nil {
			return false, err
		}
	}
	s.proof = shown
	return false, nil
}

// isEnd reports whether err is that of a session that has ended, of which the head may
// not have been told yet, and says nothing of the proof that was shown.
func isEnd(err error) bool {
	return slices.ContainsFunc(ends, func(end error) bool { return errors.Is(err, end) })
}

var ends = []error{iot.ErrTakenOver, iot.ErrDisabled, iot.ErrRemoved, iot.ErrTokenExpired, iot.ErrClosed}

// lost is told that the hub has ended the session.
func (s *session) lost(error) {
	a := s.among
	a.mu.Lock()
	defer a.mu.Unlock()
	s.ended = true
	s.stay()
	a.drop(s)
}

// drop lets the next request of the identity begin a session. a.mu is held.
func (a *sessions) drop(s *session) {
	if a.byID[s.id] == s {
		delete(a.byID, s.id)
	}
}

func (s *session) hasEnded() bool {
	s.among.mu.Lock()
	defer s.among.mu.Unlock()
	return s.ended
}

// leave ends a request's use of the session. After the last it is kept for a while.
func (s *session) leave() {
	a := s.among
	a.mu.Lock()
	defer a.mu.Unlock()
	s.users--
	switch {
	case s.users > 0 || s.ended:
	case s.hub == nil: // nobody proved it; who wrote hub has left before
		a.drop(s)
	case !a.closed:
		a.ending.Add(1)
		last := s.uses
		s.idle = time.AfterFunc(a.keep, func() { defer a.ending.Done(); s.expire(last) })
	}
}

// stay stops the clock that leave has set. among.mu is held.
func (s *session) stay() {
	if s.idle != nil && s.idle.Stop() {
		s.among.ending.Done()
	}
	s.idle = nil
}

// expire ends a session that was not used for a while, since its last claim.
func (s *session) expire(last int) {
	a := s.among
	a.mu.Lock()
	if s.uses != last || a.closed {
		a.mu.Unlock()
		return // used again just now, or close ends it
	}
	a.drop(s)
	a.mu.Unlock()
	_ = s.hub.Close() // there is nobody to be told
}

// close ends all sessions, and lets none begin.
func (a *sessions) close() {
	a.mu.Lock()
	if a.closed {
		a.mu.Unlock()
		return
	}
	a.closed = true
	all := make([]*session, 0, len(a.byID))
	for _, s := range a.byID {
		s.stay()
		all = append(all, s)
	}
	a.mu.Unlock()
	for _, s := range all {
		s.end()
	}
	a.ending.Wait()
}

// end ends a session that may just be beginning.
func (s *session) end() {
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	if s.hub != nil {
		_ = s.hub.Close() // there is nobody to be told
	}
}
