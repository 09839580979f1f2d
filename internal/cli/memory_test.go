package cli

import "testing"

func TestMemoryIsGivenBackOnceAfterEachBusyTime(t *testing.T) {
	const mib = 1 << 20
	var q quiet
	for i, look := range []struct {
		mib   uint64 // allocated until then
		worth bool
	}{
		{20, false},  // starting up
		{20, true},   // started
		{20, false},  // nothing since
		{21, false},  // next to nothing
		{90, false},  // busy
		{170, false}, // busy
		{171, true},  // quiet again
		{171, false},
		{172, false}, {173, false}, {174, false}, {175, false}, {176, false}, {177, false}, {178, false},
		{179, true}, // little by little it came to much
		{180, false},
	} {
		if worth := q.look(look.mib * mib); worth != look.worth {
			t.Errorf("look %d, at %d MiB: %v", i, look.mib, worth)
		}
	}
	if before := allocated(); before == 0 || allocated() < before {
		t.Error("nothing was ever allocated")
	}
}
