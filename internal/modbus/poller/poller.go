package poller

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"sluice/internal/modbus"
	"sluice/translator"
)

// Options are what the description does not say.
type Options struct {
	// Translator is how the poller reaches its gateway; the zero value does as the
	// environment says. The poller sets its functions.
	Translator translator.Options
	Log        *slog.Logger // nil discards
}

// Poller is the translator for Modbus TCP.
type Poller struct {
	log     *slog.Logger
	t       *translator.Translator
	devices []*device
	byLeaf  map[translator.Leaf]*unit
}

// New makes a poller. The error says what of the description cannot be, or that
// this process is no module.
func New(cfg *Config, opt Options) (*Poller, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	p := &Poller{log: opt.Log, byLeaf: make(map[translator.Leaf]*unit)}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	to := opt.Translator
	to.Method, to.Log = p.method, p.log
	var err error
	if p.t, err = translator.New(to); err != nil {
		return nil, err
	}
	for i := range cfg.Devices {
		if err := p.add(&cfg.Devices[i]); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (p *Poller) add(cfg *Device) error {
	d := &device{
		log: p.log.With("device", cfg.Address), asked: make(chan *question, maxAsked),
		client: &modbus.Client{Address: cfg.Address, Timeout: cfg.timeout},
	}
	for i := range cfg.Units {
		u := &unit{Unit: &cfg.Units[i], of: d, groups: cfg.Units[i].groups(), last: make(map[string]value)}
		var err error
		if u.leaf, err = p.t.Leaf(u.Leaf); err != nil {
			return err
		}
		p.byLeaf[u.leaf] = u
		d.units = append(d.units, u)
	}
	p.devices = append(p.devices, d)
	return nil
}

// Run serves until ctx ends.
func (p *Poller) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var parts sync.WaitGroup
	for _, d := range p.devices {
		parts.Go(func() { d.run(ctx) })
	}
	err := p.t.Run(ctx)
	cancel()
	parts.Wait()
	return err
}

// device is an address, whose goroutine owns everything in it but asked.
type device struct {
	log    *slog.Logger
	client *modbus.Client
	units  []*unit
	asked  chan *question
}

// unit is a leaf.
type unit struct {
	*Unit
	of     *device
	leaf   translator.Leaf
	groups []*group
	last   map[string]value // what was sent last, by name

	greeted bool
	failed  int // times in a row that it did not answer
	status  string
}

// run reads what is due, and does what is asked, one thing at a time.
func (d *device) run(ctx context.Context) {
	defer d.client.Close()
	for ctx.Err() == nil {
		u, g := d.due()
		timer := time.NewTimer(time.Until(g.next))
		select {
		case <-timer.C:
			d.poll(ctx, u, g)
		case q := <-d.asked:
			q.unit.do(ctx, q)
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// due is the group that is to be read next.
func (d *device) due() (of *unit, next *group) {
	for _, u := range d.units {
		for _, g := range u.groups {
			if next == nil || g.next.Before(next.next) {
				of, next = u, g
			}
		}
	}
	return of, next
}

// longestPause is the time between two attempts to reach a unit that does not
// answer, in the end.
const longestPause = time.Minute

// poll reads a group and sends what it holds.
func (d *device) poll(ctx context.Context, u *unit, g *group) {
	began := time.Now()
	if err := u.greet(ctx); err != nil {
		d.log.Warn("the gateway does not know what a unit can take", "leaf", u.Leaf, "error", err)
	}
	values, err := u.read(ctx, g)
	if ctx.Err() != nil {
		return
	}
	if away(err) {
		u.failed++
		pause := min(max(g.interval, time.Second)<<min(u.failed-1, 10), max(longestPause, g.interval))
		for _, other := range u.groups { // all of it is away
			other.next = time.Now().Add(max(pause, other.interval))
		}
		u.tell(ctx, "unreachable", err)
		return
	}
	u.failed = 0
	// Missed readings are not made up for.
	if g.next = g.next.Add(g.interval); g.next.Before(began) {
		g.next = began.Add(g.interval)
	}
	g.refused = err
	if err = u.refused(); err != nil {
		u.tell(ctx, "error", err)
	} else {
		u.tell(ctx, "ok", nil)
	}
	u.send(ctx, g, values)
}

// refused is why some of the unit's values are missing, or nil.
func (u *unit) refused() error {
	for _, g := range u.groups {
		if g.refused != nil {
			return g.refused
		}
	}
	return nil
}

// away reports whether an error means that a unit was not reached, rather than that
// it answered something else than hoped for.
func away(err error) bool {
	var e modbus.Exception
	if err == nil {
		return false
	}
	return !errors.As(err, &e) || e == 10 || e == 11
}

// greet says once that the unit has methods.
func (u *unit) greet(ctx context.Context) error {
	if u.greeted {
		return nil
	}
	err := u.leaf.PostHello(ctx, translator.Capabilities{Methods: true}, func(err error) {
		if err != nil {
			u.of.log.Warn("the gateway does not know what a unit can take", "leaf", u.Leaf, "error", err)
		}
	})
	u.greeted = err == nil
	return err
}
