package archtest

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// rooms is the list that dependencies point down, the table of ARCHITECTURE.md.
// Rooms on one line know nothing of each other. A package inside a room that is
// not listed itself belongs to the room; within a room anything goes that the
// compiler allows.
var rooms = [][]string{
	{"bench", "test"},
	{"cmd/sluice"},
	{"internal/cli"},
	{"internal/demo"},
	{"internal/dashboard"},
	{"internal/edge", "internal/hub/host"}, // each puts together what listens on a machine
	{"internal/module"},
	{"internal/translate"},
	{"internal/hub/amqpservice"}, // what applications say over AMQP, beside the head for devices
	{"internal/mqtthead", "internal/amqphead", "internal/webhead", "internal/scopeapi"},
	{"internal/metrics", "internal/operate"},
	{"internal/gateway"},
	{"internal/hub"},
	{"internal/mqttbridge", "internal/modbus"}, // protocol translators
	{"translator"},
	{"internal/moduleclient"},
	{"internal/upstream"},
	{"internal/provision"},
	{"internal/service", "internal/eventhub", "internal/bench"},
	{"internal/spool"},
	{"internal/route"},
	{"internal/hubevent"},
	{"internal/twin"},
	{"internal/presence", "internal/method"},
	{"internal/auth"},
	{"internal/limit"},
	{"internal/tlsx"},
	{"internal/workload"},
	{"internal/pki"},
	{"internal/topic", "internal/amqpmsg"},
	{"internal/iottest"},
	{"internal/sas"},
	{"internal/atomicfile", "internal/disk"},
	{"internal/leafwire", "internal/conffile"},
	{"internal/hub/code"}, // a vocabulary of errors, for the hub and for clients of one
	{"internal/spelling"},
	{"internal/archtest", "internal/transcript", "internal/dbtest", "internal/await", "internal/sockettest"},
	{"amqp10", "mqtt"},
	{"iot"},
}

// roomOf finds the room of a package and its place from the top, or -1.
func roomOf(pkg string) (room string, place int) {
	place = -1
	for i, line := range rooms {
		for _, r := range line {
			if within(pkg, r) && len(r) > len(room) {
				room, place = r, i
			}
		}
	}
	return room, place
}

// wayUp explains what is wrong with the import e, or returns "".
func wayUp(e edge) string {
	from, fromPlace := roomOf(e.from)
	to, toPlace := roomOf(e.to)
	switch {
	case fromPlace < 0 || toPlace < 0 || from == to || fromPlace < toPlace:
		return ""
	case fromPlace == toPlace:
		return fmt.Sprintf("%s: %s imports %s, but the two stand side by side and know nothing of each other.\n"+
			"What both need moves into a room below both.", e.where, e.from, e.to)
	}
	return fmt.Sprintf("%s: %s imports %s, which stands above it.\n"+
		"Dependencies point down the list of rooms in ARCHITECTURE.md. What both need moves into a room below both;\n"+
		"or the lower package says in an interface of its own what it needs, and the upper one hands it in.", e.where, e.from, e.to)
}

func TestImportsPointDownTheListOfRooms(t *testing.T) {
	for _, e := range imports(t, func(e edge) bool { return e.ours && !e.test }) {
		if wrong := wayUp(e); wrong != "" {
			t.Error(wrong)
		}
	}
}

func TestAnImportThatGoesUpIsFound(t *testing.T) {
	for _, c := range []struct {
		from, to string
		up       bool
	}{
		{"internal/cli", "internal/edge", false},
		{"internal/edge", "internal/cli", true},
		{"internal/edge/config", "internal/gateway/scope", false},
		{"internal/gateway/scope", "internal/edge/config", true},
		{"internal/hub/registry", "internal/hub/code", false},
		{"internal/hub/code", "internal/hub/registry", true},
		{"internal/service", "internal/hub/code", false},
		{"internal/service", "internal/hub/rest", true},
		{"internal/hub/rest", "internal/hub", false},
		{"internal/hub/host", "internal/mqtthead", false},
		{"internal/hub", "internal/mqtthead", true},
		{"internal/edge", "internal/hub/host", true},
		{"internal/mqtthead", "internal/amqphead", true},
		{"mqtt", "mqtt/internal/packet", false},
		{"mqtt", "iot", false}, // refused by a rule of its own
		{"iot", "internal/sas", true},
	} {
		if wrong := wayUp(edge{from: c.from, to: c.to, ours: true}); (wrong != "") != c.up {
			t.Errorf("%s → %s: %q", c.from, c.to, wrong)
		}
	}
}

func TestEveryPackageHasARoom(t *testing.T) {
	var homeless []string
	for _, s := range load(t) {
		if _, place := roomOf(s.pkg()); place < 0 && !slices.Contains(homeless, s.pkg()) {
			homeless = append(homeless, s.pkg())
		}
	}
	for _, pkg := range homeless {
		t.Errorf("%s stands in no room.\nGive it a line in the list of rooms, here and in ARCHITECTURE.md, with one sentence on what it is:\n"+
			"as low as it can stand, above all that it imports. If it needs two sentences, it is two packages.", pkg)
	}
}

// The table is what people read, so it must say what is enforced.
func TestArchitectureListsTheRoomsInThisOrder(t *testing.T) {
	last, above := -1, ""
	for _, room := range tableOfRooms(t) {
		found, place := roomOf(room)
		if found != room {
			t.Errorf("ARCHITECTURE.md has a room %s that this test does not know: list it here too", room)
			continue
		}
		if place < last {
			t.Errorf("ARCHITECTURE.md has %s below %s; this test has it above. One of them is wrong", room, above)
		}
		last, above = place, room
	}
}

// A room is in the table, or it stands inside one that is. What only tests or
// compares, this package too, is told of beside the table.
func TestEveryRoomIsInArchitecture(t *testing.T) {
	table := tableOfRooms(t)
	told := map[string]bool{"test": true, "bench": true, "internal/archtest": true}
	for _, s := range load(t) {
		room, place := roomOf(s.pkg())
		if place < 0 || told[room] {
			continue
		}
		told[room] = true
		if !slices.ContainsFunc(table, func(listed string) bool { return within(room, listed) }) {
			t.Errorf("%s is not in the table of rooms in ARCHITECTURE.md: people look there for what it is.\nGive it a row, in the place that it has in this test, and one sentence", room)
		}
	}
}

// tableOfRooms reads the first column of the table under "Rooms".
func tableOfRooms(t *testing.T) []string {
	t.Helper()
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(text), "\n## Rooms\n")
	if !ok {
		t.Fatal("ARCHITECTURE.md has no section Rooms")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var listed []string
	for _, row := range regexp.MustCompile("(?m)^\\| (`[^|]*`) \\|").FindAllStringSubmatch(section, -1) {
		for _, name := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(row[1], -1) {
			listed = append(listed, name[1])
		}
	}
	if len(listed) < 10 {
		t.Fatalf("found only the rooms %q in ARCHITECTURE.md: has the table changed its form?", listed)
	}
	return listed
}
