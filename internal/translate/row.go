package translate

import (
	"context"
	"sync"
)

// A row is leaves that wait for a worker, first come, first served.
type row struct {
	mu   sync.Mutex
	wait []*leaf
	more chan struct{} // capacity 1: has a token while somebody waits
}

func (r *row) init() { r.more = make(chan struct{}, 1) }

func (r *row) add(l *leaf) {
	r.mu.Lock()
	r.wait = append(r.wait, l)
	r.mu.Unlock()
	raise(r.more)
}

// next waits for a leaf; nil when ctx ends.
func (r *row) next(ctx context.Context) *leaf {
	for {
		select {
		case <-r.more:
		case <-ctx.Done():
			return nil
		}
		r.mu.Lock()
		var l *leaf
		if len(r.wait) > 0 {
			l = r.wait[0]
			r.wait[0] = nil
			r.wait = r.wait[1:]
		}
		left := len(r.wait)
		if left == 0 {
			r.wait = nil
		}
		r.mu.Unlock()
		if left > 0 {
			raise(r.more)
		}
		if l != nil {
			return l
		}
	}
}

func raise(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
