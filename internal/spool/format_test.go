package spool

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// A store that a newer program wrote is refused as it is, and drained by that program
// afterwards.
func TestL8_AStoreOfANewerProgramIsRefusedAndLeftAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	open := func() (*Store, error) { return Open(dir, Options{BallastBytes: -1, MinFree: -1}) }
	s, err := open()
	if err != nil {
		t.Fatal(err)
	}
	stored := make(chan error, 1)
	s.Append([]Entry{{Queue: "q", Lane: "l", Data: []byte("kept")}}, func(err error) { stored <- err })
	if err := errors.Join(<-stored, s.Close()); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "FORMAT")
	ours, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	newer := []byte("sluice-spool 4\n")
	strange := filepath.Join(dir, "index")
	if err := errors.Join(os.WriteFile(file, newer, 0o600), os.WriteFile(strange, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	var format *FormatError
	for range 2 {
		if _, err := open(); !errors.As(err, &format) || format.Have != "sluice-spool 4" {
			t.Fatalf("of a newer program: %v", err)
		}
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != string(newer) {
		t.Errorf("FORMAT says %q, %v", text, err)
	}
	var foreign *ForeignError
	if err := os.WriteFile(file, ours, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := open(); !errors.As(err, &foreign) || foreign.Entry != "index" {
		t.Errorf("with a file of somebody else's: %v", err)
	}
	if err := os.Remove(strange); err != nil {
		t.Fatal(err)
	}
	if s, err = open(); err != nil {
		t.Fatal(err)
	}
	if n := s.Queue("q").Stats().Records; n != 1 {
		t.Errorf("%d records are left, want 1", n)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// A store that a program of a former format wrote is drained, and is one of the present
// format from then on: what has been stored since is not for the older program.
func TestL8_AStoreOfAFormerFormatIsTakenOver(t *testing.T) {
	for _, former := range formerLines {
		t.Run(former, func(t *testing.T) { takenOver(t, former) })
	}
}

func takenOver(t *testing.T, former string) {
	dir := filepath.Join(t.TempDir(), "spool")
	opt := Options{BallastBytes: -1, MinFree: -1}
	s := open(t, dir, opt)
	put(t, s, entry("a", "l", 0, "kept"), entry("b", "l", 0, "kept")) // equal data, but not shared
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "journal")); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "FORMAT")
	if err := os.WriteFile(file, []byte(former+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, opt)
	if text, err := os.ReadFile(file); err != nil || string(text) != formatLine+"\n" {
		t.Fatalf("FORMAT says %q, %v", text, err)
	}
	put(t, s, sharing("a", "b")...)
	for _, queue := range []string{"a", "b"} {
		l := acquire(t, s.Queue(queue))
		recs := read(t, l, 1)
		if texts(recs) != "kept" {
			t.Errorf("queue %s: read %q", queue, texts(recs))
		}
		l.Ack(recs...)
		l.Release(0)
	}
	wantCopies(t, s, 1)
}
