package archtest

import (
	"fmt"
	"strings"
	"testing"
)

// testRooms are packages for tests whose names do not say so: those of the others end
// in "test".
var testRooms = []string{"internal/transcript", "internal/await", "test"}

func forTests(pkg string) bool {
	for _, room := range testRooms {
		if within(pkg, room) {
			return true
		}
	}
	return strings.HasSuffix(pkg, "test")
}

func shipsTests(e edge) string {
	if !e.ours || !forTests(e.to) || forTests(e.from) {
		return ""
	}
	return fmt.Sprintf("%s: %s imports %s, which is for tests:\n"+
		"what it has would be shipped, and package testing with it. Move what both need out of it.", e.where, e.from, e.to)
}

func TestWhatIsForTestsIsImportedByTestsAlone(t *testing.T) { check(t, shipsTests) }

func TestAnImportOfWhatIsForTestsIsFound(t *testing.T) {
	for _, c := range []struct {
		from, to string
		wrong    bool
	}{
		{"internal/mqtthead", "internal/iottest", true},
		{"internal/cli", "internal/transcript", true},
		{"internal/hub", "internal/hub/storage/storagetest", true},
		{"cmd/sluice", "test/robust/ledger", true},
		{"internal/iottest", "internal/transcript", false},
		{"internal/mqtthead", "internal/topic", false},
	} {
		if wrong := shipsTests(edge{from: c.from, to: c.to, ours: true}); (wrong != "") != c.wrong {
			t.Errorf("%s → %s: %q", c.from, c.to, wrong)
		}
	}
}
