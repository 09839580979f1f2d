package spool

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A record whose time passes while it is in flight counts once: as delivered, if
// its holder acknowledges it, and as expired, if it comes back.
func TestT5_ExpiryInFlight(t *testing.T) {
	clock := newTestClock()
	s := open(t, t.TempDir(), Options{Now: clock.Now})
	q := s.Queue("q")
	for _, data := range []string{"acked", "returned"} {
		e := entry("q", "lane", 0, data)
		e.Expires = clock.Now().Add(time.Minute)
		put(t, s, e)
	}
	lease := acquire(t, q)
	recs := read(t, lease, 2)
	if texts(recs) != "acked returned" {
		t.Fatalf("read %q", texts(recs))
	}
	clock.step(2 * time.Minute)
	lease.Ack(recs[0])
	lease.Release(0)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if again, err := q.Acquire(ctx); err == nil { // unless the sweep was faster
		if recs := read(t, again, 2); len(recs) > 0 {
			t.Fatalf("an expired record was handed out: %q", texts(recs))
		}
		again.Release(0)
	}
	if got := q.Stats().Counts; got.Delivered != 1 || got.Expired != 1 {
		t.Errorf("delivered %d and expired %d, want one each", got.Delivered, got.Expired)
	}
}

// Files that are new since the last cut are there after the next: their names are
// as durable as what is in them.
func TestD5_NewFilesKeepTheirNames(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := open(t, "/s", Options{FS: fs, BallastBytes: -1})
	big := strings.Repeat("x", 256<<10)
	for i := range 40 { // each few of them fill a file
		put(t, s, entry("q", "lane", 0, fmt.Sprint(i, " ", big)))
		after := fs.CrashClone(vfs.CrashCloneCfg{}) // nothing unsynced survives
		again, err := Open("/s", Options{FS: after, BallastBytes: -1})
		if err != nil {
			t.Fatalf("after %d records: %v", i+1, err)
		}
		if n := again.Queue("q").Stats().Records; n != uint64(i+1) {
			t.Errorf("after %d records were acknowledged there are %d", i+1, n)
		}
		if err := again.Close(); err != nil {
			t.Error(err)
		}
	}
}

// panicAt makes a helper process of this test, whose disk panics.
const panicAt = "SPOOL_PANIC_AT"

// A panic in the store ends the process, and what was acknowledged is there when it
// starts again.
func TestL6_APanicInTheStoreEndsTheProcess(t *testing.T) {
	if at := os.Getenv(panicAt); at != "" {
		appendUntilPanic(t, at)
		return
	}
	dir := t.TempDir()
	acked := 0
	for round := range 3 {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=TestL6_", "-test.v")
		cmd.Env = append(os.Environ(), panicAt+"="+dir+":"+strconv.Itoa(300+50*round))
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), "injected") {
			t.Fatalf("round %d ended with %v\n%s", round, err, out)
		}
		for lines := bufio.NewScanner(strings.NewReader(string(out))); lines.Scan(); {
			if lines.Text() == "acked" {
				acked++
			}
		}
		s, err := Open(dir, Options{})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if n := s.Queue("q").Stats().Records; n < uint64(acked) || n > uint64(acked+round+1) {
			t.Errorf("round %d: %d records, %d were acknowledged", round, n, acked)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if acked == 0 {
		t.Error("nothing was ever acknowledged")
	}
}

func appendUntilPanic(t *testing.T, at string) {
	dir, number, _ := strings.Cut(at, ":")
	n, err := strconv.Atoi(number)
	if err != nil {
		t.Fatal(err)
	}
	var left atomic.Int64
	left.Store(int64(n))
	disk := &spyFS{vfs.Default, func(op, name string) error {
		if left.Add(-1) == 0 {
			panic("injected: " + op + " " + name)
		}
		return nil
	}}
	s, err := Open(dir, Options{FS: disk})
	if err != nil {
		t.Fatal(err)
	}
	for {
		put(t, s, entry("q", "lane", 0, "x"))
		fmt.Println("acked")
	}
}

// diskThatFills has no space, twice, for what is written or made once n such
// operations have passed since it was armed. A sync that fails is another case.
func diskThatFills(n int64) (disk *spyFS, below *vfs.MemFS, arm, disarm func()) {
	var seen atomic.Int64
	seen.Store(-1 << 40)
	below = vfs.NewCrashableMem()
	disk = &spyFS{below, func(op, _ string) error {
		if op != "write" && op != "create" {
			return nil
		}
		if i := seen.Add(1); i > n && i <= n+2 {
			return syscall.ENOSPC
		}
		return nil
	}}
	return disk, below, func() { seen.Store(0) }, func() { seen.Store(-1 << 40) }
}

// tryAll appends records one by one, and returns those that were acknowledged.
func tryAll(s *Store, n int) (acked []string) {
	for i := range n {
		data := fmt.Sprint(i)
		if try(s, entry("q", "lane", 0, data)) == nil {
			acked = append(acked, data)
		}
	}
	return acked
}

// has checks that a store on fs has at least what was acknowledged, in order.
func has(t *testing.T, fs vfs.FS, acked []string) {
	t.Helper()
	s, err := Open("/s", Options{FS: fs, BallastBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // was only read
	if len(acked) == 0 {
		return
	}
	lease := acquire(t, s.Queue("q"))
	defer lease.Release(0)
	at := 0
	for recs := read(t, lease, 100); len(recs) > 0; recs = read(t, lease, 100) {
		for _, r := range recs {
			if at < len(acked) && string(r.Data) == acked[at] {
				at++
			}
		}
	}
	if at < len(acked) {
		t.Errorf("%d of %d acknowledged records are there: %q is not", at, len(acked), acked[at])
	}
}

// The disk fills up for a moment at one write after the other.
func TestF2_ADiskThatFillsUpAtAnyWrite(t *testing.T) {
	for n := range int64(24) {
		disk, below, arm, disarm := diskThatFills(n)
		s, err := Open("/s", Options{FS: disk, BallastBytes: -1})
		if err != nil {
			t.Fatal(err)
		}
		arm()
		acked := tryAll(s, 20)
		disarm()
		if err := s.Err(); err != nil {
			t.Errorf("a full disk ended the store: %v", err)
		}
		after := below.CrashClone(vfs.CrashCloneCfg{}) // what was acknowledged is synced
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		has(t, after, acked)
		if t.Failed() {
			t.Fatalf("the disk was full at write %d", n)
		}
	}
}

// A file system that becomes read-only for a while: nothing is acknowledged
// meanwhile, what was is there, and it goes on by itself.
func TestF7_AFileSystemThatBecomesReadOnly(t *testing.T) {
	var readOnly atomic.Bool
	disk := &spyFS{vfs.NewMem(), func(string, string) error {
		if readOnly.Load() {
			return syscall.EROFS
		}
		return nil
	}}
	s, err := Open("/s", Options{FS: disk, BallastBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	acked := tryAll(s, 10)
	readOnly.Store(true)
	late := make(chan error, 1)
	s.Append([]Entry{entry("q", "lane", 0, "10")}, func(err error) { late <- err })
	select {
	case err := <-late:
		if err == nil {
			t.Error("a record was acknowledged that cannot have been written")
		}
		late <- err
	case <-time.After(500 * time.Millisecond):
	}
	if got := texts(read(t, acquire(t, s.Queue("q")), 20)); got != strings.Join(acked, " ") {
		t.Errorf("while it was read-only: read %q", got)
	}
	readOnly.Store(false)
	select {
	case err := <-late:
		if err == nil {
			acked = append(acked, "10")
		}
	case <-time.After(patience):
		t.Fatal("it does not go on")
	}
	put(t, s, entry("q", "lane", 0, "11"))
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	has(t, disk.FS, append(acked, "11"))
}
