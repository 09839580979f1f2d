package spool

import "sync/atomic"

// limits decide whether entries are taken. Only the writer counts, so what is
// counted is exactly what has been given to Pebble.
type limits struct {
	max, maxLane atomic.Int64
	used         atomic.Int64 // entries put in and not taken out, in bytes
}

// admit counts an op's entries in, or says why not.
func (l *limits) admit(bytes int64) error {
	if max := l.max.Load(); max > 0 && l.used.Load()+bytes > max {
		return ErrFull
	}
	l.used.Add(bytes)
	return nil
}

func (l *limits) lanes() bool { return l.maxLane.Load() > 0 }

func (l *limits) laneFull(ln *lane) bool {
	max := l.maxLane.Load()
	return max > 0 && ln.stored() > max
}
