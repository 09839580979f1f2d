package amqplink

import (
	"context"
	"errors"
	"time"

	"sluice/amqp10"
)

// A connection can be dead in one direction. If nothing comes, the engine's idle
// time-out ends it. If what we send does not arrive, the hub's heartbeats come all
// the same, for minutes; therefore it is watched that the hub answers. Whatever it
// answers counts; when that was nothing for a while, it is asked to begin a session,
// which every peer must do.

// answered notes that the hub has answered something that we sent.
func (l *line) answered() { l.heard.Store(time.Now().UnixNano()) }

// doubt is called when something that was sent at since was not answered in time.
// If nothing else was answered either, what we send does not arrive, whatever comes
// back: the connection is closed.
func (l *line) doubt(since time.Time) {
	if l.heard.Load() < since.UnixNano() {
		l.giveUpOn(since)
	}
}

func (l *line) giveUpOn(since time.Time) {
	l.conn.CloseWith(amqp10.Errorf(amqp10.ErrConnectionForced, "nothing was answered since %s", since.UTC().Format(time.RFC3339)))
}

// watch asks the hub whenever it has answered nothing for the keep-alive time, until
// the connection has ended.
func (l *line) watch() {
	every := l.pool.cfg.KeepAlive
	timer := time.NewTimer(every)
	defer timer.Stop()
	for {
		select {
		case <-l.conn.Done():
			return
		case <-timer.C:
			if l.silence() >= every {
				l.ask()
			}
		}
		timer.Reset(max(every-l.silence(), every/8))
	}
}

// silence is how long the hub has answered nothing.
func (l *line) silence() time.Duration {
	return time.Duration(time.Now().UnixNano() - l.heard.Load())
}

// ask has the hub answer something, or closes the connection.
func (l *line) ask() {
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), l.pool.cfg.KeepAlive/2)
	defer cancel()
	s, err := l.conn.NewSession(ctx)
	switch {
	case err == nil:
		s.CloseWith(nil)
		l.answered()
	case errors.Is(err, context.DeadlineExceeded) && l.heard.Load() < began.UnixNano():
		l.giveUpOn(began)
	}
}
