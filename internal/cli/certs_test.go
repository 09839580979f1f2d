package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestDaysAreReadAsPeopleWriteThem(t *testing.T) {
	const day = 24 * time.Hour
	good := map[string]time.Duration{"30d": 30 * day, "2y": 730 * day, "36h": 36 * time.Hour, "90m": 90 * time.Minute, "290y": 290 * 365 * day}
	for s, want := range good {
		var d daysFlag
		if err := d.Set(s); err != nil || time.Duration(d) != want {
			t.Errorf("Set(%q) = %v, %v", s, time.Duration(d), err)
		}
	}
	for _, s := range []string{"", "d", "30", "-3d", "0d", "0h", "-2h", "1.5d", "291y", "65536d", "99999999999d", "3 d"} {
		var d daysFlag
		if err := d.Set(s); err == nil {
			t.Errorf("Set(%q) = %v", s, time.Duration(d))
		}
	}
}

func TestEveryIDHasFilesOfItsOwn(t *testing.T) {
	ids := []string{"a", "A", "root", "intermediate", "a.key", "a-key", "a-full-chain", "ca-a", "edge-ca-a", "a:1", "a%3A1", "a*", "a?", "#", "$edgeHub", "..", "a'b"}
	for _, layout := range []certLayout{{dir: "d"}, {dir: "d", azure: true}} {
		seen := map[string]string{}
		note := func(path, what string) {
			if other := seen[path]; other != "" {
				t.Errorf("%s is of %s and of %s", path, other, what)
			}
			if strings.ContainsAny(path, `:*?"<>|\`) {
				t.Errorf("%s of %s is no file name everywhere", path, what)
			}
			seen[path] = what
		}
		all := map[string]certFiles{"the root": layout.root(), "the intermediate": layout.intermediate()}
		for _, id := range ids {
			all["device "+id], all["server "+id], all["edge CA "+id] = layout.device(id), layout.server(id), layout.edgeCA(id)
		}
		for what, f := range all {
			// Microsoft's names cannot tell these two apart; nothing is overwritten.
			if layout.azure && strings.HasSuffix(what, "-full-chain") {
				continue
			}
			note(f.chain, what)
			note(f.key, what)
			if f.cert != "" {
				note(f.cert, what)
			}
		}
	}
}

func TestShellWordsSurviveAShell(t *testing.T) {
	for s, want := range map[string]string{
		"pump-7": "pump-7", "": "''", "a b": "'a b'", "a'b": `'a'\''b'`, "$edgeHub": "'$edgeHub'", "certs/a%3A1.pem": "certs/a%3A1.pem",
	} {
		if got := shellWord(s); got != want {
			t.Errorf("shellWord(%q) = %s, want %s", s, got, want)
		}
	}
}

func TestColumnsAreAlignedWithAndWithoutColours(t *testing.T) {
	rows := []certRow{
		{name: "Root", kind: "root", life: "until 2036-01-01, 10 years", files: "root.pem", colour: "32"},
		{name: "└─ käse", kind: "server", life: "EXPIRED", files: "a.pem", colour: "31"},
		{name: "(gone)"},
	}
	plain := `Root     root    until 2036-01-01, 10 years  root.pem
└─ käse  server  EXPIRED                     a.pem
(gone)
`
	var out, coloured bytes.Buffer
	if err := printRows(&out, rows, false); err != nil || out.String() != plain {
		t.Errorf("%v, printed\n%s", err, &out)
	}
	if err := printRows(&coloured, rows, true); err != nil {
		t.Error(err)
	}
	if got := strings.NewReplacer("\x1b[31m", "", "\x1b[32m", "", "\x1b[0m", "").Replace(coloured.String()); got != plain {
		t.Errorf("but for colours printed\n%s", got)
	}
	if !strings.Contains(coloured.String(), "\x1b[31mEXPIRED\x1b[0m") {
		t.Error("what has expired is not red")
	}
}
