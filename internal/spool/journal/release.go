package journal

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// maxSpares is how many files are kept for later segments, with the one that is made
// ahead.
const maxSpares = 2

// fillStep is how much of a file is filled with zeros between two syncs, so that those
// of Append need not wait long behind it.
const fillStep = 256 << 10

// Release gives up the segments up to and with that number, but for the one being
// written: that they are not needed is durable. Their files are kept for later segments
// or removed. Then it makes the next segment, if there is none yet; that may take a
// moment when a fresh file is filled with zeros, so it is best called in the background.
//
// After an error what was not given up is so by the next Release.
func (j *Journal) Release(upto uint64) error {
	err := j.release(upto)
	if err == nil {
		err = j.fillSpare()
	}
	if err == nil {
		j.making.Lock()
		err = j.ready()
		j.making.Unlock()
	}
	if err != nil {
		return fmt.Errorf("journal: release segments up to %d: %w", upto, err)
	}
	return nil
}

// release makes spares of segments, or removes them.
func (j *Journal) release(upto uint64) error {
	changed := false
	for f, ok := j.oldest(upto); ok; f, ok = j.oldest(upto) {
		if err := j.retire(f); err != nil {
			return err
		}
		changed = true
		j.mu.Lock()
		j.old = j.old[1:]
		j.mu.Unlock()
	}
	if !changed {
		return nil
	}
	return j.fs.SyncDir(j.dir)
}

func (j *Journal) oldest(upto uint64) (f stored, ok bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.old) == 0 || j.old[0].number > upto {
		return stored{}, false
	}
	return j.old[0], true
}

// retire makes a spare of a file, if it is not too many or too large for one. The
// directory is synced before the file is used again: it must not have its old name, too.
func (j *Journal) retire(f stored) error {
	if f.length > 2*j.opt.SegmentBytes || j.spareCount() >= maxSpares {
		return j.fs.Remove(j.path(f.name))
	}
	name := j.newSpareName()
	if err := j.fs.Rename(j.path(f.name), j.path(name)); err != nil {
		return err
	}
	f.name = name
	j.addSpare(f)
	return nil
}

func (j *Journal) spareCount() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	n := len(j.spares)
	if j.next != nil {
		n++
	}
	return n
}

func (j *Journal) addSpare(f stored) {
	j.mu.Lock()
	j.spares = append(j.spares, f)
	j.mu.Unlock()
}

// fillSpare sees to it that the next segment, if it is not made yet, is made of a file
// that was written before from its start to its end.
func (j *Journal) fillSpare() error {
	j.mu.Lock()
	made := j.next != nil
	j.mu.Unlock()
	if made {
		return nil
	}
	f, ok := j.takeSpare()
	if !ok {
		f = stored{name: j.newSpareName()}
	}
	if f.length == 0 || f.written < f.length {
		if err := j.fill(&f); err != nil {
			return err
		}
	}
	j.addSpare(f)
	return nil
}

// fill writes zeros over a file, as far as it has a length: where there is no space for
// that, or no way to tell, it grows with what is written.
func (j *Journal) fill(f *stored) error {
	return j.write(f, func(file vfs.File) error {
		zeros := make([]byte, min(fillStep, f.length))
		for f.written = 0; f.written < f.length; f.written += int64(len(zeros)) {
			zeros = zeros[:min(int64(len(zeros)), f.length-f.written)]
			if _, err := file.Write(zeros); err != nil {
				return err
			}
			if err := file.SyncData(); err != nil {
				return err
			}
		}
		return nil
	})
}
