package journal

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

var three = []string{"first", "the second block", "and the third, which is a little longer"}

// A torn block is none, wherever it is torn, and what is before it stays.
func TestD7_TheLastBlockCutAtEveryByte(t *testing.T) {
	t.Parallel()
	const name = "000000000001.log"
	f := written(t, three)
	end := ends(three)
	if end[2] != len(f[name]) {
		t.Fatalf("%d bytes, want %d", len(f[name]), end[2])
	}
	stale := bytes.Repeat([]byte("former life "), 100)
	for n := end[1]; n < end[2]; n++ {
		for rest, b := range map[string][]byte{
			"nothing": f[name][:n],
			"zeros":   append(f[name][:n:n], make([]byte, 500)...),
			"stale":   append(f[name][:n:n], stale...),
		} {
			got, err := f.with(name, b).open(t, 0)
			if err != nil || !slices.Equal(got, three[:2]) {
				t.Fatalf("cut at %d, %s behind: %q, %v", n, rest, got, err)
			}
		}
	}
}

// A block of which any part did not reach the disk is none either.
func TestALastBlockWithAHoleIsNone(t *testing.T) {
	t.Parallel()
	const name = "000000000001.log"
	last := strings.Repeat("block ", 100)
	f := written(t, append(three[:3:3], last))
	from := ends(three)[2]
	for at := from + align; at+16 < len(f[name]); at += 16 {
		b := bytes.Clone(f[name])
		clear(b[at : at+16])
		got, err := f.with(name, b).open(t, 0)
		if err != nil || !slices.Equal(got, three) {
			t.Fatalf("hole at %d: %q, %v", at, got, err)
		}
	}
}

func TestD8_AFlippedBitIsFound(t *testing.T) {
	t.Parallel()
	const name = "000000000001.log"
	f := written(t, three)
	end := ends(three)
	for at := range f[name] {
		for bit := range 8 {
			b := bytes.Clone(f[name])
			b[at] ^= 1 << bit
			got, err := f.with(name, b).open(t, 0)
			switch {
			case at >= segmentHead-4 && at < segmentHead || padding(at, end):
				if err != nil || !slices.Equal(got, three) {
					t.Fatalf("byte %d is nothing: %q, %v", at, got, err)
				}
			case at < segmentHead:
				damaged(t, err, name, 0)
			case at < end[0]:
				damaged(t, err, name, segmentHead)
			case at < end[1]:
				damaged(t, err, name, int(aligned(int64(end[0]))))
			case err != nil || !slices.Equal(got, three[:2]):
				t.Fatalf("byte %d of the last block: %q, %v", at, got, err)
			}
		}
	}
}

// padding reports whether an offset is between two blocks.
func padding(at int, ends []int) bool {
	for _, end := range ends {
		if at >= end && int64(at) < aligned(int64(end)) {
			return true
		}
	}
	return false
}

// The last block of a segment that has successors may be torn: whoever wrote them began
// anew after it.
func TestATornBlockInAnEarlierSegment(t *testing.T) {
	t.Parallel()
	f := written(t, three, nil, []string{"later"})
	const name = "000000000001.log"
	got, err := f.with(name, f[name][:len(f[name])-1]).open(t, 0)
	do(t, err)
	same(t, got, three[0], three[1], "later")
}

func TestD10_AMissingSegmentIsDamage(t *testing.T) {
	t.Parallel()
	f := written(t, []string{"1"}, []string{"2"}, []string{"3"}, nil)
	for _, c := range []struct{ missing, applied, damage int }{
		{1, 0, 1}, {2, 0, 2}, {3, 0, 3}, {4, 0, 0},
		{1, 1, 0}, {2, 1, 2}, {2, 2, 0}, {3, 2, 3}, {1, 4, 0}, {4, 4, 0},
	} {
		name := segmentName(uint64(c.missing))
		g := f.with(name, nil)
		delete(g, name)
		got, err := g.open(t, uint64(c.applied))
		if c.damage != 0 {
			damaged(t, err, segmentName(uint64(c.damage)), 0)
			continue
		}
		want := []string{"1", "2", "3"}[min(c.applied, 3):]
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%d missing, %d applied: %q, %v", c.missing, c.applied, got, err)
		}
	}
}

// A segment that stands in another's place is not taken for it, nor one without its
// first bytes.
func TestD9_ASegmentThatIsNotItself(t *testing.T) {
	t.Parallel()
	f := written(t, []string{"1"}, []string{"2"})
	const second = "000000000002.log"
	for _, b := range [][]byte{f["000000000001.log"], nil, make([]byte, 100), f[second][:segmentHead-1]} {
		_, err := f.with(second, b).open(t, 0)
		damaged(t, err, second, 0)
	}
}

// What is damaged is left as it was found.
func TestDamageIsLeftAlone(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	j, _ := open(t, over(mem), 0)
	for i := range 5 {
		put(t, j, fmt.Sprint(i))
		do(t, j.Rotate())
	}
	shut(t, j)
	do(t, mem.Remove(dir+"/000000000004.log"))
	before := mem.String()
	for range 2 {
		_, err := Open(over(mem), dir, 2, Options{}, func([]byte) error { return nil })
		damaged(t, err, "000000000004.log", 0)
	}
	if after := mem.String(); after != before {
		t.Errorf("before:\n%safter:\n%s", before, after)
	}
}

// Blocks of a file's earlier life are not replayed, where they stand at the places of
// those of its present one, and nobody is told of damage.
func TestStaleBlocksAreNotReplayed(t *testing.T) {
	t.Parallel()
	fs := over(vfs.NewMem())
	j, _ := open(t, fs, 0)
	for range 100 {
		put(t, j, "of a former life")
	}
	do(t, j.Rotate())
	do(t, j.Release(j.Segment()-1))
	do(t, j.Rotate())
	if name := segmentName(j.Segment()); !isStale(t, fs, name) {
		t.Fatalf("%s is not a file used again", name)
	}
	put(t, j, "of the present one")
	shut(t, j)
	_, got := open(t, fs, j.Segment()-2)
	same(t, got, "of the present one")
}

func isStale(t testing.TB, fs vfs.FS, name string) bool {
	t.Helper()
	b, err := vfs.Root(fs).(*vfs.MemFS).UnsafeGetFileDataBuffer(dir + "/" + name)
	do(t, err)
	return bytes.Contains(b, []byte("of a former life"))
}

// A block is not taken for a later one when it is in the content of another, nor when it
// stands elsewhere than it was written.
func TestABlockElsewhereIsNone(t *testing.T) {
	t.Parallel()
	const name = "000000000001.log"
	f := written(t, three)
	end := ends(three)
	second := f[name][aligned(int64(end[0])):end[1]]
	torn := append(f[name][:end[2]-1:end[2]-1], make([]byte, 9)...)
	torn = torn[:len(torn)/align*align]
	got, err := f.with(name, append(torn, second...)).open(t, 0)
	if err != nil || !slices.Equal(got, three[:2]) {
		t.Errorf("got %q, %v", got, err)
	}
}

// Other files in the directory are nobody's business.
func TestOtherFilesAreIgnored(t *testing.T) {
	t.Parallel()
	f := written(t, three)
	for _, name := range []string{"1.log", "0000000000001.log", "spare-01.log", "spare-x.log", "spare-.log", "notes", "+00000000002.log"} {
		f[name] = []byte("mine")
	}
	got, err := f.open(t, 0)
	do(t, err)
	same(t, got, three...)
}
