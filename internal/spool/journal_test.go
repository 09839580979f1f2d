package spool

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"sluice/internal/await"
)

// killed is the disk of a store that was killed, with ten records in the journal alone.
func killed(t *testing.T) *vfs.MemFS {
	t.Helper()
	fs := vfs.NewCrashableMem()
	s := open(t, "/s", Options{FS: fs, JournalBytes: 64 << 10, BallastBytes: -1})
	for i := range 10 {
		put(t, s, entry("q", "lane", 0, fmt.Sprint("record ", i)))
	}
	return fs.CrashClone(vfs.CrashCloneCfg{})
}

// journals are the files of the journal that have something in them.
func journals(t *testing.T, fs *vfs.MemFS, text string) (names []string) {
	t.Helper()
	all, err := fs.List("/s/journal")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range all {
		if strings.Contains(string(contents(t, fs, "/s/journal/"+name)), text) {
			names = append(names, "/s/journal/"+name)
		}
	}
	return names
}

func contents(t *testing.T, fs vfs.FS, name string) []byte {
	t.Helper()
	f, err := fs.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, info.Size())
	if n, _ := f.ReadAt(b, 0); n != len(b) {
		t.Fatalf("read %d of %d bytes", n, len(b))
	}
	return b
}

// A record that was acknowledged and cannot be read is not passed over: the store says
// that it is damaged, and leaves all as it is.
func TestD8_AJournalWithADamagedRecord(t *testing.T) {
	fs := killed(t)
	names := journals(t, fs, "record 4")
	if len(names) != 1 {
		t.Fatalf("the record is in %q", names)
	}
	b := contents(t, fs, names[0])
	f, err := fs.OpenReadWrite(names[0], vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	at := strings.Index(string(b), "record 4")
	if _, err := f.WriteAt([]byte{b[at] ^ 1}, int64(at)); err != nil {
		t.Fatal(err)
	}
	f.Close()
	var damaged *DamagedError
	if _, err := Open("/s", Options{FS: fs, BallastBytes: -1}); !errors.As(err, &damaged) {
		t.Fatalf("a damaged journal: %v", err)
	}
	if again := journals(t, fs, "record 9"); !slices.Equal(again, names) {
		t.Errorf("the journal was in %q, is in %q", names, again)
	}
}

// What a killed store leaves does not come together over many runs, however short.
func TestJournalOfManyShortRuns(t *testing.T) {
	fs := killed(t)
	var most uint64
	for run := range 20 {
		s := open(t, "/s", Options{FS: fs, JournalBytes: 64 << 10, BallastBytes: -1})
		put(t, s, entry("q", "lane", 0, fmt.Sprint("run ", run)))
		await.True(t, "the journal of the run before is given up", func() bool { return s.journal.Behind() == 0 })
		most = max(most, s.Stats().Disk)
		fs = fs.CrashClone(vfs.CrashCloneCfg{})
	}
	if most > 512<<10 {
		t.Errorf("the store has grown to %d bytes", most)
	}
	s := open(t, "/s", Options{FS: fs, BallastBytes: -1})
	if n := s.Queue("q").Stats().Records; n != 30 {
		t.Errorf("%d records, want 30", n)
	}
}

// A record that comes and goes within one epoch is never the database's.
func TestWhatIsDeliveredSoonIsNotWrittenTwice(t *testing.T) {
	s := open(t, "/s", Options{FS: vfs.NewMem(), JournalBytes: 32 << 10, BallastBytes: -1})
	data := strings.Repeat("x", 200)
	for range 2000 {
		put(t, s, append(sharing("a", "b"), entry("c", "", 0, data))...)
		for _, q := range []string{"a", "b", "c"} {
			l := acquire(t, s.Queue(q))
			l.Ack(read(t, l, 10)...)
			l.Release(0)
		}
		put(t, s)
	}
	settle(t, s)
	if m := s.db.Metrics().Total(); m.TableBytesFlushed > 300<<10 {
		t.Errorf("the database has written %d bytes", m.TableBytesFlushed)
	}
	wantCopies(t, s, 0)
	if st := s.Stats(); st.Bytes != 0 {
		t.Errorf("%+v in an empty store", st)
	}
}

// A block says what was done, whatever was said before.
func TestBlocksAreReadAsWritten(t *testing.T) {
	q := newQueue(&Store{}, "q")
	strands := []*strand{q.lane("a").strand(0), q.lane("b").strand(7)}
	var w blockWriter
	r := blockReader{strand: func(k strandKey) *strand { return q.lane(k.lane).strand(k.priority) }}
	both := []byte("both")
	sh := newShared(6, 2, 68)
	for segment := range uint64(3) {
		for range 3 {
			w.begin(nil, 1234, segment+1)
			w.add(&op{placed: []placed{
				{entry: &Entry{Data: []byte("one"), Expires: time.UnixMilli(99)}, strand: strands[0], seq: 3},
				{entry: &Entry{Data: nil}, strand: strands[1], seq: 4},
				{entry: &Entry{Data: both}, strand: strands[0], seq: 6, shared: sh},
				{entry: &Entry{Data: both}, strand: strands[1], seq: 7, shared: sh},
			}})
			w.add(&op{
				removals: []removal{
					{strand: strands[1], seq: 5, tally: weigh(70, false), counts: true},
					{strand: strands[0], seq: 4}, // of a purged lane
					{strand: strands[0], seq: 2, tally: weigh(68, true), shared: newShared(1, 2, 68), counts: true, letter: &DeadLetter{
						Seq: 2, Stored: time.UnixMilli(1), Died: time.UnixMilli(2), Reason: "refused", Data: both,
					}},
				},
				undead: []uint64{1, 300},
			})
			got, err := r.read(w.end())
			if err != nil {
				t.Fatal(err)
			}
			want := "1234; a 3 one 99; b 4  -; a 6 both -; b 7 both - shares; b 5 70 0; a 2 68 2 refused both a 1 - 2; [1 300]"
			if diff := cmp.Diff(want, got.String()); diff != "" {
				t.Error(diff)
			}
		}
	}
	if w.begin(nil, 1, 9); len(w.end()) != 0 {
		t.Error("a block without anything has a length")
	}
}

func (b *readBlock) String() string {
	ms := func(t time.Time) string {
		if t.IsZero() {
			return "-"
		}
		return fmt.Sprint(t.UnixMilli())
	}
	parts := []string{fmt.Sprint(b.stored)}
	for _, e := range b.entries {
		part := fmt.Sprintf("%s %d %s %s", e.strand.lane.name, e.seq, e.Data, ms(e.Expires))
		if e.shares {
			part += " shares"
		}
		parts = append(parts, part)
	}
	for _, r := range b.removals {
		part := fmt.Sprintf("%s %d %d %d", r.strand.lane.name, r.seq, r.size, r.place)
		if l := r.letter; l != nil {
			part += fmt.Sprintf(" %s %s %s %s %s %s", l.Reason, l.Data, l.Lane, ms(l.Stored), ms(l.Expires), ms(l.Died))
		}
		parts = append(parts, part)
	}
	return strings.Join(append(parts, fmt.Sprint(b.undead)), "; ")
}

// Whatever is in a block, it is read or refused.
func FuzzBlock(f *testing.F) {
	q := newQueue(&Store{}, "q")
	var w blockWriter
	w.begin(nil, 1, 1)
	w.add(&op{placed: []placed{{entry: &Entry{Data: []byte("data")}, strand: q.lane("a").strand(0), seq: 1}}})
	w.add(&op{removals: []removal{{strand: q.lane("b").strand(1), seq: 1, tally: weigh(70, false), counts: true}}, undead: []uint64{3}})
	f.Add(w.end())
	f.Add([]byte{blockVersion, 1, 0, 0, 0, 0, 0, 0, 0, 1, itemEntry, entrySame, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := blockReader{strand: func(k strandKey) *strand { return &strand{key: k, lane: &lane{name: k.lane}} }}
		if got, err := r.read(b); err == nil {
			_ = got.String()
		}
	})
}
