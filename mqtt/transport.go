package mqtt

import (
	"io"
	"net"
	"sync"
	"syscall"
)

// bufferSize is the plaintext of one TLS record, so that one Read of tls.Conn
// into an empty buffer leaves none of a record behind.
const bufferSize = 16 << 10

type buffer [bufferSize]byte

// buffers are shared by all connections: an idle one holds none.
var buffers = sync.Pool{New: func() any { return new(buffer) }}

func newBuffer() *buffer { return buffers.Get().(*buffer) }

// A transport is the connection below MQTT, or below TLS if the engine does that.
// From a TCP socket it reads what has arrived with one system call, into a buffer
// that it takes when there is something to read and gives back when that is
// consumed.
type transport struct {
	net.Conn
	before  func()          // called before each read that may block
	raw     syscall.RawConn // nil if the socket cannot be read directly
	read    func(fd uintptr) bool
	readErr error
	records bool // whether TLS is above
	record  record

	data []byte // what was read and not consumed; aliases buf or peek
	buf  *buffer
	peek [64]byte

	look  func(fd uintptr) // finds out whether it takes
	takes bool             // a little, without blocking
}

func (t *transport) init(nc net.Conn) {
	t.Conn = nc
	t.raw = rawConn(nc)
	t.read = t.tryRead
	t.look = func(fd uintptr) { t.takes = hasRoom(fd) }
}

// writable reports whether the socket surely takes a little without blocking. One
// goroutine at a time may ask.
func (t *transport) writable() bool {
	t.takes = false
	return t.raw != nil && t.raw.Control(t.look) == nil && t.takes
}

// Read reads, below TLS no further than to the end of a record, so that between
// records nothing is held above.
func (t *transport) Read(p []byte) (int, error) {
	if len(t.data) == 0 {
		if t.raw == nil {
			t.before()
			return t.Conn.Read(p)
		}
		if err := t.fill(); err != nil {
			return 0, err
		}
	}
	data := t.data
	if t.records {
		data = data[:t.record.next(data)]
	}
	n := copy(p, data)
	if t.records {
		t.record.advance(data[:n])
	}
	t.data = t.data[n:]
	t.release()
	return n, nil
}

// atRest reports whether a reader that has consumed all that Read gave it holds
// nothing that is not consumed.
func (t *transport) atRest() bool {
	return len(t.data) == 0 && (!t.records || t.raw != nil && t.record == record{})
}

// wait blocks until there is something to Read, without a buffer of the caller's.
func (t *transport) wait() error {
	if t.raw != nil {
		return t.fill()
	}
	t.before()
	n, err := t.Conn.Read(t.peek[:])
	t.data = t.peek[:n]
	if n > 0 {
		return nil // an error comes again with the next Read
	}
	return err
}

// fill reads from the socket.
func (t *transport) fill() error {
	t.before()
	if err := t.raw.Read(t.read); err != nil {
		t.release()
		return err
	}
	if t.readErr == nil && len(t.data) == 0 {
		t.readErr = io.EOF
	}
	t.release()
	return t.readErr
}

// tryRead is called by the runtime's poller, until it reports true.
func (t *transport) tryRead(fd uintptr) bool {
	if t.buf == nil {
		t.buf = newBuffer()
	}
	n, again, err := readSocket(fd, t.buf[:])
	if again {
		t.release()
		return false
	}
	t.data, t.readErr = t.buf[:n], err
	return true
}

// release gives the buffer back if all of it is consumed.
func (t *transport) release() {
	if t.buf != nil && len(t.data) == 0 {
		buffers.Put(t.buf)
		t.buf, t.data = nil, nil
	}
}

// A record is a position in a stream of TLS records; zero between two of them.
type record struct {
	header [5]byte
	n      int // bytes of the header that have passed
	left   int // bytes of the body that have not
}

// next returns how many bytes of b belong to the header, or to the body, at the
// position.
func (r *record) next(b []byte) int {
	if r.left > 0 {
		return min(len(b), r.left)
	}
	return min(len(b), len(r.header)-r.n)
}

// advance moves over b, which is not longer than next allows.
func (r *record) advance(b []byte) {
	if r.left > 0 {
		r.left -= len(b)
		return
	}
	r.n += copy(r.header[r.n:], b)
	if r.n == len(r.header) {
		*r = record{left: int(r.header[3])<<8 | int(r.header[4])}
	}
}
