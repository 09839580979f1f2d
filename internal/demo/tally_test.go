package demo

import (
	"slices"
	"strings"
	"testing"
)

// story is what happened to the messages of one device: "s" sends the next,
// "a2" acknowledges number 2, "h2" is number 2 at the hub.
func story(t *testing.T, events string) *tally {
	t.Helper()
	y := newTally([]string{"d"})
	for _, e := range strings.Fields(events) {
		switch n := int(e[len(e)-1] - '0'); e[0] {
		case 's':
			y.next("d")
		case 'a':
			y.acknowledge("d", n)
		case 'h':
			y.arrive("d", n)
		}
	}
	return y
}

func TestTheJudgeFindsWhatWasPlanted(t *testing.T) {
	for _, tt := range []struct {
		name, events string
		want         []string
	}{
		{"all is well", "s s a1 h1 a2 h2", nil},
		{"unacknowledged may be missing", "s s a1 h1", nil},
		{"unacknowledged may arrive", "s h1", nil},
		{"a repeat is no fault", "s s a1 a2 h1 h2 h1", nil},
		{"a loss", "s s a1 a2 h2", []string{"1 acknowledged messages are not at the hub"}},
		{"an inversion", "s s a1 a2 h2 h1", []string{"message 1 of d reached the hub after message 2"}},
		{"an invention", "s a1 h1 h7", []string{`the hub has message 7 of "d", which nobody sent`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := story(t, tt.events).verdict(); !slices.Equal(got, tt.want) {
				t.Errorf("verdict %q, want %q", got, tt.want)
			}
		})
	}
}

func TestRepeatsAreCounted(t *testing.T) {
	if _, repeats := story(t, "s a1 h1 h1 h1").total(); repeats != 2 {
		t.Errorf("%d repeats, want 2", repeats)
	}
}
