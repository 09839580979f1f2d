package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"sluice/internal/await"
	"sluice/internal/sas"
	"sluice/internal/service"
)

func TestProvisionThatCannotBeIsRefusedWithWhatToDo(t *testing.T) {
	list := filepath.Join(t.TempDir(), "leaves.txt")
	if err := os.WriteFile(list, []byte("a b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args   string
		status Exit
		says   string
	}{
		{"", ExitUsage, "--allow is missing"},
		{"--allow x --rate 0", ExitUsage, "--rate 0"},
		{"--allow x --cert c.pem", ExitUsage, "--cert and --key belong together"},
		{"--allow x --listen 0.0.0.0:7071", ExitUsage, "listen on 127.0.0.1 behind a proxy"},
		{"--allow x --listen :7071", ExitUsage, "others can read"},
		{"--allow x --listen 7071", ExitUsage, "must be HOST:PORT"},
		{"--allow " + filepath.Join(t.TempDir(), "none.txt"), ExitFailed, "no such file"},
		{"--allow " + list, ExitFailed, `line 1: "a b"`},
	} {
		t.Run(tt.args, func(t *testing.T) {
			status, _, errs := runCommand(t, append([]string{"provision"}, strings.Fields(tt.args)...)...)
			if Exit(status) != tt.status || !strings.Contains(errs, tt.says) {
				t.Errorf("status %d, %q", status, errs)
			}
		})
	}
}

// A transcript is what a command that runs has said so far.
type transcript struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *transcript) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *transcript) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func TestS12_ProvisionMakesADeviceAndTellsNobodyItsSecrets(t *testing.T) {
	for _, name := range hubVariables {
		t.Setenv(name, "")
	}
	hub, dir := startHub(t), filepath.Join(t.TempDir(), "provision")
	list := filepath.Join(t.TempDir(), "leaves.txt")
	if err := os.WriteFile(list, []byte("prefix:leaf-\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range []string{"create site-1 --edge", "create site-1/itm"} {
		if status, _, errs := runCommand(t, append([]string{"device", "--hub-data", hub}, strings.Fields(args)...)...); status != 0 {
			t.Fatal(errs)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	said := new(transcript)
	ended := make(chan int, 1)
	go func() {
		ended <- Main(ctx, []string{"provision", "--hub-data", hub, "--allow", list, "--listen", "127.0.0.1:0", "--data", dir, "--log-level", "debug"}, nil, said, said)
	}()
	where := regexp.MustCompile(`http://127\.0\.0\.1:\d+`)
	await.True(t, "it is ready", func() bool { return where.MatchString(said.String()) && strings.Contains(said.String(), "msg=ready") })
	code, err := os.ReadFile(filepath.Join(dir, "code"))
	if err != nil {
		t.Fatal(err)
	}
	post := fmt.Sprintf("%s/?code=%s", where.FindString(said.String()), strings.TrimSpace(string(code)))
	const event = `[{"eventType":"Microsoft.Devices.DeviceTelemetry","data":{"properties":{"itmtype":"LeafEvent"},` +
		`"systemProperties":{"iothub-connection-device-id":"site-1","iothub-connection-module-id":"itm"},` +
		`"body":{"leafDeviceId":"leaf-1","edgeDeviceId":"site-1","edgeModuleId":"itm","operation":"create"}}}]`
	resp, err := http.Post(post, "application/json", strings.NewReader(event))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close() // empty
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("status %d", resp.StatusCode)
	}
	var leaf service.Device
	await.True(t, "the device is there", func() bool {
		status, out, _ := runCommand(t, "device", "show", "leaf-1", "--json", "--hub-data", hub)
		return status == 0 && json.Unmarshal([]byte(out), &leaf) == nil
	})
	await.True(t, "it is said that the module does not answer", func() bool { return strings.Contains(said.String(), "does not answer") })
	cancel()
	if status := <-ended; status != 0 {
		t.Errorf("it ended with %d:\n%s", status, said)
	}
	_, out, _ := runCommand(t, "device", "connection-string", "site-1/itm", "--hub-data", hub)
	cs, err := sas.ParseConnectionString(strings.TrimSpace(out))
	if err != nil {
		t.Fatal(err)
	}
	if want, err := sas.DeriveKey(cs.Key, "leaf-1"); err != nil || leaf.Authentication.SymmetricKey.PrimaryKey != want {
		t.Errorf("the leaf's key is not derived from the module's: %v", err)
	}
	owner, err := os.ReadFile(filepath.Join(hub, "connection-strings.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range regexp.MustCompile(`SharedAccessKey=([^;"]+)`).FindAllSubmatch(owner, -1) {
		code = append(append(code, ' '), key[1]...)
	}
	keys := *leaf.Authentication.SymmetricKey
	for _, secret := range append(strings.Fields(string(code)), keys.PrimaryKey.Reveal(), keys.SecondaryKey.Reveal(), cs.Key.Reveal()) {
		if strings.Contains(said.String(), secret) {
			t.Errorf("a secret was said:\n%s", said)
		}
	}
}
