package module

import (
	"bufio"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"
)

// stamp is how a line's time is written: of one length, in UTC.
const stamp = "2006-01-02T15:04:05.000000000Z"

// A Line is one that a module wrote.
type Line struct {
	Time   time.Time
	Stream string // stdout or stderr
	Text   string
}

func parseLine(text string) Line {
	when, rest, _ := strings.Cut(text, " ")
	at, err := time.Parse(stamp, when)
	stream, body, ok := strings.Cut(rest, " ")
	if err != nil || !ok || stream == "" {
		return Line{Text: text} // of somebody else's making
	}
	return Line{Time: at, Stream: stream, Text: body}
}

// A LogQuery says which lines of a module are wanted.
type LogQuery struct {
	Tail   int       // the last so many; negative for all
	Since  time.Time // those from then on
	Follow bool      // those to come too
}

// read calls each for the lines that a query wants, in order, until there are no
// more, or with Follow until ctx ends or each fails.
func (b *logbook) read(ctx context.Context, q LogQuery, each func(Line) error) error {
	c, err := b.open()
	if err != nil {
		return err
	}
	defer c.close()
	last := tail{limit: q.Tail}
	err = c.lines(func(l Line) error {
		if l.Time.Before(q.Since) {
			return nil
		}
		if q.Tail < 0 {
			return each(l)
		}
		last.add(l)
		return nil
	})
	if err == nil {
		err = last.each(each)
	}
	for err == nil && q.Follow {
		news := b.newsAfter(c)
		select {
		case <-news:
		case <-ctx.Done():
			return nil
		}
		err = c.lines(each)
	}
	return err
}

// A tail keeps the last lines.
type tail struct {
	limit int
	kept  []Line
}

func (t *tail) add(l Line) {
	if t.limit == 0 {
		return
	}
	if len(t.kept) >= 2*t.limit {
		t.kept = append(t.kept[:0], t.kept[len(t.kept)-t.limit:]...)
	}
	t.kept = append(t.kept, l)
}

func (t *tail) each(do func(Line) error) error {
	for _, l := range t.kept[max(0, len(t.kept)-max(t.limit, 0)):] {
		if err := do(l); err != nil {
			return err
		}
	}
	return nil
}

// A cursor is a place in a logbook: a file, which may have been put aside since, and
// a place in it.
type cursor struct {
	book *logbook
	turn int
	file *os.File // nil if there was none yet
	from *bufio.Reader
	rest string // the beginning of a line whose end is not there yet
}

// open begins with the oldest file.
func (b *logbook) open() (*cursor, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for age := b.maxFile - 1; age >= 0; age-- {
		f, err := os.Open(b.part(age))
		switch {
		case err == nil:
			return &cursor{book: b, turn: b.turn - age, file: f, from: bufio.NewReader(f)}, nil
		case !errors.Is(err, fs.ErrNotExist):
			return nil, err
		}
	}
	return &cursor{book: b, turn: b.turn}, nil
}

func (c *cursor) close() {
	if c.file != nil {
		_ = c.file.Close() // was only read
	}
}

// lines calls each for what there is to read.
func (c *cursor) lines(each func(Line) error) error {
	for {
		if err := c.current(each); err != nil {
			return err
		}
		more, err := c.next()
		if err != nil || !more {
			return err
		}
	}
}

// current reads the file at hand to its end.
func (c *cursor) current(each func(Line) error) error {
	for c.file != nil {
		text, err := c.from.ReadString('\n')
		c.rest += text
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		line := c.rest[:len(c.rest)-1]
		c.rest = ""
		if err := each(parseLine(line)); err != nil {
			return err
		}
	}
	return nil
}

// next goes on to the following file if the one at hand was put aside and read to
// its end, and reports whether there is something to read.
func (c *cursor) next() (bool, error) {
	b := c.book
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.file != nil && c.turn == b.turn {
		return false, nil
	}
	if c.file != nil {
		// It may have grown between its end and its being put aside.
		if at, err := c.file.Seek(0, io.SeekCurrent); err == nil {
			if info, err := c.file.Stat(); err == nil && info.Size() > at {
				return true, nil
			}
		}
		c.turn++
	}
	c.turn = max(c.turn, b.turn-b.maxFile+1) // those before are gone
	f, err := os.Open(b.part(b.turn - c.turn))
	if errors.Is(err, fs.ErrNotExist) && c.file == nil {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	c.close()
	c.file, c.from, c.rest = f, bufio.NewReader(f), ""
	return true, nil
}

// newsAfter is closed when there is, or may be, more than a cursor has read.
func (b *logbook) newsAfter(c *cursor) <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	at, size := int64(0), int64(0)
	if c.file != nil {
		at, _ = c.file.Seek(0, io.SeekCurrent)
		if info, err := c.file.Stat(); err == nil {
			size = info.Size()
		}
	}
	if c.turn != b.turn || size > at || c.file == nil && b.file != nil {
		now := make(chan struct{})
		close(now)
		return now
	}
	return b.news
}
