// Package transcript compares what was said with what is written down in testdata.
// Only tests import it.
//
// A conversation that a test makes up as it goes is compared with its file by
// [Compare]. One that the file itself directs, a trace, is played by [Play].
//
// With the flag -update the files are written instead of compared; what has changed
// is then read in the diff of the commit.
package transcript

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the conversations in testdata instead of comparing with them")

// Updating reports whether the flag -update is given, for tests that write other files
// besides.
func Updating() bool { return *update }

// Compare fails the test unless got is what the file says.
func Compare(t testing.TB, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if d := cmp.Diff(strings.Split(read(t, file), "\n"), strings.Split(got, "\n")); d != "" {
		t.Errorf("the conversation is not that of %s (-want +got; -update rewrites it):\n%s", file, d)
	}
}

// Each calls again, in a subtest, for every file that matches pattern, with what the
// file says, and compares it with what again returns: the conversation as it goes now.
// It fails when there is no such file.
func Each(t *testing.T, pattern string, again func(t *testing.T, script string) string) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no conversations %s: %v", pattern, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			Compare(t, file, again(t, read(t, file)))
		})
	}
}

func read(t testing.TB, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
