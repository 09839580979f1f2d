package module

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"
)

// Limits of logs that a deployment does not set.
const (
	defaultMaxSize = 10 << 20 // bytes of a file
	defaultMaxFile = 3        // files
)

// maxLine is the longest line that is kept in one piece, in bytes.
const maxLine = 16 << 10

// A logbook is what a module writes: a file of lines, which becomes PATH.1, PATH.2
// and so on when it is full. It may be written and read at the same time.
//
// A line in the file has the time, in UTC, the stream, and the text:
//
//	2026-01-31T10:20:30.456789012Z stdout ready
type logbook struct {
	path string
	log  *slog.Logger

	mu      sync.Mutex
	file    *os.File // nil after a failure; the next line tries again
	size    int64
	turn    int           // how many files have been begun
	news    chan struct{} // closed and replaced when there is more to read
	failing bool
	maxSize int64
	maxFile int
}

func newLogbook(path string, log *slog.Logger) *logbook {
	return &logbook{path: path, log: log, news: make(chan struct{}), maxSize: defaultMaxSize, maxFile: defaultMaxFile}
}

// limit sets when a file is full, in bytes, and how many are kept.
func (b *logbook) limit(size int64, files int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.maxSize, b.maxFile = size, files
}

// add writes a line. A disk that fails does not stop the module: its lines are lost,
// and the gateway's log says so once.
func (b *logbook) add(now time.Time, name, text string) {
	line := now.UTC().Format(stamp) + " " + name + " " + text + "\n"
	b.mu.Lock()
	defer b.mu.Unlock()
	err := b.write(line)
	if err != nil && !b.failing {
		b.log.Error("a module's log cannot be written; its lines are lost", "file", b.path, "err", err)
	}
	b.failing = err != nil
	close(b.news)
	b.news = make(chan struct{})
}

func (b *logbook) write(line string) error {
	if b.file != nil && b.size > 0 && b.size+int64(len(line)) > b.maxSize {
		if err := b.rotate(); err != nil {
			return err
		}
	}
	if b.file == nil {
		if err := b.begin(); err != nil {
			return err
		}
	}
	n, err := b.file.WriteString(line)
	b.size += int64(n)
	return err
}

// begin opens the file, to be written at its end.
func (b *logbook) begin() (err error) {
	b.file, err = os.OpenFile(b.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	info, err := b.file.Stat()
	if err == nil {
		b.size = info.Size()
	}
	return err
}

// rotate puts the file aside and begins the next.
func (b *logbook) rotate() error {
	if err := b.file.Close(); err != nil {
		return err
	}
	b.file = nil
	b.turn++
	if err := os.Remove(b.part(b.maxFile - 1)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for i := b.maxFile - 1; i > 0; i-- {
		if err := os.Rename(b.part(i-1), b.part(i)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return b.begin()
}

// part is the file of some turns ago.
func (b *logbook) part(age int) string {
	if age == 0 {
		return b.path
	}
	return fmt.Sprintf("%s.%d", b.path, age)
}

// close closes the file. A line that comes later opens it again.
func (b *logbook) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.file != nil {
		_ = b.file.Close() // each line was written
		b.file = nil
	}
}

// The streams of a module.
const (
	stdout = "stdout"
	stderr = "stderr"
)

// A stream is one of the two outputs of a module.
type stream struct {
	book *logbook
	name string
}

func (b *logbook) stream(name string) *stream { return &stream{b, name} }

// copy adds what it reads, line by line, until there is no more. Longer lines than
// maxLine are cut into pieces.
func (s *stream) copy(r io.Reader) {
	lines := bufio.NewReaderSize(r, maxLine)
	for {
		line, err := lines.ReadSlice('\n')
		if n := len(line); n > 0 {
			if line[n-1] == '\n' {
				line = line[:n-1]
			}
			s.book.add(time.Now(), s.name, string(line))
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
	}
}
