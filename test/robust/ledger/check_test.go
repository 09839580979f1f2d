package ledger

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var start = time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)

// script writes ledgers from lines like "100 c sent d 1 hub": the millisecond,
// the file, the kind, sender and number, endpoints, and for what is not plain
// "hash=7", "as=x", "expires=900".
func script(t testing.TB, text string) []string {
	t.Helper()
	contents := map[string][]byte{}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		var err error
		if contents[f[1]], err = appendLine(contents[f[1]], scriptEvent(t, f)); err != nil {
			t.Fatal(err)
		}
	}
	return writeFiles(t, t.TempDir(), contents)
}

func scriptEvent(t testing.TB, f []string) Event {
	e := Event{Time: ms(t, f[0]), Kind: Kind(f[2]), Sender: f[3]}
	if e.Kind == Fault {
		return e
	}
	if _, err := fmt.Sscan(f[4], &e.Seq); err != nil {
		t.Fatal(err)
	}
	if e.Kind == Received {
		e.As = e.Sender
	}
	e.Hash = e.Seq
	for _, word := range f[5:] {
		switch key, value, _ := strings.Cut(word, "="); key {
		case "hash":
			e.Hash = 99
		case "as":
			e.As = value
		case "expires":
			e.Expires = ms(t, value)
		default:
			e.Endpoints = strings.Split(word, ",")
		}
	}
	return e
}

func ms(t testing.TB, s string) time.Time {
	d, err := time.ParseDuration(s + "ms")
	if err != nil {
		t.Fatal(err)
	}
	return start.Add(d)
}

type fataler interface{ Fatal(...any) }

func writeFiles(t fataler, dir string, contents map[string][]byte) (paths []string) {
	for file, content := range contents {
		path := filepath.Join(dir, file+".ledger")
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	slices.Sort(paths)
	return paths
}

// Each history is a small run; want names what is broken in it, with counts.
var histories = []struct {
	name string
	text string
	want string
}{
	{"one message that arrives", `
		1 c sent d 1 hub
		2 c acknowledged d 1
		3 h received d 1 hub`, ""},
	{"acknowledged and never received", `
		1 c sent d 1 hub
		2 c acknowledged d 1`, "lost 1"},
	{"received at one of two endpoints", `
		1 c sent d 1 hub,ai
		2 c acknowledged d 1
		3 h received d 1 hub`, "lost 1"},
	{"expired before the end", `
		1 c sent d 1 hub expires=50
		2 c acknowledged d 1
		60 c sent d 2 hub`, ""},
	{"not yet expired at the end", `
		1 c sent d 1 hub expires=90
		2 c acknowledged d 1
		60 c sent d 2 hub`, "lost 1"},
	{"unknown and never received", `
		1 c sent d 1 hub
		2 c unknown d 1
		3 c sent d 2 hub`, ""},
	{"unknown and received", `
		1 c sent d 1 hub
		2 c unknown d 1
		3 h received d 1 hub`, ""},
	{"acknowledged at the second attempt and lost", `
		1 c sent d 1 hub
		2 c unknown d 1
		3 c sent d 1 hub
		4 c acknowledged d 1`, "lost 1"},
	{"refused and not received", `
		1 c sent d 1 hub
		2 c refused d 1`, ""},
	{"refused and received", `
		1 c sent d 1 hub
		2 c refused d 1
		3 h received d 1 hub`, "contradicted 1"},
	{"refused after an attempt of unknown outcome, and received", `
		1 c sent d 1 hub
		2 c unknown d 1
		3 c sent d 1 hub
		4 c refused d 1
		5 h received d 1 hub`, ""},
	{"never sent", `
		3 h received d 1 hub`, "phantom 1"},
	{"sent elsewhere", `
		1 c sent d 1 ai
		2 h received d 1 ai
		3 h received d 1 hub`, "phantom 1"},
	{"another body", `
		1 c sent d 1 hub
		2 c acknowledged d 1
		3 h received d 1 hub hash=99`, "corrupted 1"},
	{"another identity", `
		1 c sent d 1 hub
		2 c acknowledged d 1
		3 h received d 1 hub as=eve`, "misattributed 1"},
	{"overtaken", `
		1 c sent d 1 hub
		1 c sent d 2 hub
		2 c acknowledged d 1
		2 c acknowledged d 2
		3 h received d 2 hub
		4 h received d 1 hub`, "reordered 1"},
	{"overtaken by a message of unknown outcome", `
		1 c sent d 1 hub
		1 c sent d 2 hub
		2 c acknowledged d 1
		3 h received d 2 hub
		4 h received d 1 hub`, "reordered 1"},
	{"overtaken by another sender's", `
		1 c sent d 1 hub
		2 c acknowledged d 1
		3 e sent e 1 hub
		4 h received e 1 hub
		5 h received d 1 hub`, ""},
	{"two overtaken by one", `
		1 c sent d 1 hub
		1 c sent d 2 hub
		1 c sent d 3 hub
		2 c acknowledged d 1
		2 c acknowledged d 2
		3 h received d 3 hub
		4 h received d 1 hub
		5 h received d 2 hub`, "reordered 2"},
	{"sent again after it was overtaken", `
		1 c sent d 1 hub
		1 c unknown d 1
		2 c sent d 2 hub
		3 c acknowledged d 2
		4 c sent d 1 hub
		5 c acknowledged d 1
		6 h received d 2 hub
		7 h received d 1 hub`, ""},
	{"repeated without a fault", `
		1 c sent d 1 hub
		2 c acknowledged d 1
		3 h received d 1 hub
		4 h received d 1 hub`, "repeated 1"},
	{"repeated once for each attempt", `
		1 c sent d 1 hub
		2 c unknown d 1
		3 c sent d 1 hub
		4 c acknowledged d 1
		5 h received d 1 hub
		6 h received d 1 hub`, ""},
	{"both copies of what was sent twice, before a kill and after it", `
		1 c sent d 1 hub
		2 c unknown d 1
		3 c sent d 1 hub
		4 c acknowledged d 1
		400 h received d 1 hub
		400 h received d 1 hub
		401 x fault kill
		800 h received d 1 hub
		800 h received d 1 hub`, ""},
	{"a third copy of what was sent twice, after a kill", `
		1 c sent d 1 hub
		2 c unknown d 1
		3 c sent d 1 hub
		4 c acknowledged d 1
		400 h received d 1 hub
		400 h received d 1 hub
		401 x fault kill
		800 h received d 1 hub
		800 h received d 1 hub
		800 h received d 1 hub`, "repeated 1"},
	{"delivered just before a kill, and after it", `
		1 c sent d 1 hub
		2 c acknowledged d 1
		3 h received d 1 hub
		50 x fault kill
		500 h received d 1 hub`, ""},
	{"delivered long before a kill, and after it", `
		1 c sent d 1 hub
		2 c acknowledged d 1
		3 h received d 1 hub
		250 x fault kill
		500 h received d 1 hub`, "repeated 1"},
	{"delivered twice long after a kill that found it stored", `
		1 c sent d 1 hub
		2 c acknowledged d 1
		3 x fault kill
		500 h received d 1 hub
		501 h received d 1 hub`, "repeated 1"},
	{"without an answer at a kill", `
		1 c sent d 1 hub
		2 x fault kill
		400 c acknowledged d 1
		500 h received d 1 hub
		501 h received d 1 hub`, ""},
	{"repeated before the kill that might have excused it", `
		1 c sent d 1 hub
		2 c acknowledged d 1
		3 h received d 1 hub
		4 h received d 1 hub
		5 x fault kill`, "repeated 1"},
	{"three times for one kill", `
		1 c sent d 1 hub
		2 c acknowledged d 1
		3 h received d 1 hub
		50 x fault kill
		500 h received d 1 hub
		900 h received d 1 hub`, "repeated 1"},
	{"more repeated at a kill than the window holds", `
		1 c sent d 1 hub
		1 c sent d 2 hub
		1 c sent d 3 hub
		3 h received d 1 hub
		3 h received d 2 hub
		3 h received d 3 hub
		4 x fault kill
		5 h received d 1 hub
		5 h received d 2 hub
		5 h received d 3 hub`, "repeated 1"},
	{"no more repeated at two kills than their windows hold", `
		1 c sent d 1 hub
		1 c sent d 2 hub
		1 c sent d 3 hub
		1 c sent d 4 hub
		3 h received d 1 hub
		3 h received d 2 hub
		3 h received d 3 hub
		4 x fault kill
		5 x fault kill
		6 h received d 1 hub
		6 h received d 2 hub
		6 h received d 3 hub
		6 h received d 4 hub
		90 x fault kill
		91 h received d 4 hub`, ""},
	{"more repeated at two kills than their windows hold", `
		1 c sent d 1 hub
		1 c sent d 2 hub
		1 c sent d 3 hub
		1 c sent d 4 hub
		1 c sent d 5 hub
		3 h received d 1 hub
		3 h received d 2 hub
		3 h received d 3 hub
		3 h received d 4 hub
		3 h received d 5 hub
		4 x fault kill
		5 x fault kill
		6 h received d 1 hub
		6 h received d 2 hub
		6 h received d 3 hub
		6 h received d 4 hub
		6 h received d 5 hub`, "repeated 1"},
}

func TestHistories(t *testing.T) {
	for _, tt := range histories {
		t.Run(tt.name, func(t *testing.T) {
			report, err := Check(script(t, tt.text), Rules{Slack: 100 * time.Millisecond, Window: 2})
			if err != nil {
				t.Fatal(err)
			}
			if got := breaches(report); got != tt.want {
				t.Errorf("found %q, want %q\n%s", got, tt.want, report)
			}
		})
	}
}

func breaches(r *Report) string {
	var found []string
	for _, b := range Breaches {
		if n := r.Counts[b]; n > 0 {
			found = append(found, fmt.Sprintf("%s %d", b, n))
		}
	}
	return strings.Join(found, ", ")
}

// A ledger that contradicts itself proves nothing, and must not pass.
func TestLedgersThatProveNothing(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"an outcome of what was not sent", "1 c acknowledged d 1", "before it was sent"},
		{"a sender in two files", "1 a sent d 1 hub\n2 b sent d 2 hub", "order cannot be known"},
		{"a stream in two files", "1 c sent d 1 hub\n2 c sent d 2 hub\n3 h received d 1 hub\n4 i received d 2 hub", "order cannot be known"},
		{"one number for two bodies", "1 c sent d 1 hub\n2 c sent d 1 hub hash=99", "another body"},
		{"a kind nobody knows", "1 c lost d 1", "unknown kind"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := Check(script(t, tt.text), Rules{}); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is %v, want one with %q", err, tt.want)
			}
		})
	}
	if _, err := CheckDir(t.TempDir(), Rules{}); err == nil {
		t.Error("a directory without ledgers passes")
	}
}

func TestReportNamesTheFirstOffenders(t *testing.T) {
	files := script(t, `
		1 c sent d 1 hub
		2 c acknowledged d 1
		3 c sent d 2 hub
		4 c acknowledged d 2
		5 c sent d 3 hub
		6 c acknowledged d 3
		7 c sent d 4 hub
		8 c acknowledged d 4
		9 h received d 4 hub as=eve`)
	report, err := CheckDir(filepath.Dir(files[0]), Rules{Offenders: 2})
	if err != nil {
		t.Fatal(err)
	}
	const want = `PROMISES WERE BROKEN

        4 sent: 4 acknowledged, 0 refused, 0 unknown
        1 received, of which repeated: 0 in flight at a fault, 0 sent again
        0 expired, 0 faults, 0 torn lines

        3 lost
          d #1 at hub (c.ledger:1): sent 08:00:00.001, acknowledged 08:00:00.002, never received
          d #2 at hub (c.ledger:3): sent 08:00:00.003, acknowledged 08:00:00.004, never received
          and 1 more

        1 misattributed
          d #4 at hub (h.ledger:1): received as from "eve"
`
	var b strings.Builder
	if _, err := report.WriteTo(&b); err != nil || b.String() != want {
		t.Errorf("report is\n%s\nwant\n%s", &b, want)
	}
}
