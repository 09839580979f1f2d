package tlsx

// applicationData is the type of the records that carry the protocol above TLS,
// and in TLS 1.3 the encrypted part of the handshake too [RFC 8446 5.1].
const applicationData = 23

// A record is a position in a client's stream of TLS records.
type record struct {
	header [5]byte
	n      int // bytes of the header that have passed
	left   int // bytes of the body that have not
}

// data moves over b and reports whether a record of application data has begun.
func (r *record) data(b []byte) bool {
	for len(b) > 0 {
		if r.left > 0 {
			k := min(r.left, len(b))
			r.left -= k
			b = b[k:]
			continue
		}
		k := copy(r.header[r.n:], b)
		r.n += k
		b = b[k:]
		if r.n < len(r.header) {
			return false
		}
		if r.header[0] == applicationData {
			return true
		}
		*r = record{left: int(r.header[3])<<8 | int(r.header[4])}
	}
	return false
}
