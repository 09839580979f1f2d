package provision

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"sluice/internal/atomicfile"
)

// journalFile is the journal's name in its directory.
const journalFile = "journal.jsonl"

// A journal keeps on disk what is open, and how far the hub's log has been read. It
// is a file of JSON lines, each a record; a last line that is cut short, as a crash
// leaves one, never was. Once it has become large it is written anew with what is
// open.
type journal struct {
	path string

	mu       sync.Mutex // held while a line is appended, or the file replaced
	file     *os.File
	lines    int
	next     uint64
	open     map[uint64]opened
	read     map[string]mark
	appended uint64 // count of appends
	broken   error  // the file is not to be trusted; nothing is accepted any more

	syncing sync.Mutex // held while the file is synced
	synced  uint64     // appends that are on stable storage; under syncing
}

// A record is one line: an Open, an End or a Read.
type record struct {
	Number uint64   `json:"n,omitempty"`
	Open   *opened  `json:"open,omitempty"`
	End    uint64   `json:"end,omitempty"`
	Read   *reading `json:"read,omitempty"`
}

type opened struct {
	Request Request   `json:"request"`
	Taken   time.Time `json:"taken"`
}

// A reading says up to which event a partition has been read.
type reading struct {
	Partition string `json:"partition"`
	mark
}

type mark struct {
	Sequence uint64    `json:"sequence"`
	At       time.Time `json:"at"`
}

// compactAt is how many lines a journal has at most before it is written anew,
// besides those that are needed.
const compactAt = 20_000

// openJournal opens the journal in a directory, which it makes, for its owner alone.
func openJournal(dir string) (*journal, error) {
	if err := private(dir); err != nil {
		return nil, err
	}
	j := &journal{path: filepath.Join(dir, journalFile), next: 1, open: map[uint64]opened{}, read: map[string]mark{}}
	text, err := os.ReadFile(j.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err := j.replay(text); err != nil {
		return nil, fmt.Errorf("%s: %w", j.path, err)
	}
	return j, j.rewrite()
}

// private makes a directory for the owner alone, or sees that it is one.
func private(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return os.Chmod(dir, 0o700) //nolint:gosec // a directory
	}
	return nil
}

func (j *journal) replay(text []byte) error {
	for n := 1; len(text) > 0; n++ {
		line, rest, whole := bytes.Cut(text, []byte{'\n'})
		if !whole {
			return nil
		}
		text = rest
		var r record
		if err := json.Unmarshal(line, &r); err != nil {
			return fmt.Errorf("line %d is damaged: %w; if it cannot be mended, remove the file: modules ask again", n, err)
		}
		j.apply(r)
	}
	return nil
}

func (j *journal) apply(r record) {
	switch {
	case r.Open != nil:
		j.open[r.Number] = *r.Open
		j.next = max(j.next, r.Number+1)
	case r.Read != nil:
		j.read[r.Read.Partition] = r.Read.mark
	default:
		delete(j.open, r.End)
	}
}

// ask notes a request and returns its number. It is on stable storage after sync.
func (j *journal) ask(r Request, now time.Time) (uint64, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	n := j.next
	return n, j.append(record{Number: n, Open: &opened{r, now}})
}

// end notes that a request needs no more work.
func (j *journal) end(number uint64) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.append(record{End: number})
}

// advance notes how far a partition has been read.
func (j *journal) advance(partition string, m mark) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.append(record{Read: &reading{partition, m}})
}

// append writes a record, with mu held.
func (j *journal) append(r record) error {
	if j.broken != nil {
		return j.broken
	}
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if _, err := j.file.Write(append(line, '\n')); err != nil {
		// Half a line may stand there, and must not be gone on with.
		j.broken = fmt.Errorf("journal: %w", err)
		return j.broken
	}
	j.apply(r)
	j.lines++
	j.appended++
	if j.lines > compactAt+2*len(j.open) {
		return j.compact()
	}
	return nil
}

// sync returns when everything that was appended before is on stable storage. Calls
// at the same time share one wait for the disk.
func (j *journal) sync() error {
	j.mu.Lock()
	want := j.appended
	j.mu.Unlock()
	j.syncing.Lock()
	defer j.syncing.Unlock()
	if j.synced >= want {
		return nil
	}
	j.mu.Lock()
	file, upTo, err := j.file, j.appended, j.broken
	j.mu.Unlock()
	if err != nil {
		return err
	}
	if err := file.Sync(); err != nil && !j.replaced(file) {
		return j.fail(err)
	}
	j.synced = upTo
	return nil
}

// replaced reports whether file has given way to another, which was made durable with
// all that file had.
func (j *journal) replaced(file *os.File) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.file != file
}

func (j *journal) fail(err error) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.broken == nil {
		j.broken = fmt.Errorf("journal: %w", err)
	}
	return j.broken
}

// compact replaces the file, with mu held.
func (j *journal) compact() error {
	if err := j.rewrite(); err != nil {
		j.broken = fmt.Errorf("journal: %w", err)
		return j.broken
	}
	return nil
}

// rewrite replaces the file with what is needed, durably, and opens it.
func (j *journal) rewrite() error {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	for _, p := range slices.Sorted(maps.Keys(j.read)) {
		_ = e.Encode(record{Read: &reading{p, j.read[p]}}) // to memory
	}
	for _, n := range slices.Sorted(maps.Keys(j.open)) {
		o := j.open[n]
		_ = e.Encode(record{Number: n, Open: &o}) // to memory
	}
	if err := atomicfile.Write(j.path, text.Bytes(), 0o600); err != nil {
		return err
	}
	file, err := os.OpenFile(j.path, os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	if j.file != nil {
		_ = j.file.Close() // what it had is in the new one
	}
	j.file, j.lines = file, 0
	return nil
}

// marks returns how far each partition has been read.
func (j *journal) marks() map[string]mark {
	j.mu.Lock()
	defer j.mu.Unlock()
	return maps.Clone(j.read)
}

// pending returns what is open, the oldest first.
func (j *journal) pending() []numbered {
	j.mu.Lock()
	defer j.mu.Unlock()
	list := make([]numbered, 0, len(j.open))
	for _, n := range slices.Sorted(maps.Keys(j.open)) {
		list = append(list, numbered{n, j.open[n]})
	}
	return list
}

type numbered struct {
	number uint64
	opened
}

// close makes everything durable and closes the file.
func (j *journal) close() error {
	err := j.sync()
	return errors.Join(err, j.file.Close())
}
