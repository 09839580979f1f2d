package module

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// patience bounds every wait of the tests.
const patience = 60 * time.Second

func testBook(t testing.TB, size int64, files int) *logbook {
	t.Helper()
	b := newLogbook(filepath.Join(t.TempDir(), "m.log"), slog.New(slog.DiscardHandler))
	b.limit(size, files)
	t.Cleanup(b.close)
	return b
}

// texts reads lines; more than most is an error.
func texts(t *testing.T, b *logbook, q LogQuery) (list []string) {
	t.Helper()
	err := b.read(t.Context(), q, func(l Line) error {
		list = append(list, l.Text)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

var noon = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

func TestLogsAreReadAsTheyWereWritten(t *testing.T) {
	b := testBook(t, 1<<20, 3)
	if got := texts(t, b, LogQuery{Tail: -1}); got != nil {
		t.Errorf("before the first line: %q", got)
	}
	want := []string{"one", "", " two  words ", "drei — drölf", "stdout stdout"}
	for i, text := range want {
		b.add(noon.Add(time.Duration(i)*time.Second), stdout, text)
	}
	for _, tt := range []struct {
		q    LogQuery
		want []string
	}{
		{LogQuery{Tail: -1}, want},
		{LogQuery{Tail: 0}, nil},
		{LogQuery{Tail: 2}, want[3:]},
		{LogQuery{Tail: 100}, want},
		{LogQuery{Tail: -1, Since: noon.Add(2 * time.Second)}, want[2:]},
		{LogQuery{Tail: 2, Since: noon.Add(4 * time.Second)}, want[4:]},
		{LogQuery{Tail: -1, Since: noon.Add(time.Hour)}, nil},
	} {
		if got := texts(t, b, tt.q); !slices.Equal(got, tt.want) {
			t.Errorf("%+v: %q, want %q", tt.q, got, tt.want)
		}
	}
}

func TestStreamsAndTimesOfLines(t *testing.T) {
	b := testBook(t, 1<<20, 3)
	b.stream(stderr).copy(strings.NewReader("oops\nunfinished"))
	var got []Line
	err := b.read(t.Context(), LogQuery{Tail: -1}, func(l Line) error { got = append(got, l); return nil })
	if err != nil || len(got) != 2 {
		t.Fatalf("%v, %v", got, err)
	}
	for i, want := range []string{"oops", "unfinished"} {
		if got[i].Text != want || got[i].Stream != stderr || time.Since(got[i].Time).Abs() > time.Minute {
			t.Errorf("%+v", got[i])
		}
	}
}

func TestLongLinesAreCut(t *testing.T) {
	b := testBook(t, 1<<20, 3)
	long := strings.Repeat("0123456789abcdef", 3*maxLine/16) + "end"
	b.stream(stdout).copy(strings.NewReader(long + "\nnext\n"))
	got := texts(t, b, LogQuery{Tail: -1})
	if n := len(got); n != 5 || got[4] != "next" || strings.Join(got[:4], "") != long {
		t.Errorf("%d lines, the last %.20q", n, got[n-1])
	}
}

func TestLogsAreBounded(t *testing.T) {
	b := testBook(t, 1000, 3)
	for i := range 500 {
		b.add(noon, stdout, fmt.Sprintf("line %d", i))
	}
	files, err := filepath.Glob(b.path + "*")
	if err != nil || len(files) != 3 {
		t.Errorf("files %v, %v", files, err)
	}
	for _, f := range files {
		if info, err := os.Stat(f); err != nil || info.Size() > 1000 {
			t.Errorf("%v, %v", info.Size(), err)
		}
	}
	got := texts(t, b, LogQuery{Tail: -1})
	if len(got) < 40 || got[len(got)-1] != "line 499" {
		t.Errorf("%d lines, the last %q", len(got), got[len(got)-1])
	}
	for i, text := range got {
		if want := fmt.Sprintf("line %d", 500-len(got)+i); text != want {
			t.Fatalf("%q, want %q", text, want)
		}
	}
	one := testBook(t, 100, 1)
	for i := range 10 {
		one.add(noon, stdout, fmt.Sprintf("line %d", i))
	}
	if files, _ := filepath.Glob(one.path + "*"); len(files) != 1 {
		t.Errorf("files %v", files)
	}
}

// Who follows misses nothing, whenever a file is full, as long as it is not slower
// than all the files are long.
func TestFollowersSeeEachLineOnce(t *testing.T) {
	const lines = 3000
	b := testBook(t, 2000, 1000)
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	type result struct {
		seen []string
		err  error
	}
	results := make(chan result)
	for range 3 {
		go func() {
			var r result
			r.err = b.read(ctx, LogQuery{Tail: -1, Follow: true}, func(l Line) error {
				r.seen = append(r.seen, l.Text)
				if len(r.seen) == lines {
					return errEnough
				}
				return nil
			})
			results <- r
		}()
	}
	for i := range lines {
		b.add(time.Now(), stdout, fmt.Sprintf("line %d", i))
	}
	for range 3 {
		r := <-results
		if r.err != errEnough {
			t.Errorf("ended after %d lines: %v", len(r.seen), r.err)
		}
		for i, text := range r.seen {
			if want := fmt.Sprintf("line %d", i); text != want {
				t.Fatalf("%q, want %q", text, want)
			}
		}
	}
}

var errEnough = fmt.Errorf("enough")

func TestFollowersBeginAtTheTail(t *testing.T) {
	b := testBook(t, 1<<20, 3)
	for i := range 10 {
		b.add(noon, stdout, fmt.Sprint(i))
	}
	var got []string
	err := b.read(t.Context(), LogQuery{Tail: 2, Follow: true}, func(l Line) error {
		got = append(got, l.Text)
		if len(got) == 2 {
			go b.add(noon, stdout, "new")
		}
		if len(got) == 3 {
			return errEnough
		}
		return nil
	})
	if err != errEnough || !slices.Equal(got, []string{"8", "9", "new"}) {
		t.Errorf("%q, %v", got, err)
	}
}

// A disk that fails does not stop a module, and its log goes on when the disk does.
func TestLogsOfADiskThatFails(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("directories cannot be put aside there")
	}
	dir := filepath.Join(t.TempDir(), "logs")
	log := new(strings.Builder)
	b := newLogbook(filepath.Join(dir, "m.log"), slog.New(slog.NewTextHandler(log, nil)))
	defer b.close()
	b.add(noon, stdout, "lost")
	b.add(noon, stdout, "lost too")
	if n := strings.Count(log.String(), "cannot be written"); n != 1 {
		t.Errorf("it was said %d times", n)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	b.add(noon, stdout, "kept")
	if got := texts(t, b, LogQuery{Tail: -1}); !slices.Equal(got, []string{"kept"}) {
		t.Errorf("%q", got)
	}
}

func FuzzParseLine(f *testing.F) {
	f.Add("2026-01-31T10:20:30.456789012Z stdout ready")
	f.Add("")
	f.Add("2026-01-31 stdout")
	f.Fuzz(func(t *testing.T, text string) {
		l := parseLine(text)
		if l.Stream == "" {
			if l.Text != text {
				t.Fatalf("%q became %+v", text, l)
			}
			return
		}
		if !strings.HasSuffix(text, " "+l.Stream+" "+l.Text) {
			t.Fatalf("%q became %+v", text, l)
		}
	})
}

func BenchmarkLog(b *testing.B) {
	book := testBook(b, defaultMaxSize, defaultMaxFile)
	line := strings.Repeat("a line as services write them; ", 4)
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for b.Loop() {
		book.add(noon, stdout, line)
	}
}
