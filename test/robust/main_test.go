//go:build unix

package robust

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// patience is how long the tests wait for what must happen.
const patience = 60 * time.Second

// program is the sluice binary, built once. SLUICE_PROGRAM names one to use
// instead: that of another version, or one that was broken on purpose to see
// whether the tests notice.
var program = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("SLUICE_PROGRAM"); path != "" {
		return path, nil
	}
	dir, err := os.MkdirTemp("", "sluice-robust-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "sluice")
	out, err := exec.Command("go", "build", "-o", path, "sluice/cmd/sluice").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	built = dir
	return path, nil
})

// built is the directory of a program that was built here.
var built string

func TestMain(m *testing.M) {
	code := m.Run()
	if built != "" {
		_ = os.RemoveAll(built) // temporary
	}
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// brief reports whether the tests shall take two minutes rather than seven: unless
// SLUICE_FULL=1 asks for all, as the build does.
func brief() bool { return testing.Short() || os.Getenv("SLUICE_FULL") != "1" }

// kills is how often the gateway is killed in a row: usual, unless SLUICE_KILLS
// says otherwise, or the tests are brief.
func kills(t *testing.T, usual int) int {
	t.Helper()
	if text := os.Getenv("SLUICE_KILLS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			t.Fatalf("SLUICE_KILLS=%q is not a number of kills", text)
		}
		return n
	}
	if brief() {
		return max(2, usual/10)
	}
	return usual
}

// eventually waits until ok reports true.
func eventually(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	defer tellSlow(t, what, time.Now())
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("%s: not within %v", what, limit)
		}
	}
}

// tellSlow says what took long, for whoever wonders where the time went.
func tellSlow(t *testing.T, what string, began time.Time) {
	t.Helper()
	if took := time.Since(began); took > 5*time.Second {
		t.Logf("slow: %s took %v", what, took.Round(time.Millisecond))
	}
}

// wait lets time pass: faults take their time.
func wait(d time.Duration) { <-time.After(d) }
