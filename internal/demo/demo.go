package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// Options say what is shown.
type Options struct {
	Dir      string  // where everything is kept; a temporary directory if empty
	Devices  int     // simulated machines
	Rate     float64 // messages a second of each
	Once     bool    // a bounded run with a verdict
	Messages int     // of each device, in a bounded run

	Out  io.Writer
	Keys <-chan byte // pressed; nil if nobody is there
	Live bool        // Out is a terminal: draw over what was there
}

// ErrVerdict says that a bounded run found something wrong.
var ErrVerdict = errors.New("the demonstration found a fault")

// settleTime is how long a bounded run waits, after the last acknowledgement, for
// the hub to have everything.
const settleTime = 60 * time.Second

// Run shows the demonstration until ctx ends, somebody quits or, with Once, all is
// told. With Once the result is ErrVerdict if anything was lost or out of order.
func Run(ctx context.Context, opt Options) (err error) {
	if !opt.Once {
		opt.Messages = 0
	}
	s, err := build(opt)
	defer func() {
		err = errors.Join(err, s.close(errors.Is(err, ErrVerdict)))
	}()
	if err != nil {
		return fmt.Errorf("set up the demonstration: %w", err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var hub sync.WaitGroup
	hub.Go(func() {
		if err := s.hub.Run(ctx); err != nil {
			cancel(fmt.Errorf("the hub: %w", err))
		}
	})
	defer hub.Wait() // before the stage is taken down
	defer cancel(nil)
	return newShow(s).run(ctx)
}

// show is a performance: the play, the devices, and what is seen of them.
type show struct {
	*stage
	play  *play
	begin time.Time
	screen
	told   int // lines of news that were printed
	before scene
	at     time.Time // of before
}

func newShow(s *stage) *show {
	w := &show{stage: s, begin: time.Now(), screen: screen{out: s.opt.Out}}
	w.play = &play{cables: s.cables, gateway: s.gateway, clock: func() time.Duration { return time.Since(w.begin) }}
	return w
}

// run performs until the end of the play or of ctx.
func (w *show) run(ctx context.Context) error {
	fmt.Fprintf(w.out, "hub, gateway, %d devices; everything is in %s\r\n\r\n", len(w.devices), w.dir)
	if err := w.gateway.start(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var cast sync.WaitGroup
	defer cast.Wait()
	defer cancel(nil)
	for p := range w.hub.Events().Partitions() {
		cast.Go(func() { cancel(w.tally.follow(ctx, w.hub.Events(), p)) })
	}
	var sending sync.WaitGroup
	for _, d := range w.devices {
		sending.Go(func() { d.run(ctx) })
	}
	cast.Go(sending.Wait)
	cast.Go(func() {
		if err := w.perform(ctx); err != nil {
			cancel(err)
		}
	})
	if w.opt.Once {
		cast.Go(func() { cancel(w.finish(ctx, &sending)) })
	}
	w.watch(ctx)
	return outcome(ctx, w.opt.Once, w.verdict)
}

// errFinished ends a bounded run that came to its end.
var errFinished = errors.New("finished")

// errQuit ends a run that somebody has seen enough of.
var errQuit = errors.New("quit")

// perform lets the play run by its schedule, until somebody presses a key.
func (w *show) perform(ctx context.Context) error {
	if w.opt.Once {
		return w.play.once(ctx, w.progress)
	}
	scheduled, stop := context.WithCancel(ctx)
	defer stop()
	var act sync.WaitGroup
	defer act.Wait()
	failed := make(chan error, 1)
	act.Go(func() { failed <- w.play.schedule(scheduled) })
	for {
		select {
		case <-ctx.Done():
			stop()
			return nil
		case err := <-failed:
			if err != nil {
				return err
			}
		case key := <-w.opt.Keys:
			stop()
			act.Wait()
			if err := w.press(ctx, key); err != nil {
				return err
			}
		}
	}
}

// press does what a key asks for.
func (w *show) press(ctx context.Context, key byte) error {
	const ctrlC = 3
	switch key {
	case 'q', 'Q', ctrlC:
		return errQuit
	case 'u', 'U':
		if w.play.uplink() {
			w.play.cutUplink()
			return nil
		}
		return w.play.mendUplink()
	case 'k', 'K':
		return w.play.killGateway(ctx)
	}
	return nil
}

// progress is how much of a bounded run is acknowledged, between 0 and 1.
func (w *show) progress() float64 {
	sum, _ := w.tally.total()
	return float64(sum.acked) / float64(max(1, len(w.devices)*w.opt.Messages))
}

// finish waits for the devices to have said everything, and then for the hub to
// have it.
func (w *show) finish(ctx context.Context, sending *sync.WaitGroup) error {
	sending.Wait()
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	for ctx.Err() == nil && w.tally.missing() > 0 {
		pause(ctx, 20*time.Millisecond)
	}
	return errFinished
}

// watch shows what happens until ctx ends: five times a second on a terminal,
// else once a second.
func (w *show) watch(ctx context.Context) {
	every := time.Second
	if w.opt.Live {
		every = 200 * time.Millisecond
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		w.paint()
		select {
		case <-ctx.Done():
			w.paint()
			return
		case <-tick.C:
		}
	}
}

func (w *show) paint() {
	s := w.scene()
	if w.opt.Live {
		w.draw(s)
		return
	}
	fresh, told := w.play.since(w.told)
	w.told = told
	for _, line := range fresh {
		fmt.Fprintln(w.out, line)
	}
	fmt.Fprintln(w.out, s.sentence())
}

// scene is what there is to see now.
func (w *show) scene() scene {
	s := scene{elapsed: time.Since(w.begin), uplink: w.play.uplink(), news: w.play.latest(), keys: w.opt.Keys != nil}
	s.gateway, s.alive = w.gateway.state()
	for _, d := range w.devices {
		s.devices = append(s.devices, deviceLine{d.id, w.tally.count(d.id)})
	}
	s.total, s.repeats = w.tally.total()
	s.ack[0], s.hub[0] = w.tally.latency(0.50)
	s.ack[1], s.hub[1] = w.tally.latency(0.99)
	w.rates(&s)
	return s
}

// rates are over the last second or more.
func (w *show) rates(s *scene) {
	since := time.Since(w.at)
	if w.at.IsZero() {
		w.before, w.at = *s, time.Now()
		return
	}
	s.rateIn, s.rateOut = w.before.rateIn, w.before.rateOut
	if since < time.Second {
		return
	}
	s.rateIn = float64(s.total.acked-w.before.total.acked) / since.Seconds()
	s.rateOut = float64(s.total.hub-w.before.total.hub) / since.Seconds()
	w.before, w.at = *s, time.Now()
}

// verdict sums a bounded run up.
func (w *show) verdict() error {
	sum, repeats := w.tally.total()
	faults := w.tally.verdict()
	fmt.Fprintf(w.out, "\n%d devices sent %d messages through the gateway in %s. The uplink was cut, the gateway killed and started again.\n",
		len(w.devices), sum.sent, time.Since(w.begin).Round(100*time.Millisecond))
	fmt.Fprintf(w.out, "acknowledged %d   at the hub %d   repeated %d   lost %d\n", sum.acked, sum.hub, repeats, w.tally.missing())
	if sum.acked < len(w.devices)*w.opt.Messages {
		faults = append(faults, fmt.Sprintf("only %d of %d messages were acknowledged", sum.acked, len(w.devices)*w.opt.Messages))
	}
	if len(faults) == 0 {
		fmt.Fprintln(w.out, "PASS: every acknowledged message reached the hub, each device's in the order in which it sent them.")
		return nil
	}
	for _, f := range faults {
		fmt.Fprintln(w.out, "FAULT: "+f)
	}
	fmt.Fprintf(w.out, "what happened is in %s\n", w.dir)
	return ErrVerdict
}
