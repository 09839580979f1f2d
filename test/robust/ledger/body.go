package ledger

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strconv"
)

// Hash is the fingerprint of a body that ledgers hold.
func Hash(body []byte) uint64 {
	sum := sha256.Sum256(body)
	return binary.BigEndian.Uint64(sum[:])
}

// Body makes the body of a message: one that says whose it is and which, and
// whose bytes all depend on both, size bytes long or as long as saying that
// takes. It is JSON.
func Body(sender string, seq uint64, size int) []byte {
	b := fmt.Appendf(nil, `{"sender":%q,"seq":%d,"pad":"`, sender, seq)
	state := Hash(b) | 1
	for len(b) < size-2 {
		// The multiplier of Knuth's MMIX; what matters is that a shifted or
		// swapped piece of padding does not look like the piece it replaces.
		state = state*6364136223846793005 + 1442695040888963407
		b = append(b, 'a'+byte(state>>60))
	}
	return append(b, `"}`...)
}

// ReadBody reads whose body it is, and which. A body that [Body] did not make,
// or that lost its head, is not ok; record its receipt without a sender.
func ReadBody(body []byte) (sender string, seq uint64, ok bool) {
	rest, ok := bytes.CutPrefix(body, []byte(`{"sender":`))
	if !ok {
		return "", 0, false
	}
	name, rest, ok := bytes.Cut(rest, []byte(`,"seq":`))
	if !ok {
		return "", 0, false
	}
	number, _, ok := bytes.Cut(rest, []byte(`,"pad":"`))
	if !ok {
		return "", 0, false
	}
	sender, errName := strconv.Unquote(string(name))
	seq, errNumber := strconv.ParseUint(string(number), 10, 64)
	return sender, seq, errName == nil && errNumber == nil
}
