package journal

import (
	"fmt"
	"sync"
	"sync/atomic"

	"sluice/internal/disk"
)

// Options are what a journal may be told.
type Options struct {
	SegmentBytes int64 // length that a segment's file is given beforehand; 0: 16 MiB
}

// A Journal is blocks in segments; see the package.
type Journal struct {
	fs  *disk.FS
	dir string
	opt Options

	current atomic.Pointer[segment] // replaced with making locked
	failed  error                   // Append's first error; of its goroutine

	making sync.Mutex // locked by who makes the next segment, or puts it in its place

	mu        sync.Mutex
	next      *segment // made ahead
	old       []stored // segments that were written, in order
	spares    []stored
	lastSpare uint64 // number in the last spare's name
}

// Append writes a block and makes it durable. Its first [Header] bytes are the journal's
// to write; its content, which may be empty and has at most [MaxContent] bytes, is what
// follows.
//
// After an error whether the block is in the journal is unknown, and nothing more is
// appended: every later Append returns that error. One goroutine at a time may call
// Append and Rotate.
func (j *Journal) Append(block []byte) error {
	_, err := j.append(block, func(s *segment) (bool, error) { return false, s.append(block) })
	return err
}

// AppendNow is Append, but for a full disk: then it does not wait for space, and says
// that Append would. Append is to be called next, with the same block.
func (j *Journal) AppendNow(block []byte) (waits bool, err error) {
	return j.append(block, func(s *segment) (bool, error) { return s.appendNow(block) })
}

func (j *Journal) append(block []byte, do func(*segment) (waits bool, err error)) (waits bool, err error) {
	switch {
	case j.failed != nil:
	case len(block) < Header:
		j.failed = errNoRoom
	case len(block) > Header+MaxContent:
		j.failed = errTooLarge
	default:
		s := j.current.Load()
		if waits, err = do(s); err != nil {
			j.failed = fmt.Errorf("journal: append to segment %d: %w", s.number, err)
		}
	}
	return waits, j.failed
}

// Segment returns the number of the segment being written.
func (j *Journal) Segment() uint64 { return j.current.Load().number }

// Size returns how many bytes the segment being written has, with what the journal adds.
func (j *Journal) Size() int64 { return j.current.Load().size.Load() }

// Ready reports whether the next segment is made, so that Rotate will not wait for space.
func (j *Journal) Ready() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.next != nil
}

// Behind returns how many segments before that one have blocks and were not given up.
func (j *Journal) Behind() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.old)
}

// Rotate makes what is appended from now on go to the next segment. It is fast if
// [Journal.Release] has made that ahead. When it fails, and Append has not, the journal
// goes on with the segment that it has. It is called by the goroutine that calls Append.
func (j *Journal) Rotate() error {
	if j.failed != nil {
		return j.failed
	}
	j.making.Lock()
	defer j.making.Unlock()
	if err := j.ready(); err != nil {
		return fmt.Errorf("journal: begin segment %d: %w", j.Segment()+1, err)
	}
	last := j.current.Load()
	j.mu.Lock()
	j.old = append(j.old, last.old(segmentName(last.number)))
	j.current.Store(j.next)
	j.next = nil
	j.mu.Unlock()
	_ = last.file.Close() // all that is in it is durable
	return nil
}

// Bytes returns what the journal's files take on disk.
func (j *Journal) Bytes() int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	n := j.current.Load().bytes()
	if j.next != nil {
		n += j.next.bytes()
	}
	for _, files := range [][]stored{j.old, j.spares} {
		for _, f := range files {
			n += f.length
		}
	}
	return n
}

// Close closes the files, and keeps them. Nothing may be appended after it.
func (j *Journal) Close() error {
	j.failed = errClosed
	err := j.current.Load().file.Close()
	if j.next != nil {
		_ = j.next.file.Close() // it has nothing that is missed
	}
	if err != nil {
		return fmt.Errorf("journal: close: %w", err)
	}
	return nil
}
