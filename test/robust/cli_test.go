//go:build unix

package robust

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// run runs the program to its end, for at most a minute.
func run(t *testing.T, out *os.File, args ...string) (text string, code int) {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir = t.TempDir()
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if out != nil {
		cmd.Stdout = out
	}
	_ = cmd.Run() // the code is looked at
	return said.String(), cmd.ProcessState.ExitCode()
}

// commands finds all commands in the program's own help.
func commands(t *testing.T, at ...string) (found [][]string) {
	t.Helper()
	text, code := run(t, nil, append(at, "--help")...)
	if code != 0 {
		t.Errorf("%v --help ends with %d", at, code)
	}
	found = append(found, at)
	body, _, _ := strings.Cut(text, "\nFlags:")
	for _, m := range regexp.MustCompile(`(?m)^  ([a-z][a-z-]*)  +[A-Z]`).FindAllStringSubmatch(body, -1) {
		if len(at) < 3 {
			found = append(found, commands(t, append(append([]string{}, at...), m[1])...)...)
		}
	}
	return found
}

func TestL10_EveryCommandEndsAsItsHelpSays(t *testing.T) {
	all := commands(t)
	if len(all) < 15 {
		t.Fatalf("found only the commands %v", all)
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close() //nolint:errcheck // holds nothing
	for _, command := range all[1:] {
		t.Run("L10 "+strings.Join(command, " "), func(t *testing.T) {
			for _, tt := range []struct {
				name string
				out  *os.File
				args []string
				ok   func(code int) bool
			}{
				{"a bad flag", nil, []string{"--no-such-flag"}, func(code int) bool { return code == 2 }},
				{"too many arguments", nil, []string{"a", "b", "c", "d", "e"}, func(code int) bool { return code > 0 }},
				{"help on a full disk", full, []string{"--help"}, func(code int) bool { return code >= 0 }},
			} {
				text, code := run(t, tt.out, append(append([]string{}, command...), tt.args...)...)
				if !tt.ok(code) && command[0] != "completion" { // which is cobra's own, and then shows its help
					t.Errorf("%s: it ends with %d", tt.name, code)
				}
				if strings.Contains(text, "goroutine ") || strings.Contains(text, "panic:") {
					t.Errorf("%s:\n%s", tt.name, text)
				}
			}
		})
	}
}

func TestL10_WhoReadsGoesAway(t *testing.T) {
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range []string{"--help", "edge --example", "device --help"} {
		// head closes the pipe after a line; the status is the program's.
		script := `{ "$0" ` + args + `; echo "status $?" >&2; } | head -n 1 >/dev/null`
		cmd := exec.CommandContext(t.Context(), "bash", "-c", script, path)
		out, err := cmd.CombinedOutput()
		if err != nil || bytes.Contains(out, []byte("goroutine ")) {
			t.Errorf("%s: %v\n%s", args, err, out)
		}
	}
}

// Ctrl-C ends the commands that run until they are ended, with the status that
// the help promises for something that was done.
func TestL10_AnInterruptEndsWhatRuns(t *testing.T) {
	s := newSite(t, fleet(1))
	monitor := newProcess(t, "monitor", "monitor", "--hub-data", s.path("hub"), "--ca", s.path("root.pem"), "--from", "start")
	monitor.start()
	s.load(func() { monitor.until(patience, "device-01") })
	s.verdict(inFlight(1))
	for _, tt := range []struct {
		p     *process
		codes []int
	}{
		{monitor, []int{0, 130}}, {s.gateway, []int{0}}, {s.hub, []int{0}},
	} {
		took, _ := tt.p.end(syscall.SIGINT)
		if code := tt.p.cmd.ProcessState.ExitCode(); !slices.Contains(tt.codes, code) || took > ending {
			t.Errorf("%s ended with %d after %v", tt.p.name, code, took)
		}
		if tt.p.grep("goroutine ") != "" {
			t.Errorf("%s shows a stack", tt.p.name)
		}
	}
}
