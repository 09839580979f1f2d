package spool

import (
	"flag"
	"fmt"
	"runtime"
	"testing"
	"time"
)

var soak = flag.Int("soak", 200_000, "records that pass through the queue in the soak test")

// A queue that is used for long must cost what it cost at first: what was
// delivered must leave the disk, and must not be walked over again.
func TestEdgeHubW5_QueueKeptGoingStaysSmallAndFast(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	const tenths, standing = 10, 5000
	s := open(t, t.TempDir()+"/s", Options{WindowBytes: 64 << 10}) // so that most is read from disk
	q := s.Queue("$upstream")
	fill(t, s, "$upstream", standing)
	for tenth := range tenths {
		var reads, longest time.Duration
		start := time.Now()
		for sent := 0; sent < *soak/tenths; sent += 1000 {
			fill(t, s, "$upstream", 1000)
			for read := 0; read < 1000; {
				begin := time.Now()
				n := deliver(t, q, 1000-read)
				took := time.Since(begin)
				read += n
				reads += took
				longest = max(longest, took)
			}
		}
		disk := s.Stats().Disk
		t.Logf("%d0 %%: %v, reading %v, longest read %v, disk %.1f MiB, heap %.1f MiB",
			tenth+1, time.Since(start).Round(time.Millisecond), reads.Round(time.Millisecond),
			longest.Round(10*time.Microsecond), float64(disk)/(1<<20), heapMiB())
		if disk > 128<<20 {
			t.Fatalf("the database takes %d MiB for %d records", disk>>20, standing)
		}
	}
	if n := q.Stats().Records; n != standing {
		t.Fatalf("%d records left, want %d", n, standing)
	}
}

func heapMiB() float64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return float64(m.HeapInuse) / (1 << 20)
}

// deliver delivers up to max records of one lane.
func deliver(t testing.TB, q *Queue, max int) int {
	t.Helper()
	l := acquire(t, q)
	defer l.Release(0)
	recs := read(t, l, min(max, 50))
	l.Ack(recs...)
	return len(recs)
}

// With a large backlog in one lane, an urgent record is the next to leave, and the
// price of reading is that of a small one.
func TestB7_UrgentRecordOvertakesTheBacklog(t *testing.T) {
	n := *backlog
	if testing.Short() {
		n /= 10
	}
	s := open(t, t.TempDir()+"/s", Options{})
	for sent := 0; sent < n; sent += 1000 {
		var entries []Entry
		for range 1000 {
			entries = append(entries, entry("$upstream", "device", 5, "late"))
		}
		put(t, s, entries...)
	}
	l := acquire(t, s.Queue("$upstream"))
	if got := texts(read(t, l, 1)); got != "late" {
		t.Fatalf("read %q", got)
	}
	put(t, s, entry("$upstream", "device", 0, "urgent"), entry("$upstream", "other", 0, "urgent too"))
	if got := texts(read(t, l, 1)); got != "urgent" {
		t.Fatalf("the same lane: read %q", got)
	}
	if !l.Contended() {
		t.Error("the holder of the lane is not told that another is more urgent")
	}
	if other := acquire(t, s.Queue("$upstream")); texts(read(t, other, 1)) != "urgent too" {
		t.Fatal("the other lane was not next")
	}
}

// B6: opening takes its time by the lanes, not by the records.
func TestB6_OpenDoesNotWalkTheBacklog(t *testing.T) {
	n := *backlog
	if testing.Short() {
		n /= 10
	}
	dir := t.TempDir() + "/s"
	s := open(t, dir, Options{})
	fill(t, s, "$upstream", n)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	s = open(t, dir, Options{})
	took := time.Since(start)
	st := s.Queue("$upstream").Stats()
	t.Logf("opened %d records in %v", st.Records, took)
	if st.Records != uint64(n) || st.Lanes != 100 || took > time.Second {
		t.Fatalf("%d records in %d lanes after %v, want %d in 100 within 1s", st.Records, st.Lanes, took, n)
	}
	if got := fmt.Sprint(len(s.Queues())); got != "1" {
		t.Fatalf("%s queues, want 1", got)
	}
}

// B6 for shared data: nor does it walk that, and it knows what counts against the limit.
func TestB6_OpenDoesNotWalkSharedData(t *testing.T) {
	n := *backlog / 4
	if testing.Short() {
		n /= 10
	}
	dir := t.TempDir() + "/s"
	s := open(t, dir, Options{})
	fillShared(t, s, n)
	want := int64(n) * (payload + Overhead + 3*Overhead)
	if got := s.Stats().Bytes; got != want {
		t.Fatalf("%d bytes, want %d", got, want)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, Options{})
	blocks := s.db.Metrics().BlockCache.Misses
	st := s.Queue("$upstream").Stats()
	t.Logf("opened %d records with %d blocks", 3*n, blocks)
	if st.Records != uint64(n) || st.Bytes != int64(n)*(payload+Overhead) || s.Stats().Bytes != want || blocks > 300 {
		t.Fatalf("%+v, %d bytes with %d blocks, want %d records, %d bytes with 300 blocks at most", st, s.Stats().Bytes, blocks, n, want)
	}
}

// The same for messages that go to three queues: their data leaves the disk with the last
// of its records.
func TestEdgeHubW5_SharedDataKeptGoingStaysSmall(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	const tenths, standing = 10, 2000
	s := open(t, t.TempDir()+"/s", Options{WindowBytes: 64 << 10}) // so that most is read from disk
	queues := []string{"$upstream", "modules/filter/inputs/a", "modules/filter/inputs/b"}
	fillShared(t, s, standing)
	for tenth := range tenths {
		for sent := 0; sent < *soak/8/tenths; sent += 500 {
			fillShared(t, s, 500)
			for _, queue := range queues {
				for read := 0; read < 500; {
					read += deliver(t, s.Queue(queue), 500-read)
				}
			}
		}
		disk := s.Stats().Disk
		t.Logf("%d0 %%: disk %.1f MiB, heap %.1f MiB", tenth+1, float64(disk)/(1<<20), heapMiB())
		if disk > 64<<20 {
			t.Fatalf("the database takes %d MiB for %d messages", disk>>20, standing)
		}
	}
	for _, queue := range queues {
		if n := s.Queue(queue).Stats().Records; n != standing {
			t.Errorf("queue %s: %d records left, want %d", queue, n, standing)
		}
	}
	checkShared(t, s)
}
