package wire

import (
	"fmt"
	"slices"
	"testing"
)

// However many strings there are, and among whatever else, each is where it
// belongs.
func TestBoxesHoldEveryString(t *testing.T) {
	for _, n := range []int{0, 1, 4, 5, 15, 16, 17, 50} {
		var sent Fields
		for i := range n {
			sent = append(sent, Field{Key: Symbol(fmt.Sprint("k", i)), Value: fmt.Sprint("value ", i)})
			if i%3 == 0 {
				sent = append(sent, Field{Key: Symbol(fmt.Sprint("n", i)), Value: int64(i)}, Field{Key: Symbol(fmt.Sprint("s", i)), Value: Symbol("s")})
			}
		}
		var e Encoder
		e.Fields(sent)
		d := NewDecoder(e.B)
		d.ShareText(d.Len())
		var boxes Boxes
		got := DecodePairs[Symbol](&d, &boxes)
		boxes.Close()
		if d.Err() != nil || !slices.Equal(got, sent) {
			t.Errorf("%d strings: %v, %v", n, got, d.Err())
		}
		boxes.Close() // nothing is left in them
		if !slices.Equal(got, sent) {
			t.Errorf("%d strings: changed to %v", n, got)
		}
	}
}

func TestABrokenStringIsPutInNoBox(t *testing.T) {
	d := NewDecoder([]byte{codeStr8, 2, 0xff, 0xff})
	var boxes Boxes
	var v any
	boxes.Value(&d, &v)
	boxes.Close()
	if d.Err() == nil || v != nil {
		t.Errorf("%v, %v", v, d.Err())
	}
}
