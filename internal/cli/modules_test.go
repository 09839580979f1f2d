//go:build unix

package cli

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sluice/internal/await"
	"sluice/internal/module"
	"sluice/internal/operate"
	"sluice/internal/sockettest"
	"sluice/internal/workload"
	"sluice/iot"
)

const testModules = `{"schemaVersion": "1.1", "modules": {
	"filter": {"type": "process", "status": "running", "restartPolicy": "always",
		"settings": {"image": "sh", "createOptions": {"Cmd": ["-c", "echo one; echo two; exec sleep 600"]}}},
	"ends": {"type": "process", "status": "running", "restartPolicy": "never",
		"settings": {"image": "sh", "createOptions": {"Cmd": ["-c", "exit 3"]}}},
	"rests": {"type": "process", "status": "stopped", "settings": {"image": "sh"}}}}`

// runModules runs modules until the test ends, and serves the operator as a gateway
// with the data directory does.
func runModules(t *testing.T) (dir string) {
	t.Helper()
	dir = sockettest.Dir(t)
	file := filepath.Join(dir, "modules.json")
	if err := os.WriteFile(file, []byte(testModules), 0o600); err != nil {
		t.Fatal(err)
	}
	keys := func(context.Context, string) (iot.Secret, string, bool) { return "a2V5", "1", true }
	device := iot.DeviceIdentity("site-1")
	api, err := workload.New(workload.Options{Device: device, Hub: "hub", Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	r, err := module.New(module.Options{
		Dir: dir, RunDir: filepath.Join(dir, "run"), Device: device, Hub: "hub", Host: "gateway", Workload: api, Keys: keys, File: file,
	})
	if err != nil {
		t.Fatal(err)
	}
	l, err := operate.Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.StripPrefix("/v1", r.Handler())}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- r.Run(ctx) }()
	go func() { _ = server.Serve(l); done <- nil }() // it is closed
	t.Cleanup(func() {
		cancel()
		_ = server.Close() // nothing to say of it
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
	return dir
}

func TestModulesOnTheCommandLine(t *testing.T) {
	dir := runModules(t)
	want := regexp.MustCompile(`^ends\tfailed\tended with exit code 3\tsh\nfilter\trunning\tup \d+ \w+\tsh\nrests\tstopped\tstopped\tsh\n$`)
	await.Success(t, "the modules are as they are to be", func() error {
		status, out, errs := runCommand(t, "list", "--data", dir)
		_, logs, _ := runCommand(t, "logs", "filter", "--data", dir)
		if status != 0 || !want.MatchString(out) || logs != "one\ntwo\n" {
			return fmt.Errorf("%d %q %q, logs %q", status, out, errs, logs)
		}
		return nil
	})
	for _, tt := range []struct {
		args   string
		status Exit
		out    string // or of standard error
	}{
		{"logs filter --tail 1", ExitOK, "two\n"},
		{"logs filter --since 1h", ExitOK, "one\ntwo\n"},
		{"logs filter --since 2999-01-01T00:00:00Z", ExitOK, ""},
		{"logs none", ExitFailed, "sluice: module none: there is no such module in the deployment\n"},
		{"logs filter --tail some", ExitUsage, "sluice: --tail: write a number of lines, or all\n"},
		{"restart filter", ExitOK, "Restarted filter\n"},
		{"logs filter --tail all", ExitOK, "one\ntwo\n"},
		{"restart rests", ExitFailed, "sluice: module rests: stopped\n"},
	} {
		status, out, errs := runCommand(t, append(strings.Fields(tt.args), "--data", dir)...)
		if status != int(tt.status) || !strings.HasPrefix(out+errs, tt.out) {
			t.Errorf("%s: %d %q %q", tt.args, status, out, errs)
		}
	}
	if status, out, _ := runCommand(t, "list", "--json", "--data", dir); status != 0 || !strings.Contains(out, `"runtimeStatus": {`) {
		t.Errorf("%d %s", status, out)
	}
}

func TestModulesWithoutAGateway(t *testing.T) {
	status, _, errs := runCommand(t, "list", "--data", t.TempDir())
	if status != int(ExitUnreachable) || !strings.Contains(errs, "hint: no gateway runs with the data directory") {
		t.Errorf("%d %s", status, errs)
	}
}
