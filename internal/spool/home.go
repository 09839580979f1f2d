package spool

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sluice/internal/disk"
)

// formatLine is what the FORMAT file says. It changes with anything in the
// package comment's drawing, and with Pebble's own format.
const formatLine = "sluice-spool 3"

// formerLines are what it says in a store without a journal, and in one whose records do
// not share data either. Such a store is one of the present format as soon as the file
// says so.
var formerLines = []string{"sluice-spool 2", "sluice-spool 1"}

// residents are the names that a spool's directory may hold.
var residents = map[string]bool{
	"FORMAT": true, "FORMAT.new": true, "LOCK": true, "OWNER": true, "BALLAST": true,
	"db": true, "journal": true, "lost+found": true,
}

// A home is a spool's directory.
type home struct {
	fs  *disk.FS
	dir string
}

func (h home) path(name string) string { return h.fs.PathJoin(h.dir, name) }

// enter makes the directory or checks that it is a spool's, and locks it.
func (h home) enter() (unlock func() error, err error) {
	if err := h.ensure(); err != nil {
		return nil, err
	}
	names, err := h.fs.List(h.dir)
	if err != nil {
		return nil, fmt.Errorf("open spool %s: %w", h.dir, err)
	}
	for _, name := range names {
		if !residents[name] {
			return nil, h.foreign(name)
		}
	}
	lock, err := h.fs.Lock(h.path("LOCK"))
	if err != nil {
		return nil, &LockedError{Dir: h.dir, PID: h.owner()}
	}
	if err := h.own(); err != nil {
		_ = lock.Close() // the first error says more
		return nil, fmt.Errorf("open spool %s: %w", h.dir, err)
	}
	return lock.Close, nil
}

// foreign says what it means that something is there which is not known: that another
// program's files are there, or that a newer program wrote the store.
func (h home) foreign(name string) error {
	var newer *FormatError
	if _, _, err := h.settled(); errors.As(err, &newer) {
		return newer
	}
	return &ForeignError{Dir: h.dir, Entry: name}
}

func (h home) ensure() error {
	if info, err := h.fs.Stat(h.dir); err == nil && !info.IsDir() {
		return &ForeignError{Dir: h.dir, Entry: "not a directory"}
	}
	return h.wrap(h.fs.MakeDir(h.dir))
}

func (h home) wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("open spool %s: %w", h.dir, err)
}

// own writes down who holds the lock, for the one who is refused.
func (h home) own() error { return h.write("OWNER", strconv.Itoa(os.Getpid())+"\n") }

func (h home) owner() int {
	text, err := h.read("OWNER")
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil {
		return 0
	}
	return pid
}

// settled reports whether the directory holds a store that was made to the end, and
// whether the FORMAT file is to be written.
func (h home) settled() (settled, write bool, err error) {
	text, err := h.read("FORMAT")
	if errors.Is(err, fs.ErrNotExist) {
		return false, true, nil
	}
	if err != nil {
		return false, false, h.wrap(err)
	}
	line := strings.TrimSuffix(text, "\n")
	if line == formatLine || slices.Contains(formerLines, line) {
		return true, line != formatLine, nil
	}
	if n, ok := strings.CutPrefix(line, "sluice-spool "); ok {
		if _, err := strconv.ParseUint(n, 10, 32); err == nil {
			return false, false, &FormatError{Dir: h.dir, Have: line}
		}
	}
	return false, false, &DamagedError{Dir: h.dir, Err: fmt.Errorf("FORMAT says %q", line)}
}

// settle writes the FORMAT file: from now on, a missing database is damage, and a
// program that does not know the format leaves the store alone.
func (h home) settle() error {
	if err := h.write("FORMAT.new", formatLine+"\n"); err != nil {
		return h.wrap(err)
	}
	if err := h.fs.Rename(h.path("FORMAT.new"), h.path("FORMAT")); err != nil {
		return h.wrap(err)
	}
	return h.wrap(h.fs.SyncDir(h.dir))
}

func (h home) write(name, text string) error {
	f, err := h.fs.Create(h.path(name), vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, text)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func (h home) read(name string) (string, error) {
	f, err := h.fs.Open(h.path(name))
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }() // read-only
	text, err := io.ReadAll(io.LimitReader(f, 4096))
	return string(text), err
}
