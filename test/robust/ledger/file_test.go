package ledger

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func readAll(t testing.TB, path string) (events []Event, torn int) {
	t.Helper()
	torn, err := Read(path, func(_ Place, e Event) error {
		events = append(events, e)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return events, torn
}

func open(t testing.TB, path string) *Writer {
	t.Helper()
	w, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestRecordedEventsAreReadBack(t *testing.T) {
	at := time.Date(2026, 11, 21, 8, 0, 0, 125000, time.UTC)
	want := []Event{
		{Time: at, Kind: Sent, Sender: "dev1", Seq: 1, Hash: 7, Endpoints: []string{"$upstream", "ai/in1"}, Expires: at.Add(time.Hour)},
		{Time: at, Kind: Acknowledged, Sender: "dev1", Seq: 1},
		{Time: at, Kind: Received, Sender: "dev1", Seq: 1, Hash: 1<<64 - 1, Endpoints: []string{"ai/in1"}, As: "dev1"},
		{Time: at, Kind: Fault, Sender: "kill:gateway"},
	}
	path := filepath.Join(t.TempDir(), "a.ledger")
	w := open(t, path)
	if err := w.Record(want...); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	got, torn := readAll(t, path)
	if diff := cmp.Diff(want, got[1:]); diff != "" || torn != 0 {
		t.Errorf("torn %d, events (-want +got):\n%s", torn, diff)
	}
	if got[0].Kind != Opened {
		t.Errorf("the file begins with %v, want an opened event", got[0])
	}
}

// A crash may leave any part of what was being written. Whatever is left must
// be readable, and readable still after the writer came back, twice.
func TestTornTailIsReadable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.ledger")
	w := open(t, path)
	for seq := range uint64(3) {
		if err := w.Record(Event{Kind: Sent, Sender: "d", Seq: seq, Endpoints: []string{"hub"}}); err != nil {
			t.Fatal(err)
		}
	}
	_ = w.Close() // synced
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range len(whole) {
		if err := os.WriteFile(path, whole[:cut], 0o644); err != nil {
			t.Fatal(err)
		}
		before, torn := readAll(t, path)
		if lines := bytes.Count(whole[:cut], []byte("\n")); len(before) != lines {
			t.Fatalf("cut at %d: %d events, want %d", cut, len(before), lines)
		}
		if inside := cut > 0 && whole[cut-1] != '\n'; (torn == 1) != inside {
			t.Fatalf("cut at %d: %d torn lines", cut, torn)
		}
		w := open(t, path)
		if err := w.Record(Event{Kind: Acknowledged, Sender: "d"}); err != nil {
			t.Fatal(err)
		}
		_ = w.Close() // synced
		after, _ := readAll(t, path)
		if got := after[len(after)-1].Kind; got != Acknowledged || len(after) < len(before)+2 {
			t.Fatalf("cut at %d: %d events became %d, the last %s", cut, len(before), len(after), got)
		}
	}
}

func TestWriterTornTwiceInARowIsReadable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.ledger")
	if err := os.WriteFile(path, []byte("2026-11-21T08:00:00.0\n2026-11-2"), 0o644); err != nil {
		t.Fatal(err)
	}
	w := open(t, path)
	_ = w.Close() // synced
	if events, torn := readAll(t, path); torn != 2 || len(events) != 1 {
		t.Errorf("%d torn lines and %d events, want 2 and 1", torn, len(events))
	}
}

func TestDamageInTheMiddleIsAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.ledger")
	w := open(t, path)
	if err := w.Record(Event{Kind: Sent, Sender: "d", Seq: 1}, Event{Kind: Sent, Sender: "d", Seq: 2}); err != nil {
		t.Fatal(err)
	}
	_ = w.Close() // synced
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	damaged := bytes.Replace(whole, []byte("sent d 1"), []byte("sent d 3"), 1)
	if err := os.WriteFile(path, damaged, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Check([]string{path}, Rules{}); err == nil || !strings.Contains(err.Error(), "a.ledger:3") {
		t.Errorf("error is %v, want one that names a.ledger:3", err)
	}
}

func TestNamesThatWouldBreakTheLineAreRefused(t *testing.T) {
	w := open(t, filepath.Join(t.TempDir(), "a.ledger"))
	defer w.Close() // nothing to lose
	for _, e := range []Event{
		{Kind: Sent, Sender: "a b"}, {Kind: Sent, Sender: "a\nb"}, {Kind: Sent, Sender: "-"},
		{Kind: Sent, Sender: "a", Endpoints: []string{"x,y"}}, {Kind: Received, Sender: "a", As: "b c"},
	} {
		if err := w.Record(e); err == nil {
			t.Errorf("%+v was recorded", e)
		}
	}
}

// Many senders share fsyncs; each must still find its own events, in its order.
func TestWritersTogether(t *testing.T) {
	const senders, each = 8, 50
	path := filepath.Join(t.TempDir(), "a.ledger")
	w := open(t, path)
	var done sync.WaitGroup
	for s := range senders {
		done.Go(func() {
			for seq := range uint64(each) {
				if err := w.Record(Event{Kind: Sent, Sender: fmt.Sprint("d", s), Seq: seq}); err != nil {
					t.Error(err)
				}
				if seq%10 == 0 && !onDisk(t, path, fmt.Sprint("d", s), seq) {
					t.Errorf("d%d #%d is not in the file after Record returned", s, seq)
				}
			}
		})
	}
	done.Wait()
	_ = w.Close() // synced
	next := map[string]uint64{}
	events, _ := readAll(t, path)
	for _, e := range events[1:] {
		if e.Seq != next[e.Sender] {
			t.Fatalf("%s #%d stands where #%d should", e.Sender, e.Seq, next[e.Sender])
		}
		next[e.Sender]++
	}
	if len(events) != 1+senders*each {
		t.Errorf("%d events, want %d", len(events), 1+senders*each)
	}
}

func onDisk(t *testing.T, path, sender string, seq uint64) bool {
	found := false
	if _, err := Read(path, func(_ Place, e Event) error {
		found = found || e.Sender == sender && e.Seq == seq
		return nil
	}); err != nil {
		t.Error(err)
	}
	return found
}

func TestFailedWriteIsFinal(t *testing.T) {
	w := open(t, filepath.Join(t.TempDir(), "a.ledger"))
	_ = w.file.Close() // stands for a disk that fails
	first := w.Record(Event{Kind: Sent, Sender: "d"})
	if second := w.Record(Event{Kind: Sent, Sender: "d"}); first == nil || second != first {
		t.Errorf("errors are %v, then %v; want the first twice", first, second)
	}
}

func TestBodySaysWhoseItIs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sender := rapid.StringMatching(`[a-z"\\]{1,8}`).Draw(t, "sender")
		seq, size := rapid.Uint64().Draw(t, "seq"), rapid.IntRange(0, 500).Draw(t, "size")
		body := Body(sender, seq, size)
		if gotSender, gotSeq, ok := ReadBody(body); gotSender != sender || gotSeq != seq || !ok {
			t.Fatalf("ReadBody(%s) = %q, %d, %t", body, gotSender, gotSeq, ok)
		}
		if least := len(Body(sender, seq, 0)); len(body) != max(least, size) {
			t.Fatalf("%d bytes, want %d", len(body), max(least, size))
		}
	})
	for _, body := range []string{"", "{}", `{"sender":"a"`, `{"sender":"a","seq":x,"pad":"`, `{"sender":a,"seq":1,"pad":"`} {
		if _, _, ok := ReadBody([]byte(body)); ok {
			t.Errorf("ReadBody(%q) is ok", body)
		}
	}
}

func FuzzLine(f *testing.F) {
	line, _ := appendLine(nil, Event{Time: time.Unix(1, 0), Kind: Sent, Sender: "d", Seq: 1, Endpoints: []string{"hub"}})
	f.Add(string(line))
	f.Add(" 00000000")
	f.Fuzz(func(t *testing.T, line string) {
		e, err := parseLine(strings.TrimSuffix(line, "\n"))
		if err != nil {
			return
		}
		again, err := appendLine(nil, e)
		if err != nil {
			return // a name that no writer would have taken
		}
		if back, err := parseLine(strings.TrimSuffix(string(again), "\n")); err != nil || !cmp.Equal(e, back) {
			t.Errorf("%q is read as %+v, written as %q and read as %+v, %v", line, e, again, back, err)
		}
	})
}

func BenchmarkRecordAlone(b *testing.B) {
	w := open(b, filepath.Join(b.TempDir(), "a.ledger"))
	defer w.Close() // synced
	b.ReportAllocs()
	for b.Loop() {
		if err := w.Record(Event{Kind: Sent, Sender: "dev1", Seq: 1, Endpoints: []string{"hub"}}); err != nil {
			b.Fatal(err)
		}
	}
}
