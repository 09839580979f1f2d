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
	if before, live := heap(); before == 0 || live > before {
		t.Errorf("%d bytes were ever allocated, %d are live", before, live)
	}
}

func TestABusyProcessCollectsGarbageLessOften(t *testing.T) {
	const mib = 1 << 20
	for _, tt := range []struct {
		growth, live uint64 // MiB
		percent      int
	}{
		{0, 4, 60}, {63, 4, 60}, {64, 0, 400}, {1000, 4, 400}, {1000, 10, 320}, {1000, 11, 280}, {1000, 16, 200}, {1000, 50, 60}, {1000, 500, 60},
	} {
		if got := pace(tt.growth*mib, tt.live*mib); got != tt.percent {
			t.Errorf("%d MiB more, %d MiB live: %d %%, want %d", tt.growth, tt.live, got, tt.percent)
		}
	}
}
