package edge

import "testing"

func TestConnectionsLeaveDescriptorsToTheSpool(t *testing.T) {
	for _, tt := range []struct {
		descriptors uint64
		want        int
	}{{0, 20_000}, {256, 128}, {1023, 511}, {1024, 512}, {4096, 3584}, {1 << 20, 20_000}, {1<<64 - 1, 20_000}} {
		if got := connLimit(tt.descriptors); got != tt.want {
			t.Errorf("%d descriptors: %d connections, want %d", tt.descriptors, got, tt.want)
		}
	}
}
