package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// A Load is clients that publish at QoS 1, or send unsettled messages over AMQP.
// Its fields are set before Run.
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

	from, until time.Time // what is measured; until is zero with Count
	acked       atomic.Int64
	left        atomic.Int64 // of Count
}

// A client is one connection of a load.
type client interface {
	run()
	measured() *meter // to be read when run has returned
	Close() error     // from any goroutine
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
	clients, err := connectAll(ctx, l.Clients, l.connect)
	if err != nil {
		return Result{}, err
	}
	connected := time.Since(begin)
	l.from = time.Now().Add(l.WarmUp)
	l.until = l.from.Add(l.Duration)
	if l.Count > 0 {
		l.from, l.until = time.Now(), time.Time{}
		l.left.Store(l.Count)
	}
	l.send(ctx, clients)
	r := l.result(clients)
	r.ConnectRate = float64(l.Clients) / connected.Seconds()
	if err := ctx.Err(); err != nil {
		return r, err
	}
	return r, nil
}

// connect opens the connection of client n.
func (l *Load) connect(ctx context.Context, n int) (client, error) {
	if l.Target.AMQP {
		return l.connectAMQP(ctx, n)
	}
	nc, login, err := l.Target.connect(ctx, n, 0)
	if err != nil {
		return nil, err
	}
	return l.newMQTTClient(n, nc, login), nil
}

// connectAll opens n connections, some at a time.
func connectAll[C io.Closer](ctx context.Context, n int, connect func(ctx context.Context, n int) (C, error)) ([]C, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	conns, open := make([]C, n), make([]bool, n)
	var next atomic.Int64
	var group sync.WaitGroup
	for range min(n, 32) {
		group.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				var err error
				if conns[i], err = connect(ctx, i); err != nil {
					cancel(fmt.Errorf("client %d of %d: %w", i, n, err))
				}
				open[i] = err == nil
			}
		})
	}
	group.Wait()
	if err := context.Cause(ctx); err != nil {
		for i := range conns {
			if open[i] {
				_ = conns[i].Close() // nothing is left to be written
			}
		}
		return nil, err
	}
	return conns, nil
}

// send runs the clients until they are done, or ctx ends.
func (l *Load) send(ctx context.Context, clients []client) {
	var group sync.WaitGroup
	for _, c := range clients {
		group.Go(c.run)
	}
	stop := context.AfterFunc(ctx, func() {
		for _, c := range clients {
			_ = c.Close()
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

func (l *Load) result(clients []client) Result {
	r := Result{Clients: l.Clients, Window: l.Window, Size: l.Size, Acknowledged: l.acked.Load()}
	var all Latencies
	var last time.Time
	for _, c := range clients {
		s := c.measured()
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
		elapsed = max(last.Sub(l.from), time.Nanosecond)
	}
	r.Messages, r.Latency = int64(all.count), all.Summary()
	r.Seconds = elapsed.Seconds()
	r.Rate = float64(r.Messages) / r.Seconds
	return r
}

var errUnanswered = errors.New("messages were not acknowledged in time")
