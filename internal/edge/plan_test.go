package edge

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sluice/internal/edge/config"
	"sluice/internal/pki"
)

func TestExampleIsAConfiguration(t *testing.T) {
	if _, err := config.Parse([]byte(Example), "/etc/sluice"); err != nil {
		t.Error(err)
	}
	// What is commented out must be right as well.
	var all []string
	for line := range strings.Lines(Example) {
		if bare, ok := strings.CutPrefix(line, "# "); ok && (strings.Contains(bare, " = ") || strings.HasPrefix(bare, "[")) {
			line = bare
		}
		all = append(all, line)
	}
	cfg, err := config.Parse([]byte(strings.Join(all, "")), "/etc/sluice")
	if err != nil {
		t.Fatal(err)
	}
	if cfg.ParentHostName == "" || cfg.EdgeCA.Key == "" || cfg.Server.Key == "" || cfg.DeviceCA == "" || cfg.Storage.MaxBytes == 0 {
		t.Errorf("not all of it: %+v", cfg)
	}
}

func TestPlanSaysWhatWouldBeDone(t *testing.T) {
	dir := t.TempDir()
	cfg, err := config.Parse([]byte(Example), dir)
	if err != nil {
		t.Fatal(err)
	}
	cfg.DataDir = filepath.Join(dir, "data")
	cfg.Ignored = []string{"agent"}
	text := func() string {
		facts, err := Plan(cfg)
		if err != nil {
			return err.Error()
		}
		return fmt.Sprint(facts)
	}
	expect := func(want ...string) {
		t.Helper()
		for _, w := range want {
			if got := text(); !strings.Contains(got, w) {
				t.Errorf("plan %s\nwant %q in it", got, w)
			}
		}
	}
	expect("GATEWAY", "gateway.local", "HUB.azure-devices.net", ":8883", "2h0m0s", filepath.Join("data", "root.pem"), "agent")
	if strings.Contains(text(), cfg.DeviceKey.Reveal()) {
		t.Error("S12 the plan has the key in it")
	}

	site := newAuthorities(t, pki.Options{})
	cfg.EdgeCA = site.files
	expect("edge CA " + site.files.Cert)

	pair, err := site.root.Server([]string{"another.local"}, pki.Options{})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Server = keyPair(dir)
	if err := pair.WriteFiles(cfg.Server.Cert, cfg.Server.Key, false); err != nil {
		t.Fatal(err)
	}
	expect("another.local, not gateway.local")
	cfg.HostName = "another.local"
	expect(cfg.Server.Cert)
	cfg.TrustBundle = filepath.Join(dir, "no.pem")
	expect("trust bundle", "no.pem")
	if _, err := os.Stat(cfg.DataDir); err == nil {
		t.Error("it made the data directory")
	}
}
