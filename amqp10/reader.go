package amqp10

import (
	"io"
	"sync"
	"time"

	"sluice/amqp10/internal/frame"
)

const (
	readBuffer = 16 << 10
	// quiet is how long a peer must have been silent for its connection to
	// count as idle, and to give its buffer back before the next wait.
	quiet = time.Second
)

var readBuffers = sync.Pool{New: func() any { return new([readBuffer]byte) }}

// frameReader cuts frames out of a stream. While the peer is quiet it holds no
// buffer but small; its buffer grows with the bytes that arrive, never with
// the length that a frame claims.
type frameReader struct {
	r          io.Reader
	buf        []byte
	start, end int // unread bytes are buf[start:end]
	idle       bool
	last       time.Time // when bytes last arrived
	small      [128]byte
}

// header takes a protocol header: 8 bytes.
func (f *frameReader) header() ([]byte, error) {
	if err := f.fill(frame.HeaderSize); err != nil {
		return nil, err
	}
	return f.take(frame.HeaderSize), nil
}

// next takes a frame. Its bytes are good until the next call.
func (f *frameReader) next(maxSize uint32, typ uint8) (h frame.Header, body []byte, err error) {
	if err := f.fill(frame.HeaderSize); err != nil {
		return h, nil, err
	}
	h, err = frame.ParseHeader(f.buf[f.start:], maxSize, typ)
	if err != nil {
		return h, nil, err
	}
	if err := f.fill(int(h.Size)); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return h, nil, err
	}
	return h, frame.Body(f.take(int(h.Size)), h), nil
}

func (f *frameReader) take(n int) []byte {
	b := f.buf[f.start : f.start+n]
	f.start += n
	return b
}

// fill waits until n bytes are buffered.
func (f *frameReader) fill(n int) error {
	if f.start == f.end {
		f.start, f.end = 0, 0
		if f.idle {
			f.release()
		}
	}
	for f.end-f.start < n {
		if err := f.read(); err != nil {
			return err
		}
	}
	return nil
}

func (f *frameReader) read() error {
	waited := time.Now()
	into := f.room()
	n, err := f.r.Read(into)
	if n == 0 && err != nil {
		return err
	}
	f.last = time.Now()
	f.idle = f.last.Sub(waited) >= quiet
	if f.buf == nil {
		f.acquire()
		copy(f.buf, into[:n])
	}
	f.end += n
	return nil
}

// room returns where the next bytes go.
func (f *frameReader) room() []byte {
	switch {
	case f.buf == nil && f.idle:
		return f.small[:]
	case f.buf == nil:
		f.acquire()
	case f.end == len(f.buf) && f.start > 0:
		f.end = copy(f.buf, f.buf[f.start:f.end])
		f.start = 0
	case f.end == len(f.buf):
		// Full of one frame that is longer: as much again as has arrived.
		f.buf = append(f.buf, make([]byte, len(f.buf))...)
	}
	return f.buf[f.end:]
}

func (f *frameReader) acquire() { f.buf = readBuffers.Get().(*[readBuffer]byte)[:] }

// release gives the buffer back. One that has grown is left to the collector.
func (f *frameReader) release() {
	if len(f.buf) == readBuffer {
		readBuffers.Put((*[readBuffer]byte)(f.buf))
	}
	f.buf, f.start, f.end = nil, 0, 0
}
