package cli

import (
	"strings"
	"testing"
)

// runCommand runs the program with arguments, without input.
func runCommand(t *testing.T, args ...string) (status int, out, errs string) {
	t.Helper()
	var o, e strings.Builder
	status = Main(t.Context(), args, strings.NewReader(""), &o, &e)
	return status, o.String(), e.String()
}
