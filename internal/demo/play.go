package demo

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// play is what happens on the stage: the uplink is cut and restored, the gateway
// killed and started again.
type play struct {
	cables  []*cable
	gateway *process
	clock   func() time.Duration // since the beginning

	mu   sync.Mutex
	cut  bool
	news []string
}

// newsKept is how many of the latest happenings are shown.
const newsKept = 4

func (p *play) tell(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	line := fmt.Sprintf("%5.1fs  ", p.clock().Seconds()) + fmt.Sprintf(format, args...)
	p.news = append(p.news, line)
}

// latest returns the last lines of news, and everything since the n-th.
func (p *play) since(n int) (fresh []string, total int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.news[min(n, len(p.news)):], len(p.news)
}

func (p *play) latest() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.news[max(0, len(p.news)-newsKept):]
}

func (p *play) uplink() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.cut
}

// cutUplink takes the line to the hub away.
func (p *play) cutUplink() {
	p.mu.Lock()
	p.cut = true
	p.mu.Unlock()
	for _, c := range p.cables {
		c.cut()
	}
	p.tell("the uplink is cut: the gateway goes on taking messages, and keeps them")
}

// mendUplink gives it back.
func (p *play) mendUplink() error {
	for _, c := range p.cables {
		if err := c.mend(); err != nil {
			return fmt.Errorf("restore the uplink: %w", err)
		}
	}
	p.mu.Lock()
	p.cut = false
	p.mu.Unlock()
	p.tell("the uplink is back: what was kept goes to the hub")
	return nil
}

// killGateway ends the gateway without a warning and starts it again.
func (p *play) killGateway(ctx context.Context) error {
	text, _ := p.gateway.state()
	if err := p.gateway.kill(); err != nil {
		return fmt.Errorf("kill the gateway: %w", err)
	}
	p.tell("the gateway (%s) was killed with SIGKILL", text)
	pause(ctx, 700*time.Millisecond)
	if ctx.Err() != nil {
		return nil
	}
	if err := p.gateway.start(ctx); err != nil {
		return err
	}
	text, _ = p.gateway.state()
	p.tell("the gateway runs again (%s), with everything that it had acknowledged", text)
	return nil
}

// act is one scene of the schedule.
type act struct {
	after time.Duration // since the act before
	do    func(context.Context) error
}

// schedule repeats a short story until ctx ends: a cut, a kill during the cut,
// and the line restored.
func (p *play) schedule(ctx context.Context) error {
	acts := []act{
		{8 * time.Second, func(context.Context) error { p.cutUplink(); return nil }},
		{4 * time.Second, p.killGateway},
		{4 * time.Second, func(context.Context) error { return p.mendUplink() }},
	}
	for {
		for _, a := range acts {
			pause(ctx, a.after)
			if ctx.Err() != nil {
				return nil
			}
			if err := a.do(ctx); err != nil {
				return err
			}
		}
	}
}

// once is the story of a bounded run, told by how far the devices are: progress
// is between 0 and 1.
func (p *play) once(ctx context.Context, progress func() float64) error {
	reach := func(part float64) bool {
		for progress() < part && ctx.Err() == nil {
			pause(ctx, 10*time.Millisecond)
		}
		return ctx.Err() == nil
	}
	if !reach(0.3) {
		return nil
	}
	p.cutUplink()
	if !reach(0.5) {
		return nil
	}
	if err := p.killGateway(ctx); err != nil {
		return err
	}
	if !reach(0.8) {
		return nil
	}
	return p.mendUplink()
}
