package tlsx

import "testing"

func TestRecordsAreFollowedHoweverTheyAreCut(t *testing.T) {
	hello := append([]byte{22, 3, 1, 0, 5}, "\x17\x03\x03\x00\x01"...) // a body that looks like a header
	empty := []byte{22, 3, 1, 0, 0}
	data := []byte{applicationData, 3, 3, 0, 1, 'x'}
	stream := append(append(append([]byte{}, hello...), empty...), data...)
	begins := len(hello) + len(empty) + 5
	for cut := range len(stream) + 1 {
		var r record
		if got, want := r.data(stream[:cut]), cut >= begins; got != want {
			t.Errorf("cut at %d: %v before the cut, want %v", cut, got, want)
		} else if !got && !r.data(stream[cut:]) {
			t.Errorf("cut at %d: not seen after the cut", cut)
		}
	}
}

func FuzzRecord(f *testing.F) {
	f.Add([]byte("\x16\x03\x01\x00\x00\x17\x03\x03\x00\x01x"), 3)
	f.Fuzz(func(t *testing.T, stream []byte, at int) {
		if at < 0 || at > len(stream) {
			return
		}
		var whole, parts record
		if whole.data(stream) != (parts.data(stream[:at]) || parts.data(stream[at:])) {
			t.Errorf("cut at %d tells another story", at)
		}
	})
}
