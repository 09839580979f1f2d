package cli

import (
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"sluice/internal/auth"
	"sluice/internal/await"
	"sluice/internal/hub"
	"sluice/internal/hub/hubtest"
	"sluice/internal/hub/rest"
	"sluice/internal/sas"
	"sluice/iot"
)

// certificateName is the name that the certificate of httptest is for.
const certificateName = "example.com"

// atNoon is the time of the hub in transcripts.
func atNoon() time.Time { return time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC) }

// startHub serves a whole hub in memory, with the devices pump-7, which is
// connected and answers methods, and lamp, which is not, and returns the directory
// by which commands find it.
func startHub(t *testing.T) (dir string) {
	t.Helper()
	hosts := []string{certificateName}
	h := hubtest.Open(t, vfs.NewMem(), hub.Options{Hosts: hosts, Now: atNoon})
	t.Cleanup(await.Run(h.Run))
	server := httptest.NewTLSServer(rest.New(rest.Options{
		HostName: certificateName, Registry: h.Devices, Auth: &auth.Authenticator{Directory: h.Devices, Hosts: hosts}, Hub: h.Hub,
		Log: slog.New(slog.DiscardHandler),
	}))
	t.Cleanup(server.Close)
	if _, err := h.Devices.Create(entryNamed("pump-7"), entryNamed("lamp")); err != nil {
		t.Fatal(err)
	}
	connectPump(t, h)
	return writeHubData(t, certificateName, h.Devices, server)
}

// connectPump connects pump-7, which answers each method with its name and payload.
func connectPump(t *testing.T, h *hubtest.Hub) {
	t.Helper()
	id := iot.DeviceIdentity("pump-7")
	e, _ := h.Devices.Get(id)
	token, err := sas.Sign(e.Auth.PrimaryKey, sas.Resource{Host: certificateName, Identity: id}, "", atNoon().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	s, err := h.Connect(t.Context(), iot.Credentials{Identity: id, Token: token}, iot.Client{Protocol: "mqtt"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.PatchReported(t.Context(), json.RawMessage(`{"firmware":"1.4"}`)); err != nil {
		t.Fatal(err)
	}
	sub, err := s.Methods(func(call iot.MethodCall, done func(iot.MethodResult)) {
		payload, _ := json.Marshal([]any{call.Name, call.Payload}) // a text and JSON
		done(iot.MethodResult{Status: 200, Payload: payload})
	})
	if err != nil {
		t.Fatal(err)
	}
	sub.Grant(1 << 20)
}

// TestServiceCommands plays the transcripts of commands that need a whole hub, as
// TestDeviceCommands does; words may stand in single quotes.
func TestServiceCommands(t *testing.T) {
	for _, name := range hubVariables {
		t.Setenv(name, "")
	}
	for _, name := range []string{"twin", "method", "query", "c2d", "deploy", "job"} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join("testdata", name+".txt")
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := playCommands(t, string(want), startHub(t))
			if os.Getenv("SLUICE_UPDATE") == "1" {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
				t.Errorf("%s (-want +got; SLUICE_UPDATE=1 rewrites it):\n%s", file, diff)
			}
		})
	}
}

func playCommands(t *testing.T, script, dir string) string {
	t.Helper()
	var got strings.Builder
	for line := range strings.Lines(script) {
		command, ok := strings.CutPrefix(line, "$ sluice ")
		if ok || strings.HasPrefix(line, "#") || line == "\n" {
			got.WriteString(line)
		}
		if ok {
			got.WriteString(runLine(t, words(t, command), "--hub-data", dir))
		}
	}
	return got.String()
}

// words splits a command line as a shell does that knows quotes and nothing else.
func words(t *testing.T, line string) (list []string) {
	t.Helper()
	for rest := strings.TrimSpace(line); rest != ""; rest = strings.TrimLeft(rest, " ") {
		end := " "
		if quote := rest[:1]; quote == "'" || quote == `"` {
			rest, end = rest[1:], quote
		}
		word, after, found := strings.Cut(rest, end)
		if end != " " && !found {
			t.Fatalf("a quote is not closed: %s", line)
		}
		list, rest = append(list, word), after
	}
	return list
}

// Whoever copies the commands of the document in their order gets what it says.
func TestTheCommandsInTheDocumentWork(t *testing.T) {
	for _, name := range hubVariables {
		t.Setenv(name, "")
	}
	text, err := os.ReadFile("../../docs/local-hub.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "## Twins, methods, commands")
	part, _, found2 := strings.Cut(rest, "## Events")
	if !found || !found2 {
		t.Fatal("the document has other parts")
	}
	dir, n := startHub(t), 0
	for line := range strings.Lines(part) {
		command, ok := strings.CutPrefix(line, "sluice ")
		if !ok {
			continue
		}
		n++
		if got := runLine(t, words(t, command), "--hub-data", dir); strings.Contains(got, "exit ") {
			t.Errorf("sluice %s%s", command, got)
		}
	}
	if n < 15 {
		t.Errorf("the document has %d commands", n)
	}
}
