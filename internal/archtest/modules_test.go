package archtest

import (
	"fmt"
	"strings"
	"testing"
)

// modules are the dependencies, and who may use each. A new one needs a line
// here, and its reason in the message of the commit that adds it.
var modules = []struct {
	path  string
	users []string // rooms; none means tests alone
}{
	{"github.com/cockroachdb/pebble/v2", []string{"internal/disk", "internal/spool", "internal/hub", "internal/gateway", "internal/edge", "internal/translate"}},
	{"github.com/eclipse/paho.mqtt.golang", []string{"internal/upstream", "internal/mqttbridge", "internal/demo"}},
	{"github.com/coder/websocket", []string{"internal/tlsx", "internal/webhead", "internal/upstream", "internal/edge"}},
	{"github.com/spf13/cobra", []string{"internal/cli"}},
	{"github.com/spf13/pflag", []string{"internal/cli"}},
	{"github.com/pelletier/go-toml/v2", []string{"internal/edge", "internal/module", "internal/conffile", "internal/cli"}},
	{"github.com/prometheus/client_golang", []string{"internal/metrics", "bench"}},
	{"github.com/moby/moby", []string{"internal/module"}},
	{"github.com/jackc/pgx/v5", []string{"internal/hub"}},
	{"golang.org/x/sys", []string{"internal", "bench"}},
	{"golang.org/x/term", []string{"internal/cli"}},
	{"github.com/Azure/go-amqp", nil},
	{"github.com/google/go-cmp", nil},
	{"github.com/rogpeppe/go-internal", nil},
	{"go.uber.org/goleak", nil},
	{"pgregory.net/rapid", nil},
}

func uninvited(e edge) string {
	if e.ours || !foreign(e.to) {
		return ""
	}
	for _, m := range modules {
		if !within(e.to, m.path) {
			continue
		}
		if e.test || forTests(e.from) {
			return ""
		}
		for _, user := range m.users {
			if within(e.from, user) {
				return ""
			}
		}
		return fmt.Sprintf("%s: %s imports %s, which is for %s.\n"+
			"One room owns each dependency, so that it can be replaced there. Use what that room offers, or say in the commit why another needs it.",
			e.where, e.from, e.to, users(m.users))
	}
	return fmt.Sprintf("%s: %s imports %s, a module that nobody has decided on.\n"+
		"The standard library or what is here may do. If not, add the module to the list of dependencies and give its reason in the commit message.",
		e.where, e.from, e.to)
}

func users(rooms []string) string {
	if len(rooms) == 0 {
		return "tests alone"
	}
	return strings.Join(rooms, ", ")
}

func TestModulesAreUsedWhereTheyWereDecidedFor(t *testing.T) {
	for _, e := range imports(t, func(edge) bool { return true }) {
		if wrong := uninvited(e); wrong != "" {
			t.Error(wrong)
		}
	}
}

func TestAModuleOutOfPlaceIsFound(t *testing.T) {
	for _, c := range []struct {
		from, to string
		test     bool
		wrong    bool
	}{
		{"internal/spool", "github.com/cockroachdb/pebble/v2/vfs", false, false},
		{"internal/mqtthead", "github.com/cockroachdb/pebble/v2", false, true},
		{"internal/mqtthead", "github.com/cockroachdb/pebble/v2", true, false},
		{"internal/twin", "pgregory.net/rapid", false, true},
		{"internal/twin", "pgregory.net/rapid", true, false},
		{"internal/twin", "github.com/stretchr/testify/assert", true, true},
		{"internal/twin", "net/http", false, false},
	} {
		if wrong := uninvited(edge{from: c.from, to: c.to, test: c.test}); (wrong != "") != c.wrong {
			t.Errorf("%s → %s: %q", c.from, c.to, wrong)
		}
	}
}
