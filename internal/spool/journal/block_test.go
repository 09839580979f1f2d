package journal

import (
	"bytes"
	"testing"
)

// A block is good in its segment and at its offset, and nowhere else.
func TestABlockIsOfOnePlace(t *testing.T) {
	t.Parallel()
	s := newHead(7, 0).salt
	for off := int64(segmentHead); off < segmentHead+align; off++ {
		b := seal(block("content"), s, 7, off)
		at := aligned(off)
		if pad := b[:at-off]; !bytes.Equal(pad, make([]byte, len(pad))) {
			t.Errorf("%x ahead of the block", pad)
		}
		b = b[at-off:]
		if n, ok := contentLength(b, s); n != 7 || !ok || !intact(b, 7, at) {
			t.Errorf("at %d: a block of %d bytes is not good", at, n)
		}
		if intact(b, 8, at) || intact(b, 7, at+align) {
			t.Errorf("at %d: it is good elsewhere", at)
		}
		b[0] ^= 1
		if _, ok := contentLength(b, s); ok || intact(b, 7, at) {
			t.Errorf("at %d: it is good with another salt", at)
		}
	}
}

func TestNoTwoSegmentsHaveTheSameSalt(t *testing.T) {
	t.Parallel()
	seen := map[salt]bool{{}: true}
	for range 1000 {
		h := newHead(1, 0)
		if seen[h.salt] || h.salt[0] == 0 {
			t.Fatalf("salt %x", h.salt)
		}
		seen[h.salt] = true
		if got, ok := decodeHead(h.encode()); !ok || got != h {
			t.Fatalf("%v became %v, %v", h, got, ok)
		}
	}
}
