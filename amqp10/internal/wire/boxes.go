package wire

import "reflect"

// Boxes gives strings to interfaces, many in one allocation where Go makes one for
// each. The zero value is ready; Close is to be called when all are in.
type Boxes struct {
	n    int
	text [boxesAtOnce]string
	at   [boxesAtOnce]*any
}

const boxesAtOnce = 16

// Value decodes the next value into *at; a string will be there when the boxes are
// closed. It reports whether it is a string. Without boxes it is there at once.
func (b *Boxes) Value(d *Decoder, at *any) (text bool) {
	if b == nil || d.off >= d.end || d.b[d.off] != codeStr8 && d.b[d.off] != codeStr32 {
		*at = d.Value()
		return false
	}
	s := d.Text()
	if d.err != nil {
		return true
	}
	if b.n == boxesAtOnce {
		b.Close()
	}
	b.text[b.n], b.at[b.n] = s, at
	b.n++
	return true
}

// Close fills in what is left. An interface of an element of an array that nobody
// can change points into the array, which is the one that is allocated here.
func (b *Boxes) Close() {
	var all reflect.Value
	switch {
	case b.n == 0:
		return
	case b.n <= 4:
		all = reflect.ValueOf([4]string(b.text[:4]))
	default:
		all = reflect.ValueOf(b.text)
	}
	for i := range b.n {
		*b.at[i] = all.Index(i).Interface()
	}
	*b = Boxes{}
}
