package cli

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"sluice/internal/auth"
	"sluice/internal/dbtest"
	"sluice/internal/hub/host"
	"sluice/internal/hub/registry"
	"sluice/internal/hub/rest"
	"sluice/internal/hub/storage"
)

// startRegistry serves a registry in memory and writes the directory by which
// commands find it.
func startRegistry(t *testing.T, hub string) (dir string, store *registry.Store) {
	t.Helper()
	store, err := registry.Open(dbtest.Open(t, vfs.NewMem()), registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewTLSServer(rest.New(rest.Options{
		HostName: hub, Registry: store, Auth: &auth.Authenticator{Directory: store, Hosts: []string{hub}},
		Log: slog.New(slog.DiscardHandler),
	}))
	t.Cleanup(server.Close)
	return writeHubData(t, hub, store, server), store
}

func writeHubData(t *testing.T, hub string, store storage.Identities, server *httptest.Server) (dir string) {
	t.Helper()
	dir = t.TempDir()
	c := host.Connections{HostName: hub, Address: server.Listener.Addr().String(), Root: "root.pem", Policies: map[string]string{}}
	for _, p := range store.Policies() {
		c.Policies[p.Name] = fmt.Sprintf("HostName=%s;SharedAccessKeyName=%s;SharedAccessKey=%s", hub, p.Name, p.Primary.Reveal())
	}
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	root := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	for name, content := range map[string][]byte{host.ConnectionsFile: text, "root.pem": root} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// What differs from run to run is shown by name.
var volatile = []struct {
	text *regexp.Regexp
	name string
}{
	{regexp.MustCompile(`SharedAccessKey=[A-Za-z0-9+/]{43}=`), "SharedAccessKey=KEY"},
	{regexp.MustCompile(`"[A-Za-z0-9+/]{43}="`), `"KEY"`},
	{regexp.MustCompile(`\b[0-9]{18}\b`), "NUMBER"},
	{regexp.MustCompile(`\bM[A-Za-z0-9]{21}==`), "ETAG"},
	{regexp.MustCompile(`127\.0\.0\.1:[0-9]+`), "ADDRESS"},
}

// TestDeviceCommands plays testdata/device.txt: command lines, each with what it
// prints, "|" before what goes to standard output and "!" to standard error, and
// the exit status if that is not 0. SLUICE_UPDATE=1 rewrites it.
func TestDeviceCommands(t *testing.T) {
	for _, name := range hubVariables {
		t.Setenv(name, "")
	}
	const file = "testdata/device.txt"
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	// The certificate of httptest is for this name.
	dir, _ := startRegistry(t, "example.com")
	var got strings.Builder
	for line := range strings.Lines(string(want)) {
		command, ok := strings.CutPrefix(line, "$ sluice ")
		if ok || strings.HasPrefix(line, "#") || line == "\n" {
			got.WriteString(line)
		}
		if ok {
			got.WriteString(runLine(t, strings.Fields(command), "--hub-data", dir))
		}
	}
	if os.Getenv("SLUICE_UPDATE") == "1" {
		if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got.String(), "\n")); diff != "" {
		t.Errorf("%s (-want +got; SLUICE_UPDATE=1 rewrites it):\n%s", file, diff)
	}
}

// runLine runs a command line and returns its transcript.
func runLine(t *testing.T, args []string, more ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	status := Main(t.Context(), append(args, more...), strings.NewReader(""), &out, &errs)
	text := ""
	for line := range strings.Lines(out.String()) {
		text += strings.TrimRight("| "+line, " \n") + "\n"
	}
	for line := range strings.Lines(errs.String()) {
		text += "! " + line
	}
	if status != 0 {
		text += fmt.Sprintf("exit %d\n", status)
	}
	for _, v := range volatile {
		text = v.text.ReplaceAllString(text, v.name)
	}
	return text
}

func TestTheHubIsFoundInTheOrderThatTheHelpSays(t *testing.T) {
	dir, store := startRegistry(t, "example.com")
	if _, err := store.Create(entryNamed("here")); err != nil {
		t.Fatal(err)
	}
	other, elsewhere := startRegistry(t, "example.com")
	if _, err := elsewhere.Create(entryNamed("there")); err != nil {
		t.Fatal(err)
	}
	here, there := readConnections(t, dir), readConnections(t, other)
	byFlag := func(c host.Connections, dir string) []string {
		return []string{"--hub", c.Policies[storage.ReadPolicy], "--address", c.Address, "--ca", filepath.Join(dir, "root.pem")}
	}
	t.Run("the flag beats the directory", func(t *testing.T) {
		wantList(t, "here", append(byFlag(here, dir), "--hub-data", other)...)
	})
	t.Run("the directory beats the environment", func(t *testing.T) {
		t.Setenv(hubVariables[0], there.Policies[storage.OwnerPolicy])
		wantList(t, "here", "--hub-data", dir)
	})
	t.Run("our variable beats Azure's", func(t *testing.T) {
		t.Setenv(hubVariables[0], there.Policies[storage.OwnerPolicy])
		t.Setenv(hubVariables[1], here.Policies[storage.OwnerPolicy])
		wantList(t, "there", "--address", there.Address, "--ca", filepath.Join(other, "root.pem"))
	})
	t.Run("a certificate from the environment is not for a local hub", func(t *testing.T) {
		t.Setenv("SLUICE_CA", "/nowhere.pem")
		wantList(t, "here", "--hub-data", dir)
		t.Setenv("SLUICE_CA", filepath.Join(dir, "root.pem"))
		wantList(t, "here", byFlag(here, dir)[:4]...)
	})
	t.Run("at last the directory that sluice hub makes", func(t *testing.T) {
		for _, name := range hubVariables {
			t.Setenv(name, "")
		}
		t.Chdir(t.TempDir())
		if err := os.Rename(other, defaultHubData); err != nil {
			t.Fatal(err)
		}
		wantList(t, "there")
	})
}

func wantList(t *testing.T, device string, args ...string) {
	t.Helper()
	got := runLine(t, []string{"device", "list"}, args...)
	if want := "| " + device + "\tdevice\tenabled\tDisconnected\tsas\t\n"; got != want {
		t.Errorf("listed %q, want %q", got, want)
	}
}

func entryNamed(id string) storage.Entry {
	var e storage.Entry
	e.Identity.Device, e.Enabled = id, true
	return e
}

func readConnections(t *testing.T, dir string) (c host.Connections) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, host.ConnectionsFile))
	if err == nil {
		err = json.Unmarshal(text, &c)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}
