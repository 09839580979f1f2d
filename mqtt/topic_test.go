package mqtt

import (
	"strings"
	"testing"
)

func TestMatch(t *testing.T) {
	for _, tt := range []struct {
		filter, topic string
		want          bool
	}{
		// the examples of section 4.7
		{"sport/tennis/player1/#", "sport/tennis/player1", true},
		{"sport/tennis/player1/#", "sport/tennis/player1/ranking", true},
		{"sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true},
		{"sport/#", "sport", true},
		{"#", "a/b/c", true},
		{"sport/tennis/+", "sport/tennis/player1", true},
		{"sport/tennis/+", "sport/tennis/player1/ranking", false},
		{"sport/+", "sport", false},
		{"sport/+", "sport/", true},
		{"+/+", "/finance", true},
		{"/+", "/finance", true},
		{"+", "/finance", false},
		{"#", "$SYS/x", false},
		{"+/monitor/Clients", "$SYS/monitor/Clients", false},
		{"$SYS/#", "$SYS/x", true},
		{"$SYS/monitor/+", "$SYS/monitor/Clients", true},
		// and others
		{"a/b", "a/b", true},
		{"a/b", "a/B", false},
		{"a/b", "a/b/", false},
		{"a/b/", "a/b", false},
		{"a/+/c", "a//c", true},
		{"a/+/#", "a/b", true},
		{"a/+/#", "a", false},
		{"a//#", "a", false},
	} {
		if got := Match(tt.filter, tt.topic); got != tt.want {
			t.Errorf("Match(%q, %q) = %t", tt.filter, tt.topic, got)
		}
	}
}

func TestValidFilter(t *testing.T) {
	for filter, want := range map[string]bool{
		"#": true, "+": true, "a/#": true, "+/+/#": true, "/": true, "a/+/b": true, "$share/g/t": true,
		"": false, "a#": false, "#/a": false, "a/#/b": false, "a+": false, "+a": false, "a/+b/c": false, "a\x00": false,
		strings.Repeat("x", 65536): false,
	} {
		if got := ValidFilter(filter); got != want {
			t.Errorf("ValidFilter(%.20q) = %t", filter, got)
		}
	}
}

// TLS records are followed however their bytes are cut.
func TestRecord(t *testing.T) {
	stream := []byte{23, 3, 3, 0, 3, 'a', 'b', 'c', 23, 3, 3, 0, 0, 23, 3, 3, 1, 0}
	stream = append(stream, make([]byte, 256)...)
	boundaries := map[int]bool{0: true, 8: true, 13: true, len(stream): true}
	for step := 1; step <= len(stream); step++ {
		var r record
		for at := 0; at < len(stream); {
			if (r == record{}) != boundaries[at] {
				t.Fatalf("step %d: at %d: %+v", step, at, r)
			}
			n := r.next(stream[at:min(at+step, len(stream))])
			r.advance(stream[at : at+n])
			at += n
		}
		if r != (record{}) {
			t.Fatalf("step %d: %+v at the end", step, r)
		}
	}
}
