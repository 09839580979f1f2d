package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A Load is clients that publish at QoS 1. Its fields are set before Run.
type Load struct {
	Target  Target
	Clients int // 1 or more
	Window  int // unacknowledged messages of each client; 1 to MaxWindow
	Size    int // bytes of payload

	Duration time.Duration // measured, after WarmUp; not used with Count
	WarmUp   time.Duration // not measured
	Count    int64         // of all clients together, all of them measured; 0 for Duration
	Rate     float64       // messages a second of all clients together; 0 for as many as possible

	// Progress, if not nil, is told each second how many messages were
	// acknowledged so far, by a goroutine of Run.
	Progress func(acknowledged int64, elapsed time.Duration)

	acked atomic.Int64
	left  atomic.Int64 // of Count
}

// MaxWindow is the widest window.
const MaxWindow = 4096

// A Result is what a Load has measured.
type Result struct {
	Clients      int     `json:"clients"`
	Window       int     `json:"window"`
	Size         int     `json:"size"`
	Seconds      float64 `json:"seconds"`  // measured
	Messages     int64   `json:"messages"` // acknowledged in that time
	Rate         float64 `json:"messagesPerSecond"`
	Latency      Summary `json:"latencyMs"`
	ConnectRate  float64 `json:"connectsPerSecond"`
	Errors       int     `json:"errors"` // clients that lost their connection
	Unanswered   int64   `json:"unanswered"`
	FirstError   string  `json:"firstError,omitempty"`
	Acknowledged int64   `json:"acknowledged"` // in all, warm-up included
}

// Run connects all clients, loads the server with them and returns what it
// measured. The error is that of a client that could not connect, or ctx's; the
// loss of a connection later is counted in the Result.
func (l *Load) Run(ctx context.Context) (Result, error) {
	if l.Clients < 1 || l.Window < 1 || l.Window > MaxWindow || l.Size < 0 {
		return Result{}, fmt.Errorf("load of %d clients with a window of %d and %d bytes", l.Clients, l.Window, l.Size)
	}
	begin := time.Now()
	conns, logins, err := connectAll(ctx, &l.Target, l.Clients, 0)
	if err != nil {
		return Result{}, err
	}
	connected := time.Since(begin)
	senders := make([]*sender, l.Clients)
	from := time.Now().Add(l.WarmUp)
	until := from.Add(l.Duration)
	if l.Count > 0 {
		from, until = time.Now(), time.Time{}
		l.left.Store(l.Count)
	}
	for i := range senders {
		senders[i] = l.newSender(i, conns[i], logins[i], from, until)
	}
	l.send(ctx, senders)
	r := l.result(senders, from)
	r.ConnectRate = float64(l.Clients) / connected.Seconds()
	if err := ctx.Err(); err != nil {
		return r, err
	}
	return r, nil
}

// connectAll opens n connections, some at a time.
func connectAll(ctx context.Context, t *Target, n int, keepAlive uint16) ([]net.Conn, []Login, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	conns, logins := make([]net.Conn, n), make([]Login, n)
	var next atomic.Int64
	var group sync.WaitGroup
	for range min(n, 32) {
		group.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				var err error
				if conns[i], logins[i], err = t.connect(ctx, i, keepAlive); err != nil {
					cancel(fmt.Errorf("client %d of %d: %w", i, n, err))
				}
			}
		})
	}
	group.Wait()
	if err := context.Cause(ctx); err != nil {
		closeAll(conns)
		return nil, nil, err
	}
	return conns, logins, nil
}

func closeAll(conns []net.Conn) {
	for _, nc := range conns {
		if nc != nil {
			_ = nc.Close() // nothing is left to be written
		}
	}
}

// send runs the senders until they are done, or ctx ends.
func (l *Load) send(ctx context.Context, senders []*sender) {
	var group sync.WaitGroup
	for _, s := range senders {
		group.Go(s.run)
	}
	stop := context.AfterFunc(ctx, func() {
		for _, s := range senders {
			_ = s.nc.Close()
		}
	})
	defer stop()
	done := make(chan struct{})
	var told sync.WaitGroup
	if l.Progress != nil {
		told.Go(func() { l.tell(done) })
	}
	group.Wait()
	close(done)
	told.Wait()
}

func (l *Load) tell(done <-chan struct{}) {
	begin := time.Now()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			l.Progress(l.acked.Load(), time.Since(begin))
		case <-done:
			return
		}
	}
}

func (l *Load) result(senders []*sender, from time.Time) Result {
	r := Result{Clients: l.Clients, Window: l.Window, Size: l.Size, Acknowledged: l.acked.Load()}
	var all Latencies
	var last time.Time
	for _, s := range senders {
		all.Merge(&s.latencies)
		r.Unanswered += int64(s.inFlight)
		if s.last.After(last) {
			last = s.last
		}
		if s.err != nil {
			r.Errors++
			if r.FirstError == "" {
				r.FirstError = s.err.Error()
			}
		}
	}
	elapsed := l.Duration
	if l.Count > 0 || r.Errors == l.Clients {
		elapsed = max(last.Sub(from), time.Nanosecond)
	}
	r.Messages, r.Latency = int64(all.count), all.Summary()
	r.Seconds = elapsed.Seconds()
	r.Rate = float64(r.Messages) / r.Seconds
	return r
}

var errUnanswered = errors.New("messages were not acknowledged in time")
