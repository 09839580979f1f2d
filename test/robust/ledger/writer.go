package ledger

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Writer appends events to a ledger. Its methods may be called from any
// goroutine; callers that come together share one write and one fsync.
type Writer struct {
	file *os.File

	mu      sync.Mutex
	turned  *sync.Cond // a batch was written, or failed
	pending []byte     // lines of the batch that is gathered
	batch   uint64     // number of that batch
	written uint64     // batches before this number are on disk
	writing bool
	err     error // the first failure; final
}

// Open opens the ledger at path for appending, and makes it if there is none.
// A line that a crash has torn is ended, never removed.
func Open(path string) (*Writer, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	w := &Writer{file: file}
	w.turned = sync.NewCond(&w.mu)
	if err := w.begin(path); err != nil {
		_ = file.Close() // the error to report is the first
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	return w, nil
}

func (w *Writer) begin(path string) error {
	torn, err := endsInside(w.file)
	if err != nil {
		return err
	}
	if torn {
		w.pending = append(w.pending, '\n')
	}
	if err := w.Record(Event{Kind: Opened}); err != nil {
		return err
	}
	return syncDirectory(filepath.Dir(path))
}

// endsInside reports whether the file ends inside a line.
func endsInside(f *os.File) (bool, error) {
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return false, err
	}
	var last [1]byte
	_, err = f.ReadAt(last[:], info.Size()-1)
	return last[0] != '\n', err
}

func syncDirectory(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close() // read-only
	return dir.Sync()
}

// Record appends events and returns when they are on disk. After an error
// nothing is known of these events, and every later call fails too.
//
// Record a message as sent before sending it, or it may come back as a
// phantom; record its outcome after it is known.
func (w *Writer) Record(events ...Event) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	for _, e := range events {
		if e.Time.IsZero() {
			e.Time = now
		}
		pending, err := appendLine(w.pending, e)
		if err != nil {
			return err
		}
		w.pending = pending
	}
	return w.commit(w.batch)
}

// commit returns when the batch is on disk. The first of its waiters that finds
// nobody writing writes it for all. Called with mu held.
func (w *Writer) commit(batch uint64) error {
	for w.err == nil && w.written <= batch {
		if w.writing {
			w.turned.Wait()
			continue
		}
		lines := w.pending
		w.pending, w.writing = nil, true
		w.batch++
		w.mu.Unlock()
		err := w.write(lines)
		w.mu.Lock()
		w.err, w.written, w.writing = err, w.batch, false
		w.turned.Broadcast()
	}
	return w.err
}

func (w *Writer) write(lines []byte) error {
	if _, err := w.file.Write(lines); err != nil {
		return fmt.Errorf("write ledger: %w", err)
	}
	if err := w.file.Sync(); err != nil {
		return fmt.Errorf("sync ledger: %w", err)
	}
	return nil
}

// Close closes the file. No call of Record may be under way.
func (w *Writer) Close() error { return w.file.Close() }
