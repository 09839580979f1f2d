package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// FuzzSegment reads files with anything in them. What is replayed is, written anew, what
// the file begins with; and it is said to be damaged only if a good block is behind.
func FuzzSegment(f *testing.F) {
	good := written(f, three)["000000000001.log"]
	end := ends(three)
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add(append(bytes.Clone(good), make([]byte, 100)...))
	bad := bytes.Clone(good)
	bad[end[0]+align+blockHead] ^= 1
	f.Add(bad)
	f.Add(append(bytes.Clone(good), good[segmentHead:]...))
	f.Add(sealed(bad))
	f.Add(sealed(good))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, b := range [][]byte{b, sealed(b)} {
			checkSegment(t, b)
		}
	})
}

// sealed is b with the sums right wherever what is there is like a head, or like blocks
// of any length one after the other.
func sealed(b []byte) []byte {
	b = bytes.Clone(b)
	if len(b) < segmentHead {
		return b
	}
	h := head{number: 1, written: int64(len(b))}
	copy(h.salt[:], b[16:])
	copy(b, h.encode())
	for at := int64(segmentHead); int64(len(b))-at >= blockHead; {
		n, ok := contentLength(b[at:at+blockHead], h.salt)
		if !ok || n > int64(len(b))-at-blockHead {
			break
		}
		block := b[at : at+blockHead+n]
		binary.BigEndian.PutUint32(block[8:], checksum(block, 1, at))
		at = aligned(at + blockHead + n)
	}
	return b
}

func checkSegment(t *testing.T, b []byte) {
	got, err := files{"000000000001.log": b}.open(t, 0)
	var damage *DamagedError
	if err != nil && !errors.As(err, &damage) {
		t.Fatal(err)
	}
	h, ok := head{}, len(b) >= segmentHead
	if ok {
		h, ok = decodeHead(b)
	}
	if !ok || h.number != 1 {
		if damage == nil || len(got) > 0 {
			t.Fatalf("replayed %q of a file that is no segment, %v", got, err)
		}
		return
	}
	end := int64(segmentHead)
	for _, content := range got {
		at := aligned(end)
		want := seal(block(content), h.salt, 1, at)
		end = at + int64(len(want))
		if !bytes.Equal(b[at:end], want) {
			t.Fatalf("%q is not at %d", content, at)
		}
	}
	if found := anyBlock(t, h, b, aligned(end)); found != (damage != nil) {
		t.Fatalf("a block behind %d: %v; %v", end, found, err)
	}
}

// anyBlock looks for a block at every place.
func anyBlock(t *testing.T, h head, b []byte, from int64) bool {
	r := &reader{file: vfs.NewMemFile(b), size: int64(len(b))}
	defer r.close()
	for ; from < r.size; from += align {
		_, ok, err := r.block(h, from)
		if err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		if ok {
			return true
		}
	}
	return false
}
