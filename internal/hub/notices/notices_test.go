package notices

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"sluice/internal/dbtest"
	"sluice/internal/hub/documents"
	"sluice/internal/hub/storage"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

type note struct {
	Text string
	At   time.Time
}

func (n note) Time() time.Time { return n.At }

// A fixture is a queue with a database of its own.
type fixture struct {
	*Queue[note]
	t  *testing.T
	db *pebble.DB
}

func open(t *testing.T, fs vfs.FS) *fixture {
	t.Helper()
	db := dbtest.Open(t, fs)
	q, err := Open[note](documents.New(db), Options{Kind: 'n'})
	if err != nil {
		t.Fatal(err)
	}
	return &fixture{q, t, db}
}

func (f *fixture) put(texts ...string) {
	f.t.Helper()
	var b storage.Batch
	var notes []note
	for _, text := range texts {
		notes = append(notes, note{text, time.Now()})
	}
	entries, err := f.Add(&b, notes...)
	if err == nil {
		err = documents.New(f.db).Write(b)
	}
	if err != nil {
		f.t.Fatal(err)
	}
	f.Show(entries)
}

// take expects these notices.
func (f *fixture) take(max int, want ...string) *storage.Lease[note] {
	f.t.Helper()
	lease, _ := f.Take(max)
	var got []string
	if lease != nil {
		for _, n := range lease.Records {
			got = append(got, n.Text)
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		f.t.Errorf("took %q, want %q", got, want)
	}
	return lease
}

func TestNoticesComeInOrderUntilTheyAreTaken(t *testing.T) {
	fs := vfs.NewCrashableMem()
	f := open(t, fs)
	_, more := f.Take(1)
	f.put("a", "b", "c")
	<-more
	first := f.take(1, "a")
	second := f.take(1, "b")
	second.Settle(false)
	f.take(1, "b").Settle(true)
	first.Settle(false)
	if lease := f.take(5, "a", "c"); lease.Count != 1 {
		t.Errorf("taken %d times before", lease.Count)
	}
	second.Settle(false) // again: of no effect
	f.take(5)

	again := open(t, fs.CrashClone(vfs.CrashCloneCfg{}))
	if lease, _ := again.Take(5); lease == nil || lease.Records[0].Text != "a" {
		t.Error("what was taken, and not settled, is gone after a crash")
	}
	again.put("d")
}

func TestANoticeComesAgainWhenItsLockEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := open(t, vfs.NewMem())
		f.put("a")
		late := f.take(1, "a")
		_, more := f.Take(1)
		time.Sleep(Lock - time.Second)
		f.Sweep()
		f.take(1)
		time.Sleep(time.Second)
		f.Sweep()
		<-more
		next := f.take(1, "a")
		late.Settle(true) // too late: it is another's
		next.Settle(false)
		f.take(1, "a")
	})
}

func TestANoticeIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := open(t, vfs.NewMem())
		f.put("a")
		for range MaxDeliveries {
			f.take(1, "a").Settle(false)
		}
		f.take(1)
		f.put("b")
		time.Sleep(TTL + time.Second)
		f.put("c")
		f.take(5, "c")
	})
}

func TestOldNoticesMakePlace(t *testing.T) {
	f := open(t, vfs.NewMem())
	texts := make([]string, maxWaiting+1)
	f.put(texts...)
	f.put("last")
	lease, _ := f.Take(2 * maxWaiting)
	if n := len(lease.Records); n != maxWaiting || lease.Records[n-1].Text != "last" {
		t.Errorf("%d notices wait", n)
	}
}
