package transcript

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// An echo answers what it is told, from a goroutine, and says when.
type echo struct {
	Notes
	began time.Time
}

func (e *echo) Act(line string) {
	go e.Note("S> %s after %v", strings.ReplaceAll(line, "\n", "|"), time.Since(e.began))
	go e.Note("! asked")
}

func (e *echo) Take() string { return e.TakeBy(func(line string) string { return line[:1] }) }

func (e *echo) Stop() {}

func TestATraceIsPlayedAndItsAnswersAreThoseOfNow(t *testing.T) {
	const script = `# a comment

C> hello
    with more
! what was asked once
S> what was answered once
    with more
+90s
C> again
`
	const want = `# a comment

C> hello
    with more
! asked
S> C> hello|    with more after 0s
+90s
C> again
! asked
S> C> again after 1m30s
`
	synctest.Test(t, func(t *testing.T) {
		if got := play(t, &echo{began: time.Now()}, script); got != want {
			t.Errorf("played as\n%s\nwant\n%s", got, want)
		}
	})
}

func TestNotesOfOneClassKeepTheirOrder(t *testing.T) {
	var n Notes
	for _, line := range []string{"b 1", "a 1", "b 2", "a 2"} {
		n.Note("%s", line)
	}
	if got, want := n.TakeBy(func(line string) string { return line[:1] }), "a 1\na 2\nb 1\nb 2\n"; got != want {
		t.Errorf("taken %q, want %q", got, want)
	}
	if got := n.Take(); got != "" {
		t.Errorf("taken again: %q", got)
	}
}
