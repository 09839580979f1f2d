package demo

import (
	"context"
	"fmt"
	"time"
)

// leafScene is one moment of identity translation.
type leafScene struct {
	elapsed time.Duration
	gateway string
	alive   bool
	leaves  []leafLine
	total   count
	open    bool // provisioning works
	refused int64
	news    []string
	keys    bool
}

type leafLine struct {
	id     string
	state  string // registered, refused, or "" while nobody has said
	waited int    // messages that waited when it appeared
	there  bool   // at the hub
	count
}

// scene is what there is to see now.
func (w *leafShow) scene() leafScene {
	s := leafScene{elapsed: time.Since(w.begin), news: w.play.latest(), keys: w.opt.Keys != nil, refused: w.provisioned().Refused}
	s.gateway, s.alive = w.gateway.state()
	select {
	case <-w.doors:
		s.open = true
	default:
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range w.leaves {
		line := leafLine{id: l.id, count: w.tally.count(l.id)}
		line.state, _ = l.told()
		line.waited, line.there = w.appeared[l.id]
		s.leaves = append(s.leaves, line)
	}
	s.total, _ = w.tally.total()
	return s
}

// watch shows what happens until ctx ends: five times a second on a terminal,
// else once a second.
func (w *leafShow) watch(ctx context.Context) {
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

func (w *leafShow) paint() {
	s := w.scene()
	if w.opt.Live {
		w.drawLines(s.render())
		return
	}
	fresh, told := w.play.since(w.told)
	w.told = told
	for _, line := range fresh {
		fmt.Fprintln(w.out, line)
	}
	fmt.Fprintln(w.out, s.sentence())
}

func (s leafScene) render() []string {
	lines := []string{
		fmt.Sprintf("%sSluice%s  identity translation: plain MQTT machines become devices %s%29s%s", bold, plain, dim, s.elapsed.Round(time.Second), plain),
		"",
		fmt.Sprintf("  machines %s──▶%s mqtt-bridge %s──▶%s identity-translation %s──▶%s hub      gateway %s   provisioning %s",
			green, plain, green, plain, green, plain, light(s.alive, s.gateway, s.gateway), light(s.open, "at work", "not there yet")),
		"",
		fmt.Sprintf("  %-12s %9s  %-26s %9s  %s", "machine", "published", "at the hub", "messages", "kept at the gateway"),
	}
	most := 25
	for _, l := range s.leaves {
		most = max(most, l.acked-l.hub)
	}
	for _, l := range s.leaves {
		lines = append(lines, fmt.Sprintf("  %-12s %9d  %s %9d  %s", l.id, l.acked, l.standing(), l.hub, bar(l.acked-l.hub, most)))
	}
	lines = append(lines, fmt.Sprintf("  %s%-12s %9d  %-26s %9d%s", bold, "all", s.total.acked, "", s.total.hub, plain), "")
	for _, n := range s.news {
		lines = append(lines, "  "+dim+n+plain)
	}
	if s.keys {
		lines = append(lines, "", "  "+bold+"m"+plain+" call a method   "+bold+"a"+plain+" allow a stranger   "+bold+"k"+plain+" kill the gateway   "+bold+"q"+plain+" quit")
	}
	return lines
}

// standing is what the hub thinks of a machine, 26 characters wide.
func (l leafLine) standing() string {
	text, colour := "unknown", dim
	switch {
	case l.there:
		text, colour = fmt.Sprintf("● device, %d had waited", l.waited), green
	case l.state == "refused":
		text, colour = "● refused: not on the list", red
	}
	return fmt.Sprintf("%s%-26s%s", colour, text, plain)
}

// sentence is a scene as one line, for output that is not a terminal.
func (s leafScene) sentence() string {
	there := 0
	for _, l := range s.leaves {
		if l.there {
			there++
		}
	}
	return fmt.Sprintf("%4.0fs  gateway %-11s  machines at the hub %2d of %d  refusals %2d  published %5d  at the hub %5d",
		s.elapsed.Seconds(), s.gateway, there, len(s.leaves), s.refused, s.total.acked, s.total.hub)
}
