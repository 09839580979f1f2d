package spool

import (
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// What waits in modules' inputs, and what they share, is written once: merging it again
// and again would take more of the processor than storing it.
func TestABacklogOfInputsIsNotMerged(t *testing.T) {
	s := open(t, "/s", Options{FS: vfs.NewMem(), BallastBytes: -1, WindowBytes: 1 << 10})
	for i := range 60 {
		var batch []Entry
		for range 64 {
			data := []byte(strings.Repeat("data", 10+i))
			batch = append(batch, Entry{Queue: "a", Data: data}, Entry{Queue: "b", Data: data})
		}
		put(t, s, batch...)
		if err := s.db.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	total := s.db.Metrics().Total()
	if total.TableBytesCompacted > total.TableBytesFlushed/10 {
		t.Errorf("%d bytes were written, and %d again", total.TableBytesFlushed, total.TableBytesCompacted)
	}
}
