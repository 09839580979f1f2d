package journal

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"sluice/internal/disk"
)

// defaultSegmentBytes is large enough that what is applied from a segment is worth the
// while, and small enough to be read again at a start.
const defaultSegmentBytes = 16 << 20

// Open opens the journal in dir, and makes it if there is none; dir's parent must exist.
// Segments up to applied are of no more use. The blocks of those above are given to
// replay in order, each without its header and good until replay returns; an error of
// replay is returned as it is. Then a new segment is begun, with a number above applied
// and above all that have a block; it is durable in the directory when Open returns.
//
// What was replayed stays in the journal until it is given up with [Journal.Release]. On
// any error the blocks that are in the journal stay as they are; when they are not as
// they were written that is a [DamagedError].
func Open(fs *disk.FS, dir string, applied uint64, opt Options, replay func(block []byte) error) (*Journal, error) {
	if opt.SegmentBytes <= 0 {
		opt.SegmentBytes = defaultSegmentBytes
	}
	j := &Journal{fs: fs, dir: dir, opt: opt}
	err := j.open(applied, replay)
	var damaged *DamagedError
	var own *replayError
	switch {
	case err == nil:
		return j, nil
	case errors.As(err, &own):
		return nil, own.error
	case errors.As(err, &damaged):
		return nil, damaged
	}
	return nil, fmt.Errorf("journal: open %s: %w", dir, err)
}

// A replayError is the caller's own.
type replayError struct{ error }

func (j *Journal) open(applied uint64, replay func([]byte) error) error {
	if err := j.fs.MakeDir(j.dir); err != nil {
		return err
	}
	segments, err := j.list()
	if err != nil {
		return err
	}
	useless, _ := slices.BinarySearchFunc(segments, applied+1, func(f stored, n uint64) int { return cmp.Compare(f.number, n) })
	n, err := j.replay(segments[useless:], applied+1, replay)
	if err != nil {
		return err
	}
	j.old = slices.Clone(segments[useless : useless+n])
	if err := j.tidy(slices.Delete(segments, useless, useless+n)); err != nil {
		return err
	}
	s, err := j.make(applied + uint64(n) + 1)
	if err != nil {
		return err
	}
	j.current.Store(s)
	return nil
}

// list finds the segments, in order, and the spares.
func (j *Journal) list() (segments []stored, err error) {
	names, err := j.fs.List(j.dir)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		number, spare, ok := parseName(name)
		if !ok {
			continue
		}
		f := stored{name: name, number: number}
		if err := j.look(&f); err != nil {
			return nil, err
		}
		if spare {
			j.spares = append(j.spares, f)
			j.lastSpare = max(j.lastSpare, number)
		} else {
			segments = append(segments, f)
		}
	}
	slices.SortFunc(segments, func(a, b stored) int { return cmp.Compare(a.number, b.number) })
	return segments, nil
}

// look finds out how long a file is, and how much of it has been written.
func (j *Journal) look(f *stored) error {
	r, err := j.openReader(*f)
	if err != nil {
		return err
	}
	defer r.close()
	f.length = r.size
	h, ok, err := r.head()
	if ok {
		f.written = min(h.written, r.size)
	}
	return err
}

// replay gives all blocks of segments to visit, and returns how many segments are to be
// kept: those behind the last block have none. The first has the number given, and none
// is missing behind it.
func (j *Journal) replay(segments []stored, first uint64, visit func([]byte) error) (n int, err error) {
	for i := range segments {
		f := &segments[i]
		if want := first + uint64(i); f.number != want {
			return n, &DamagedError{File: j.path(segmentName(want)), Reason: fmt.Sprintf("it is missing, while segment %d is there", f.number)}
		}
		end, err := j.read(*f, visit)
		if err != nil {
			return n, err
		}
		if err := j.settle(*f); err != nil {
			return n, err
		}
		f.written = max(f.written, end)
		if end > segmentHead {
			n = i + 1
		}
	}
	return n, nil
}

// settle makes durable what was read of a segment: its last block may have been read
// from the memory of the system, and must not be gone after the next power cut when it
// has been replayed once.
func (j *Journal) settle(f stored) error {
	file, err := j.fs.OpenReadWrite(j.path(f.name), category)
	if err != nil {
		return err
	}
	err = file.Sync()
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	return err
}

// tidy makes spares of segments that are of no more use, and removes what is too many.
func (j *Journal) tidy(useless []stored) error {
	for len(j.spares) > maxSpares {
		f, _ := j.takeSpare()
		if err := j.fs.Remove(j.path(f.name)); err != nil {
			return err
		}
	}
	for _, f := range useless {
		if err := j.retire(f); err != nil {
			return err
		}
	}
	if len(useless) == 0 {
		return nil
	}
	return j.fs.SyncDir(j.dir)
}
