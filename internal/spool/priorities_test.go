package spool

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLengthsByPriority(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	put(t, s,
		entry("q", "a", 7, strings.Repeat("x", 10)),
		entry("q", "b", 7, strings.Repeat("x", 20)),
		entry("q", "b", 0, "12345"),
		entry("other", "", 3, ""))
	want := []PriorityStats{{0, 1, 5 + Overhead}, {7, 2, 30 + 2*Overhead}}
	if diff := cmp.Diff(want, s.Queue("q").Priorities()); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if _, err := s.Queue("q").Purge(); err != nil {
		t.Fatal(err)
	}
	if got := s.Queue("q").Priorities(); len(got) != 0 {
		t.Errorf("an empty queue has %v", got)
	}
}
