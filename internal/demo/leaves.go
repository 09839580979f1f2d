package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"sluice/internal/provision"
	"sluice/internal/sas"
	"sluice/iot"
)

// RunLeaves shows identity translation: machines that know plain MQTT and nothing of
// a hub appear there, each as a device of its own, if they are on the allow list. It
// runs until ctx ends, somebody quits or, with Once, all is told. With Once the result
// is ErrVerdict if anything is not as it must be.
func RunLeaves(ctx context.Context, opt Options) (err error) {
	if !opt.Once {
		opt.Messages = 0
	}
	s, err := buildLeaves(opt)
	defer func() {
		err = errors.Join(err, s.close(errors.Is(err, ErrVerdict)))
	}()
	if err != nil {
		return fmt.Errorf("set up the demonstration: %w", err)
	}
	defer s.client.Close()
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
	return newLeafShow(s).run(ctx)
}

// leafShow is a performance of identity translation, and what is seen of it.
type leafShow struct {
	*leafStage
	play  *play
	begin time.Time
	screen
	told  int           // lines of news that were printed
	doors chan struct{} // closed when provisioning begins

	mu       sync.Mutex
	appeared map[string]int // machines at the hub, and how many messages waited then
	called   string         // what became of the last method
	calls    int            // methods that were answered
}

func newLeafShow(s *leafStage) *leafShow {
	w := &leafShow{
		leafStage: s, begin: time.Now(), screen: screen{out: s.opt.Out},
		doors: make(chan struct{}), appeared: map[string]int{},
	}
	w.play = &play{cables: s.cables, gateway: s.gateway, clock: func() time.Duration { return time.Since(w.begin) }}
	return w
}

// run performs until the end or until ctx ends.
func (w *leafShow) run(ctx context.Context) error {
	fmt.Fprintf(w.out, "hub, provisioning, gateway with two modules, %d machines with plain MQTT; everything is in %s\r\n\r\n", len(w.leaves), w.dir)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var cast sync.WaitGroup
	defer cast.Wait()
	defer cancel(nil)
	cast.Go(func() {
		select {
		case <-w.doors:
		case <-ctx.Done():
		}
		if err := w.provisioning(ctx); err != nil {
			cancel(fmt.Errorf("provisioning: %w", err))
		}
	})
	if err := errors.Join(w.deploy(ctx), w.gateway.start(ctx)); err != nil {
		return err
	}
	for p := range w.hub.Events().Partitions() {
		cast.Go(func() { cancel(w.tally.follow(ctx, w.hub.Events(), p)) })
	}
	for _, l := range w.leaves {
		cast.Go(func() { l.run(ctx) })
	}
	cast.Go(func() { w.look(ctx) })
	cast.Go(func() {
		if err := w.perform(ctx); err != nil {
			cancel(err)
		}
	})
	w.watch(ctx)
	return outcome(ctx, w.opt.Once, w.verdict)
}

// look notes machines that appear at the hub.
func (w *leafShow) look(ctx context.Context) {
	for ctx.Err() == nil {
		for _, l := range w.leaves {
			if _, there := w.hub.Registry().Get(iot.DeviceIdentity(l.id)); there && w.appear(l.id) {
				w.play.tell("%s is at the hub; %d of its messages were waiting", l.id, w.waited(l.id))
			}
		}
		pause(ctx, 20*time.Millisecond)
	}
}

// appear notes that a machine is at the hub, and reports whether that is new.
func (w *leafShow) appear(id string) bool {
	waiting := w.tally.count(id).acked
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, known := w.appeared[id]; known {
		return false
	}
	w.appeared[id] = waiting
	return true
}

func (w *leafShow) waited(id string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.appeared[id]
}

// provisioned is what provisioning has done.
func (w *leafShow) provisioned() provision.Counts { return w.service.Counts() }

// perform lets the story run: provisioning comes when messages wait already. In a
// bounded run the gateway is killed while machines are being registered, and a method
// is called on each that is; else somebody may press keys.
func (w *leafShow) perform(ctx context.Context) error {
	w.until(ctx, func() bool { return w.least() >= 3 })
	if ctx.Err() != nil {
		return nil
	}
	w.play.tell("every machine has messages waiting; provisioning begins")
	close(w.doors)
	if w.opt.Once {
		return w.once(ctx)
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case key := <-w.opt.Keys:
			if err := w.press(ctx, key); err != nil {
				return err
			}
		}
	}
}

// until waits for something to be so, or for ctx to end.
func (w *leafShow) until(ctx context.Context, so func() bool) {
	for ctx.Err() == nil && !so() {
		pause(ctx, 10*time.Millisecond)
	}
}

// least is how many messages of the machine that is furthest behind are acknowledged.
func (w *leafShow) least() int {
	n := w.tally.count(w.leaves[0].id).acked
	for _, l := range w.leaves {
		n = min(n, w.tally.count(l.id).acked)
	}
	return n
}

// registered is how many machines are at the hub.
func (w *leafShow) registered() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.appeared)
}

// expected is how many machines there must be in the end.
func (w *leafShow) expected() (n int) {
	for _, l := range w.leaves {
		if l.allowed {
			n++
		}
	}
	return n
}

// once is the story of a bounded run.
func (w *leafShow) once(ctx context.Context) error {
	w.until(ctx, func() bool { return w.registered() >= w.expected()/3 })
	if err := w.play.killGateway(ctx); err != nil {
		return err
	}
	w.until(ctx, func() bool { return w.least() >= w.opt.Messages })
	bounded, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	w.until(bounded, func() bool {
		return w.registered() >= w.expected() && w.missing() == 0 && (w.provisioned().Refused > 0 || w.expected() == len(w.leaves))
	})
	for _, l := range w.leaves {
		if l.allowed {
			for bounded.Err() == nil && !w.call(bounded, l) {
				pause(bounded, 200*time.Millisecond)
			}
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return errFinished
}

// missing counts messages that were acknowledged to machines of the list and are not
// at the hub.
func (w *leafShow) missing() (n int) {
	for _, l := range w.leaves {
		if l.allowed {
			c := w.tally.count(l.id)
			n += c.acked - c.hub
		}
	}
	return n
}

// call calls a method on a machine, as an application would, and reports whether it
// answered.
func (w *leafShow) call(ctx context.Context, l *leaf) bool {
	r, err := w.client.InvokeMethod(ctx, iot.DeviceIdentity(l.id), iot.MethodCall{Name: "blink", ResponseTimeout: 5 * time.Second})
	said := fmt.Sprintf("%s answers the method blink with %d %s", l.id, r.Status, r.Payload)
	if err != nil {
		said = fmt.Sprintf("%s does not answer: %v", l.id, err)
	}
	answered := err == nil && r.Status == 200 && strings.Contains(string(r.Payload), l.id)
	w.mu.Lock()
	w.called = said
	if answered {
		w.calls++
	}
	w.mu.Unlock()
	return answered
}

// press does what a key asks for.
func (w *leafShow) press(ctx context.Context, key byte) error {
	const ctrlC = 3
	switch key {
	case 'q', 'Q', ctrlC:
		return errQuit
	case 'k', 'K':
		return w.play.killGateway(ctx)
	case 'm', 'M':
		w.callNext(ctx)
	case 'a', 'A':
		return w.allowNext()
	}
	return nil
}

// callNext calls one after the other.
func (w *leafShow) callNext(ctx context.Context) {
	var there []*leaf
	for _, l := range w.leaves {
		if state, _ := l.told(); state == "registered" {
			there = append(there, l)
		}
	}
	if len(there) == 0 {
		w.play.tell("no machine is at the hub yet")
		return
	}
	slices.SortStableFunc(there, func(a, b *leaf) int {
		_, x := a.told()
		_, y := b.told()
		return x - y
	})
	w.call(ctx, there[0])
	w.mu.Lock()
	said := w.called
	w.mu.Unlock()
	w.play.tell("%s", said)
}

// allowNext puts the next stranger on the list. It is asked for again when the gateway
// thinks that the refusal may be old, after five seconds.
func (w *leafShow) allowNext() error {
	for _, l := range w.leaves {
		if l.allowed {
			continue
		}
		f, err := os.OpenFile(w.allowFile(), os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(f, l.id)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
		l.allowed = true
		w.play.tell("%s was put on the allow list", l.id)
		return nil
	}
	w.play.tell("everybody is on the list")
	return nil
}

// verdict sums a bounded run up.
func (w *leafShow) verdict() error {
	sum, repeats := w.tally.total()
	faults := w.faults()
	w.mu.Lock()
	calls, atHub := w.calls, len(w.appeared)
	w.mu.Unlock()
	fmt.Fprintf(w.out, "\n%d machines published %d messages over plain MQTT in %s. The gateway and its modules were killed while machines were registered.\n",
		len(w.leaves), sum.sent, time.Since(w.begin).Round(100*time.Millisecond))
	fmt.Fprintf(w.out, "at the hub: %d machines, %d messages   repeated %d   lost %d   refused %d machines   methods answered %d\n",
		atHub, sum.hub, repeats, w.missing(), len(w.leaves)-w.expected(), calls)
	if len(faults) == 0 {
		fmt.Fprintln(w.out, "PASS: every machine on the allow list is a device of its own, with all its messages, those that waited first, in order; nobody else is.")
		return nil
	}
	for _, f := range faults {
		fmt.Fprintln(w.out, "FAULT: "+f)
	}
	fmt.Fprintf(w.out, "what happened is in %s\n", w.dir)
	return ErrVerdict
}

// faults are what is not as it must be at the end of a bounded run.
func (w *leafShow) faults() (faults []string) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	edge, _ := w.hub.Registry().Get(iot.DeviceIdentity(gatewayName))
	module, _ := w.hub.Registry().Get(iot.ModuleIdentity(gatewayName, identityName))
	for _, l := range w.leaves {
		entry, there := w.hub.Registry().Get(iot.DeviceIdentity(l.id))
		c := w.tally.count(l.id)
		_, answered := l.told()
		key, err := sas.DeriveKey(module.Auth.PrimaryKey, l.id)
		switch {
		case c.acked < w.opt.Messages:
			fault("%s: %d of %d messages were acknowledged", l.id, c.acked, w.opt.Messages)
		case !l.allowed && (there || c.hub > 0):
			fault("%s is not on the list, and at the hub with %d messages", l.id, c.hub)
		case !l.allowed:
		case !there:
			fault("%s is not at the hub", l.id)
		case entry.Parent() != edge.Scope:
			fault("%s is not in the gateway's scope", l.id)
		case err != nil || entry.Auth.PrimaryKey != key:
			fault("the key of %s is not derived from the module's", l.id)
		case c.hub < c.acked:
			fault("%s: %d acknowledged messages are not at the hub", l.id, c.acked-c.hub)
		case answered == 0:
			fault("%s was not reached by a method", l.id)
		}
	}
	w.tally.mu.Lock()
	defer w.tally.mu.Unlock()
	return append(faults, w.tally.faults...)
}
