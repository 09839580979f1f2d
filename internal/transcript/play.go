package transcript

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A Stage is what a trace is played on: the thing under test, with clients and with
// what stands behind it.
type Stage interface {
	// Act does what a line says. Lines that belong to it, which begin with four
	// spaces, follow it after line ends. It need not wait for what comes of it.
	Act(line string)
	// Take returns what was noted since the last time, in lines.
	Take() string
	// Stop ends everything, and returns when it has ended.
	Stop()
}

// Play plays the traces testdata/trace/*.txt in virtual time, each on a stage of its
// own that begin makes of the file's text. In a trace,
//
//	# ...      is a comment
//	+90s       is time that passes
//	S> ...     is what a client gets
//	! ...      is what the thing behind is asked
//
// and the stage knows what all other lines mean. After each of them everything comes to
// rest, and what the stage has noted is compared with the lines of the last two kinds
// that follow. S2> and the like are other clients.
func Play(t *testing.T, begin func(t *testing.T, script string) Stage) {
	t.Helper()
	Each(t, "testdata/trace/*.txt", func(t *testing.T, script string) (now string) {
		synctest.Test(t, func(t *testing.T) { now = play(t, begin(t, script), script) })
		return now
	})
}

func play(t *testing.T, s Stage, script string) string {
	var out strings.Builder
	for _, line := range linesOf(script) {
		if strings.HasPrefix(line, "S") || strings.HasPrefix(line, "!") {
			continue
		}
		fmt.Fprintln(&out, line)
		out.WriteString(After(t, s, line))
	}
	s.Stop()
	return out.String()
}

// linesOf are the lines of a script, each with those that belong to it.
func linesOf(script string) (all []string) {
	for line := range strings.Lines(script) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "    ") && len(all) > 0 {
			all[len(all)-1] += "\n" + line
			continue
		}
		all = append(all, line)
	}
	return all
}

// After plays lines and returns what has been noted when everything has come to rest,
// for tests that go on from there. It is called in a bubble of [synctest].
func After(t testing.TB, s Stage, lines ...string) string {
	t.Helper()
	for _, line := range lines {
		switch {
		case line == "", line[0] == '#':
		case line[0] == '+':
			d, err := time.ParseDuration(line[1:])
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(d)
		default:
			s.Act(line)
		}
		synctest.Wait()
	}
	return s.Take()
}

// Notes are what happens on a stage, line by line. The zero value has none, and any
// goroutine may add to it.
type Notes struct {
	mu    sync.Mutex
	lines []string
}

// Note adds a line.
func (n *Notes) Note(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lines = append(n.lines, fmt.Sprintf(format, args...))
}

// Take returns the lines since the last time.
func (n *Notes) Take() string {
	return n.TakeBy(func(string) string { return "" })
}

// TakeBy returns the lines since the last time, in the order of what class says of them:
// those of goroutines that run side by side need a class each. Within a class the order
// stays.
func (n *Notes) TakeBy(class func(line string) string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	slices.SortStableFunc(n.lines, func(a, b string) int { return cmp.Compare(class(a), class(b)) })
	var out strings.Builder
	for _, l := range n.lines {
		fmt.Fprintln(&out, l)
	}
	n.lines = nil
	return out.String()
}
