package cli

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// runOnce runs a command line to its end.
func runOnce(t *testing.T, args ...string) (status int, out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	status = Main(context.Background(), args, strings.NewReader(""), &stdout, &stderr)
	return status, stdout.String(), stderr.String()
}

func TestTranslatorsSayWhatIsWrong(t *testing.T) {
	for _, name := range []string{"IOTEDGE_WORKLOADURI", "IOTEDGE_MODULEID", "EdgeHubConnectionString"} {
		t.Setenv(name, "")
	}
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	bridge := write("bridge.json", `{"topcs": {}}`)
	field := write("field.toml", "[[devices]]\naddress = 'a'\nunits = [{leaf = 'x', registers = [{name = 'r', kind = 'holdng'}]}]")
	for _, c := range []struct {
		args []string
		exit Exit
		says string
	}{
		{[]string{"module", "mqtt-bridge"}, ExitUsage, "IOTEDGE_WORKLOADURI is not set"},
		{[]string{"module", "mqtt-bridge", "--config", bridge}, ExitFailed, `bridge.json: unknown key "topcs"; did you mean "topics"?`},
		{[]string{"module", "mqtt-bridge", "--broker", "1.2.3.4"}, ExitFailed, "it is of the form tcp://host:1883"},
		{[]string{"module", "mqtt-bridge", "--broker", "tcp://a:1", "--listen", ":1"}, ExitFailed, "listen and broker are both set"},
		{[]string{"module", "modbus", "--config", field}, ExitFailed, `register "r": kind is "holdng"; it is "coil", "discrete", "holding" or "input"`},
		{[]string{"module", "modbus", "--config", filepath.Join(dir, "nothing")}, ExitFailed, "no such file"},
		{[]string{"module", "mqttbridge"}, ExitUsage, `did you mean "sluice module mqtt-bridge"?`},
	} {
		if status, _, errs := runOnce(t, c.args...); status != int(c.exit) || !strings.Contains(errs, c.says) {
			t.Errorf("%q: %d\n%s", c.args, status, errs)
		}
	}
}

// What the guide shows, and what --example prints, is taken.
func TestConfigurationsOfTheTranslatorsGuideAreGood(t *testing.T) {
	guide, err := os.ReadFile("../../docs/translators.md")
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, block := range strings.Split(string(guide), "```toml\n")[1:] {
		text, _, _ := strings.Cut(block, "```")
		texts = append(texts, text)
	}
	for _, command := range []string{"mqtt-bridge", "modbus"} {
		_, example, _ := runOnce(t, "module", command, "--example")
		texts = append(texts, example)
	}
	if len(texts) < 5 {
		t.Fatalf("there are %d configurations", len(texts))
	}
	for _, text := range texts {
		file := filepath.Join(t.TempDir(), "config.toml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		command := "mqtt-bridge"
		if strings.Contains(text, "[[devices]]") {
			command = "modbus"
		}
		if status, out, errs := runOnce(t, "module", command, "--config", file, "--check"); status != 0 || !strings.Contains(out, "is good") {
			t.Errorf("%s\n%s%s", text, out, errs)
		}
	}
}
