package archtest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// alone are the packages that others may take out of this repository or read by
// themselves: they import the standard library and what is inside them.
var alone = map[string]string{
	"iot":    "the vocabulary is read in ten minutes, and everything may import it because it imports nothing",
	"mqtt":   "the engine knows nothing of IoT: others use it as a library, and conformance suites run against it alone",
	"amqp10": "the engine knows nothing of IoT: others use it as a library, and conformance suites run against it alone",
}

func leansOn(e edge) string {
	for room, why := range alone {
		if within(e.from, room) && !within(e.to, room) && (e.ours || foreign(e.to)) {
			return fmt.Sprintf("%s: %s imports %s, but %s imports the standard library alone:\n%s.\n"+
				"Let the caller pass in what is needed, as a value or a small interface.", e.where, e.from, e.to, room, why)
		}
	}
	return ""
}

// foreign reports whether an import path is of a module: those of the standard
// library have no dot in their first element.
func foreign(pkg string) bool {
	first, _, _ := strings.Cut(pkg, "/")
	return strings.Contains(first, ".")
}

// pure are the packages that compute and do no input or output.
var pure = []string{"iot", "internal/twin", "internal/route", "internal/topic", "internal/amqpmsg", "internal/hub/query", "internal/hub/code", "internal/spelling"}

var outside = []string{"net", "os", "io/fs", "io/ioutil", "syscall", "database/sql"}

func reachesOut(e edge) string {
	for _, room := range pure {
		if !within(e.from, room) || e.ours {
			continue
		}
		for _, out := range outside {
			if e.to == out || strings.HasPrefix(e.to, out+"/") && e.to != "net/url" && e.to != "net/netip" {
				return fmt.Sprintf("%s: %s imports %s, but it does no input or output:\n"+
					"it is tested and fuzzed as a function of its arguments. Read or write in the caller.", e.where, e.from, e.to)
			}
		}
	}
	return ""
}

// strangers are rooms that must not know others, though these stand below them.
var strangers = []struct {
	from, to []string
	why      string
}{
	{
		[]string{"internal/mqtthead", "internal/amqphead", "internal/webhead"},
		[]string{"internal/gateway", "internal/hub", "internal/upstream", "internal/spool", "internal/route", "internal/service"},
		"a protocol head is written once, against iot.Hub, and cannot tell whether it serves a hub or a gateway.\n" +
			"If it needs to know, iot.Hub or iot.Session is what to change.",
	},
	{
		[]string{"internal/gateway"},
		[]string{"internal/hub", "internal/upstream", "internal/service"},
		"a gateway takes its parent as an iot.Parent: a hub in memory in a test, a remote one in production,\n" +
			"another gateway when nested. Whoever makes the gateway hands it in.",
	},
	{
		[]string{"internal/hub"},
		[]string{"internal/upstream", "internal/spool", "internal/route"},
		"the hub is the end of the line: it keeps events in its own log and forwards to nobody.",
	},
}

func strange(e edge) string {
	from, _ := roomOf(e.from)
	to, _ := roomOf(e.to)
	for _, rule := range strangers {
		if e.ours && slices.Contains(rule.from, from) && slices.Contains(rule.to, to) {
			return fmt.Sprintf("%s: %s imports %s, but %s", e.where, e.from, e.to, rule.why)
		}
	}
	return ""
}

// keepers keep what a hub stores, each in its own way. All others take the interfaces
// of internal/hub/storage.
var keepers = []string{
	"internal/hub/registry", "internal/hub/twins", "internal/hub/commands", "internal/hub/eventlog", "internal/hub/documents",
}

const pebble = "github.com/cockroachdb/pebble"

func reachesPastStorage(e edge) string {
	inKeeper := func(pkg string) bool {
		return slices.ContainsFunc(keepers, func(room string) bool { return within(pkg, room) })
	}
	database := within(e.to, pebble) && within(e.from, "internal/hub")
	if forTests(e.from) || inKeeper(e.from) || within(e.from, "internal/hub/host") || !database && !inKeeper(e.to) {
		return ""
	}
	return fmt.Sprintf("%s: %s imports %s, but only the hub's host knows how a hub keeps things:\n"+
		"all others take an interface of internal/hub/storage, so that another way of keeping them needs no change here.", e.where, e.from, e.to)
}

func TestRoomsThatStandAloneDo(t *testing.T) { check(t, leansOn) }
func TestPurePackagesDoNoIO(t *testing.T)    { check(t, reachesOut) }
func TestRoomsKnowOnlyWhomTheyMay(t *testing.T) {
	check(t, strange)
}

func TestOnlyTheHostKnowsWhatKeepsAHub(t *testing.T) { check(t, reachesPastStorage) }

func check(t *testing.T, wrong func(edge) string) {
	t.Helper()
	for _, e := range imports(t, func(e edge) bool { return !e.test }) {
		if message := wrong(e); message != "" {
			t.Error(message)
		}
	}
}

func TestImportsThatBreakARuleAreFound(t *testing.T) {
	for _, c := range []struct {
		rule     func(edge) string
		from, to string
		ours     bool
		broken   bool
	}{
		{leansOn, "mqtt", "iot", true, true},
		{leansOn, "mqtt/internal/packet", "github.com/x/y", false, true},
		{leansOn, "mqtt/mqttmem", "mqtt", true, false},
		{leansOn, "iot", "encoding/json", false, false},
		{reachesOut, "internal/twin", "os", false, true},
		{reachesOut, "iot", "net/http", false, true},
		{reachesOut, "internal/topic", "net/url", false, false},
		{strange, "internal/mqtthead", "internal/gateway", true, true},
		{strange, "internal/mqtthead", "internal/hub/code", true, false},
		{strange, "internal/gateway/scope", "internal/hub/registry", true, true},
		{strange, "internal/gateway", "internal/spool", true, false},
		{reachesPastStorage, "internal/hub", "internal/hub/registry", true, true},
		{reachesPastStorage, "internal/demo", "internal/hub/eventlog", true, true},
		{reachesPastStorage, "internal/hub/jobs", "internal/hub/documents", true, true},
		{reachesPastStorage, "internal/hub/jobs", pebble + "/v2", false, true},
		{reachesPastStorage, "internal/hub/commands", "internal/hub/documents", true, false},
		{reachesPastStorage, "internal/hub/twins", pebble + "/v2", false, false},
		{reachesPastStorage, "internal/spool", pebble + "/v2", false, false},
		{reachesPastStorage, "internal/hub/host", "internal/hub/registry", true, false},
		{reachesPastStorage, "internal/hub/rest", "internal/hub/storage", true, false},
		{reachesPastStorage, "internal/hub/hubtest", "internal/hub/registry", true, false},
	} {
		if message := c.rule(edge{from: c.from, to: c.to, ours: c.ours}); (message != "") != c.broken {
			t.Errorf("%s → %s: %q", c.from, c.to, message)
		}
	}
}
