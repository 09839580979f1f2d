package interop

import (
	"encoding/json"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// The AMQP stack of Microsoft's SDK in C, in its form for Python, wants frames
// whole, what it asks accepted before it is answered, and links that settle first.
func TestTheAMQPStackInC(t *testing.T) {
	requirePython(t, "uamqp", "python3-uamqp")
	s := newSite(t, "pump")
	s.startGateway()
	python := func(args ...string) string {
		t.Helper()
		return output(t, exec.CommandContext(t.Context(), python3, append([]string{"py/device.py"}, args...)...))
	}
	for _, login := range []string{"plain", "cbs"} {
		s.sluice("c2d", "send", "pump", "--hub-data", s.path("hub"), "--data", "open the valve, "+login)
		if got := python(s.deviceString("pump"), s.path("certs", "root.pem"), login); got != "open the valve, "+login+"\n" {
			t.Errorf("%s: the command is %q", login, got)
		}
	}
	var c struct{ Events string }
	text, err := os.ReadFile(s.path("hub", "connection-strings.json"))
	if err == nil {
		err = json.Unmarshal(text, &c)
	}
	if err != nil {
		t.Fatal(err)
	}
	var first struct{ Partition json.Number }
	event := s.sluice("monitor", "--hub-data", s.path("hub"), "--from", "start", "--json", "--count", "1")
	if err := json.Unmarshal([]byte(event), &first); err != nil {
		t.Fatalf("%v\n%s", err, event)
	}
	got := strings.Fields(python(c.Events, s.path("hub", "root.pem"), "events", first.Partition.String(), "6"))
	if want := strings.Fields("plain 0 plain 1 plain 2 cbs 0 cbs 1 cbs 2"); !slices.Equal(got, want) {
		t.Errorf("the hub has %q", got)
	}
}

const python3 = "/usr/bin/python3" // Debian's packages are for Debian's

// requirePython skips the test if Debian's Python has no such module, unless it
// may be installed.
func requirePython(t *testing.T, module, pkg string) {
	t.Helper()
	has := func() bool { return exec.Command(python3, "-c", "import "+module).Run() == nil }
	if has() {
		return
	}
	if os.Getenv("SLUICE_INSTALL") != "1" {
		t.Skipf("%s is not installed: apt-get install %s, or run with SLUICE_INSTALL=1", pkg, pkg)
	}
	if out, err := exec.Command("apt-get", "install", "-y", "--no-install-recommends", pkg).CombinedOutput(); err != nil || !has() {
		t.Fatalf("%s cannot be installed: %v\n%s", pkg, err, out)
	}
}
