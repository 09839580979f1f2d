package journal

import "github.com/cockroachdb/pebble/v2/vfs"

// category is what the file system's statistics call what is written here.
const category vfs.DiskWriteCategory = "spool-journal"

// ready sees to it that the next segment is made. Making is locked.
func (j *Journal) ready() error {
	j.mu.Lock()
	made := j.next != nil
	j.mu.Unlock()
	if made {
		return nil
	}
	s, err := j.make(j.Segment() + 1)
	if err != nil {
		return err
	}
	j.mu.Lock()
	j.next = s
	j.mu.Unlock()
	return nil
}

// make makes a segment of a spare, or of a fresh file. It is in the directory, durably,
// when make returns.
func (j *Journal) make(number uint64) (*segment, error) {
	f, ok := j.takeSpare()
	if !ok {
		f = stored{name: j.newSpareName()}
	}
	s := &segment{head: newHead(number, f.written)}
	if err := j.behead(&f, s.head); err != nil {
		return nil, err
	}
	s.length = f.length
	if err := j.place(s, f.name); err != nil {
		return nil, err
	}
	return s, nil
}

// behead gives a spare, which is made if it has no length, the first bytes of a segment.
func (j *Journal) behead(f *stored, h head) error {
	return j.write(f, func(file vfs.File) error {
		_, err := file.Write(h.encode())
		return err
	})
}

// write opens a spare, or makes one with its length, writes it from its start, and makes
// that durable.
func (j *Journal) write(f *stored, write func(vfs.File) error) error {
	file, err := j.openSpare(f)
	if err != nil {
		return err
	}
	if err = write(file); err == nil {
		err = file.Sync()
	}
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	return err
}

// openSpare opens a spare, or makes one, and sees to its length.
func (j *Journal) openSpare(f *stored) (file vfs.File, err error) {
	if f.length > 0 {
		file, err = j.fs.OpenReadWrite(j.path(f.name), category)
	} else {
		file, err = j.fs.Create(j.path(f.name), category)
	}
	if err != nil {
		return nil, err
	}
	if f.length < j.opt.SegmentBytes {
		_ = file.Preallocate(0, j.opt.SegmentBytes) // a favour: it is as long as it has become
		if info, err := file.Stat(); err == nil {
			f.length = info.Size()
		}
	}
	return file, nil
}

// place gives a spare that has a segment's first bytes its name, and opens it behind
// them: they are written a second time, as the same, as files are written in order.
func (j *Journal) place(s *segment, spare string) error {
	name := j.path(segmentName(s.number))
	if err := j.fs.Rename(j.path(spare), name); err != nil {
		return err
	}
	file, err := j.fs.OpenReadWrite(name, category)
	if err != nil {
		return err
	}
	if _, err = file.Write(s.head.encode()); err == nil {
		err = j.fs.SyncDir(j.dir)
	}
	if err != nil {
		_ = file.Close() // the error before says more
		return err
	}
	s.file = file
	s.size.Store(segmentHead)
	return nil
}

func (j *Journal) path(name string) string { return j.fs.PathJoin(j.dir, name) }

func (j *Journal) takeSpare() (f stored, ok bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	n := len(j.spares)
	if n == 0 {
		return stored{}, false
	}
	f, j.spares = j.spares[n-1], j.spares[:n-1]
	return f, true
}

func (j *Journal) newSpareName() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lastSpare++
	return spareName(j.lastSpare)
}
