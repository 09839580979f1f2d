package demo

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// scene is one moment of the demonstration.
type scene struct {
	elapsed  time.Duration
	uplink   bool
	gateway  string // "running (pid 7)" or "killed"
	alive    bool
	devices  []deviceLine
	total    count
	repeats  int
	rateIn   float64 // messages acknowledged a second
	rateOut  float64 // messages reaching the hub a second
	ack, hub [2]time.Duration
	news     []string
	keys     bool // somebody is there to press them
}

type deviceLine struct {
	id string
	count
}

const (
	bold   = "\x1b[1m"
	dim    = "\x1b[2m"
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	plain  = "\x1b[0m"
)

// barWidth is the width of the spool's bar, in characters.
const barWidth = 24

// screen draws scenes over each other on a terminal.
type screen struct {
	out   io.Writer
	lines int // of the scene before
}

// draw replaces the scene before with s.
func (v *screen) draw(s scene) { v.drawLines(s.render()) }

func (v *screen) drawLines(lines []string) {
	var b strings.Builder
	if v.lines > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", v.lines)
	}
	for _, line := range lines {
		b.WriteString("\r\x1b[2K" + line + "\r\n")
	}
	b.WriteString("\x1b[J")
	v.lines = len(lines)
	_, _ = io.WriteString(v.out, b.String()) // a terminal that is gone ends with its process
}

func (s scene) render() []string {
	lines := []string{
		fmt.Sprintf("%sSluice%s  devices → gateway → hub, over TLS %s%46s%s", bold, plain, dim, s.elapsed.Round(time.Second), plain),
		"",
		fmt.Sprintf("  devices %s──▶%s gateway %s %s  hub %s", green, plain, light(s.alive, s.gateway, s.gateway), s.line(), light(true, "up", "")),
		"",
		fmt.Sprintf("  %-14s %9s %12s %9s  %s", "device", "sent", "acknowledged", "at hub", "in the spool"),
	}
	most := 1
	for _, d := range s.devices {
		most = max(most, d.acked-d.hub)
	}
	for _, d := range s.devices {
		lines = append(lines, fmt.Sprintf("  %-14s %9d %12d %9d  %s", d.id, d.sent, d.acked, d.hub, bar(d.acked-d.hub, max(most, 50))))
	}
	waiting := max(0, s.total.acked-s.total.hub)
	lines = append(lines,
		fmt.Sprintf("  %s%-14s %9d %12d %9d  %d%s", bold, "all", s.total.sent, s.total.acked, s.total.hub, waiting, plain),
		"",
		fmt.Sprintf("  in  %7.0f/s   acknowledged after %s (p50)  %s (p99)", s.rateIn, short(s.ack[0]), short(s.ack[1])),
		fmt.Sprintf("  out %7.0f/s   at the hub after   %s (p50)  %s (p99)   repeats %d", s.rateOut, short(s.hub[0]), short(s.hub[1]), s.repeats),
		"",
	)
	for _, n := range s.news {
		lines = append(lines, "  "+dim+n+plain)
	}
	if s.keys {
		lines = append(lines, "", "  "+bold+"u"+plain+" cut or restore the uplink   "+bold+"k"+plain+" kill the gateway   "+bold+"q"+plain+" quit")
	}
	return lines
}

// line is the uplink.
func (s scene) line() string {
	if s.uplink {
		return green + "──▶" + plain
	}
	return red + "─╳ " + plain
}

func light(on bool, yes, no string) string {
	if on {
		return green + "●" + plain + " " + yes
	}
	return red + "●" + plain + " " + no
}

func bar(n, most int) string {
	n = max(0, n)
	if n == 0 {
		return dim + "·" + plain
	}
	full := max(1, n*barWidth/most)
	return yellow + strings.Repeat("█", min(full, barWidth)) + plain + fmt.Sprintf(" %d", n)
}

// short is a duration with three digits at most.
func short(d time.Duration) string {
	switch {
	case d == 0:
		return "     –"
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%4.1fms", float64(d)/float64(time.Millisecond))
	case d < 10*time.Second:
		return fmt.Sprintf("%4dms", d.Milliseconds())
	}
	return fmt.Sprintf("%5.0fs", d.Seconds())
}

// sentence is a scene as one line, for output that is not a terminal.
func (s scene) sentence() string {
	uplink := "up"
	if !s.uplink {
		uplink = "cut"
	}
	return fmt.Sprintf("%4.0fs  uplink %-3s  gateway %-18s  sent %6d  acknowledged %6d  at hub %6d  in the spool %5d  in %5.0f/s  out %5.0f/s",
		s.elapsed.Seconds(), uplink, s.gateway, s.total.sent, s.total.acked, s.total.hub, max(0, s.total.acked-s.total.hub), s.rateIn, s.rateOut)
}
