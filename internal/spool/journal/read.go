package journal

import (
	"bytes"
	"io"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// window is how much is read of a file at once.
const window = 1 << 20

// A reader reads a file that is not being written.
type reader struct {
	file vfs.File
	size int64

	buf []byte
	at  int64 // offset of buf
}

func (j *Journal) openReader(f stored) (*reader, error) {
	file, err := j.fs.Open(j.path(f.name), vfs.SequentialReadsOption)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil {
		_ = file.Close() // read-only
		return nil, err
	}
	return &reader{file: file, size: info.Size()}, nil
}

func (r *reader) close() { _ = r.file.Close() } // read-only

// bytes returns n bytes at an offset, which are in the file. They are good until the
// next call.
func (r *reader) bytes(off, n int64) ([]byte, error) {
	if off < r.at || off+n > r.at+int64(len(r.buf)) {
		if err := r.load(off, n); err != nil {
			return nil, err
		}
	}
	return r.buf[off-r.at:][:n], nil
}

// load reads n bytes and some more.
func (r *reader) load(off, n int64) error {
	n = min(max(n, window), r.size-off)
	if int64(cap(r.buf)) < n {
		r.buf = make([]byte, n)
	}
	r.buf, r.at = r.buf[:n], off
	if got, err := r.file.ReadAt(r.buf, off); got < len(r.buf) {
		r.buf = nil
		if err == nil || err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	return nil
}

// head returns the file's first bytes, if they are those of a segment.
func (r *reader) head() (h head, ok bool, err error) {
	if r.size < segmentHead {
		return head{}, false, nil
	}
	b := make([]byte, segmentHead)
	if n, err := r.file.ReadAt(b, 0); n < segmentHead {
		return head{}, false, err
	}
	h, ok = decodeHead(b)
	return h, ok, nil
}

// block returns the block at an offset, header and content, if there is one of the
// segment with that head.
func (r *reader) block(h head, at int64) (b []byte, ok bool, err error) {
	if r.size-at < blockHead {
		return nil, false, nil
	}
	b, err = r.bytes(at, blockHead)
	if err != nil {
		return nil, false, err
	}
	n, ok := contentLength(b, h.salt)
	if !ok || n > r.size-at-blockHead {
		return nil, false, nil
	}
	b, err = r.bytes(at, blockHead+n)
	return b, err == nil && intact(b, h.number, at), err
}

// search returns the offset of the first block from an offset on, or 0.
func (r *reader) search(h head, from int64) (int64, error) {
	for from = aligned(from); r.size-from >= blockHead; {
		n := min(window, r.size-from)
		b, err := r.bytes(from, n)
		if err != nil {
			return 0, err
		}
		i := int64(bytes.Index(b, h.salt[:]))
		if i < 0 {
			from += n // a salt at an aligned offset does not go beyond it
			continue
		}
		if _, ok, err := r.block(h, from+i); ok || err != nil {
			return from + i, err
		}
		from = aligned(from + i + 1)
	}
	return 0, nil
}

// read gives the blocks of a segment to visit, and returns where they end.
func (j *Journal) read(f stored, visit func([]byte) error) (end int64, err error) {
	r, err := j.openReader(f)
	if err != nil {
		return 0, err
	}
	defer r.close()
	h, ok, err := r.head()
	if err != nil {
		return 0, err
	}
	if !ok || h.number != f.number {
		return 0, &DamagedError{File: j.path(f.name), Reason: "it does not begin as this segment does"}
	}
	end, err = r.each(h, visit)
	if err != nil {
		return 0, err
	}
	if later, err := r.search(h, end); err != nil || later == 0 {
		return end, err
	}
	return 0, &DamagedError{File: j.path(f.name), Offset: aligned(end), Reason: "a good block comes after a bad one"}
}

// each visits the blocks up to the first that is none.
func (r *reader) each(h head, visit func([]byte) error) (end int64, err error) {
	for end = segmentHead; ; {
		at := aligned(end)
		b, ok, err := r.block(h, at)
		if err != nil || !ok {
			return end, err
		}
		if err := visit(b[blockHead:]); err != nil {
			return 0, &replayError{err}
		}
		end = at + int64(len(b))
	}
}
