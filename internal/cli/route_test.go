package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/route"
)

// A transcript is what a guide shows of a terminal: "$ cat FILE" and a file, or
// "$ sluice …" and what it prints.
func playTranscript(t *testing.T, dir, text string) string {
	t.Helper()
	var got strings.Builder
	lines := strings.SplitAfter(text, "\n")
	for i := 0; i < len(lines); {
		command := lines[i]
		i++
		var rest strings.Builder
		for i < len(lines) && !strings.HasPrefix(lines[i], "$ ") {
			rest.WriteString(lines[i])
			i++
		}
		got.WriteString(command)
		words := shellWords(t, strings.TrimPrefix(command, "$ "))
		switch {
		case len(words) == 0:
		case words[0] == "cat":
			if err := os.WriteFile(filepath.Join(dir, words[1]), []byte(rest.String()), 0o644); err != nil {
				t.Fatal(err)
			}
			got.WriteString(rest.String())
		case words[0] == "sluice":
			got.WriteString(playCommand(t, words[1:]))
		default:
			t.Fatalf("cannot play %q", command)
		}
	}
	return got.String()
}

// playCommand runs a command line, which may end in < FILE, and returns all that
// it prints.
func playCommand(t *testing.T, words []string) string {
	t.Helper()
	in := []byte{}
	if n := len(words); n > 2 && words[n-2] == "<" {
		data, err := os.ReadFile(words[n-1])
		if err != nil {
			t.Fatal(err)
		}
		in, words = data, words[:n-2]
	}
	var out bytes.Buffer
	Main(t.Context(), words, bytes.NewReader(in), &out, &out)
	return out.String()
}

// shellWords splits a line at spaces that are not in quotes.
func shellWords(t *testing.T, line string) []string {
	t.Helper()
	var words []string
	word, quote, inWord := "", rune(0), false
	for _, c := range strings.TrimSpace(line) + " " {
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote == '"' && (c == '$' || c == '`' || c == '\\'):
			t.Fatalf("a shell would change %q in double quotes: %s", c, line)
		case quote != 0 || !strings.ContainsRune(`'" `, c):
			word, inWord = word+string(c), true
		case c != ' ':
			quote, inWord = c, true
		case inWord:
			words = append(words, word)
			word, inWord = "", false
		}
	}
	return words
}

// fences are the fenced blocks of a guide, with what stands behind the fence.
func fences(guide string) (blocks [][2]string) {
	for {
		_, rest, ok := strings.Cut(guide, "\n```")
		if !ok {
			return blocks
		}
		kind, rest, _ := strings.Cut(rest, "\n")
		text, after, _ := strings.Cut(rest, "\n```\n")
		blocks = append(blocks, [2]string{kind, text + "\n"})
		guide = "\n" + after
	}
}

// What docs/routes.md shows is what happens.
func TestRouteGuide(t *testing.T) {
	guide, err := os.ReadFile("../../docs/routes.md")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	t.Chdir(dir)
	seen := map[string]int{}
	for _, block := range fences(string(guide)) {
		kind, text := block[0], block[1]
		seen[kind]++
		switch kind {
		case "":
			if diff := cmp.Diff(strings.Split(text, "\n"), strings.Split(playTranscript(t, dir, text), "\n")); diff != "" {
				t.Errorf("(-guide +program):\n%s", diff)
			}
		case "routes":
			for text := range strings.SplitSeq(text, "\n\n") {
				if r, err := route.Parse(text); err != nil || len(r.Doubts()) > 0 {
					t.Errorf("%s: %v", text, err)
				}
			}
		case "conditions":
			for line := range strings.Lines(text) {
				checkGuideCondition(t, strings.TrimSpace(line))
			}
		default:
			t.Errorf("a block of %q", kind)
		}
	}
	if seen[""] < 4 || seen["routes"] < 2 || seen["conditions"] < 6 {
		t.Errorf("blocks: %v", seen)
	}
}

// checkGuideCondition checks a condition with its result behind it, about the
// guide's message.json.
func checkGuideCondition(t *testing.T, line string) {
	t.Helper()
	text, err := os.ReadFile("message.json")
	if err != nil {
		t.Fatal(err)
	}
	at := strings.LastIndexByte(line, ' ')
	q := conditionQuestion{Condition: line[:at]}
	if err := json.Unmarshal(text, &q.routeMessage); err != nil {
		t.Fatal(err)
	}
	c, err := q.compile()
	if err != nil {
		t.Errorf("%s: %v", line, err)
		return
	}
	sample, err := q.sample()
	if err != nil {
		t.Fatal(err)
	}
	if got := c.EvalSample(sample).String(); got != line[at+1:] {
		t.Errorf("%s: %s", line, got)
	}
}

// TestRouteCommands plays testdata/route.txt. SLUICE_UPDATE=1 rewrites it.
func TestRouteCommands(t *testing.T) {
	const file = "testdata/route.txt"
	path, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	t.Chdir(dir)
	got := playTranscript(t, dir, string(want))
	if os.Getenv("SLUICE_UPDATE") == "1" {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("%s (-want +got; SLUICE_UPDATE=1 rewrites it):\n%s", file, diff)
	}
}

func TestRouteExitStatus(t *testing.T) {
	const good, bad = "FROM /* INTO $upstream", "FROM /* WHERE a!='b' INTO $up"
	const doubtful = "FROM /messages/events INTO $upstream"
	for _, tt := range []struct {
		args string
		want Exit
	}{
		{"check --route|" + good, ExitOK},
		{"check --route|" + bad, ExitFailed},
		{"check --route|" + doubtful, ExitOK},
		{"check --strict --route|" + doubtful, ExitFailed},
		{"check", ExitUsage},
		{"check no-such-file", ExitFailed},
		{"test", ExitUsage},
		{"test --route|" + bad, ExitFailed},
		{"eval", ExitUsage},
		{"eval --jsonl true", ExitUsage},
		{"eval true", ExitOK},
		{"eval nope(", ExitFailed},
	} {
		head, last, quoted := strings.Cut(tt.args, "|")
		args := append([]string{"route"}, strings.Fields(head)...)
		if quoted {
			args = append(args, last)
		}
		var out bytes.Buffer
		if got := Main(t.Context(), args, strings.NewReader("{}"), &out, &out); got != int(tt.want) {
			t.Errorf("%s: status %d, want %d\n%s", tt.args, got, tt.want, out.String())
		}
	}
}
