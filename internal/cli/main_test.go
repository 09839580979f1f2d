package cli

import (
	"os"
	"strings"
	"testing"
	"time"
)

// TestMain has tables show times in UTC, wherever the tests run, and says so before
// anything else looks at the clock.
func TestMain(m *testing.M) {
	time.Local = time.UTC
	os.Exit(m.Run())
}

// runCommand runs the program with arguments, without input.
func runCommand(t *testing.T, args ...string) (status int, out, errs string) {
	t.Helper()
	var o, e strings.Builder
	status = Main(t.Context(), args, strings.NewReader(""), &o, &e)
	return status, o.String(), e.String()
}
