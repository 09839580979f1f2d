package spelling

import (
	"strings"
	"testing"
)

func TestNearest(t *testing.T) {
	for _, c := range []struct{ word, candidates, want string }{
		{"staus", "start status stop", "status"},
		{"status", "start status stop", "status"},
		{"hepl", "help", "help"},
		{"x", "help", ""},
		{"", "ab", ""},
		{"ab", "ax ay", "ax"}, // the first of two
		{"quite another", "help", ""},
		{"data.dir", "sluice.data_dir data_dir", "data_dir"},
		{"abcdef", "abcxyz", "abcxyz"}, // three of six, which is the most
		{"abcdef", "abwxyz", ""},
	} {
		if got := Nearest(c.word, strings.Fields(c.candidates), nil); got != c.want {
			t.Errorf("Nearest(%q, %s) = %q, want %q", c.word, c.candidates, got, c.want)
		}
	}
	alike := func(c string) bool { return strings.HasPrefix(c, "pr") }
	if got := Nearest("pr", []string{"pro", "provision", "rest"}, alike); got != "pro" {
		t.Errorf("of those that are alike: %q", got)
	}
	if got := Nearest("provisoin", []string{"rest", "provision"}, alike); got != "provision" {
		t.Errorf("what is alike: %q", got)
	}
}

func TestDistanceIsTheSameBothWays(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"kitten", "sitting", 3}, {"flaw", "lawn", 2}, {"same", "same", 0}} {
		if d, e := distance(c.a, c.b), distance(c.b, c.a); d != c.want || e != c.want {
			t.Errorf("%q and %q: %d and %d, want %d", c.a, c.b, d, e, c.want)
		}
	}
}
