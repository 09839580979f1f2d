package storagetest

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"sluice/internal/hub/storage"
)

// Documents tests an implementation of [storage.Documents].
func Documents(t *testing.T, start Start[storage.Documents]) {
	t.Run("a write survives a power cut, made in its order", func(t *testing.T) {
		s, powerCut := start(t)
		var b storage.Batch
		for _, key := range []string{"ka", "kb", "kc", "kd", "l"} {
			b.Set([]byte(key), []byte("1"))
		}
		b.Delete([]byte("ka"))
		b.Delete([]byte("nothing"))
		b.DeleteRange([]byte("kb"), []byte("kd"))
		b.Set([]byte("kc"), []byte("2"))
		must(t, s.Write(b))
		wantDocuments(t, s, "kc=2 kd=1")
		wantDocuments(t, powerCut(), "kc=2 kd=1")
	})
	t.Run("a note is seen, and is durable with the next write", func(t *testing.T) {
		s, powerCut := start(t)
		must(t, s.Note(storage.Batch{{Key: []byte("ka"), Value: []byte("1")}}))
		wantDocuments(t, s, "ka=1")
		must(t, s.Write(storage.Batch{{Key: []byte("kb"), Value: []byte("2")}}))
		wantDocuments(t, powerCut(), "ka=1 kb=2")
	})
	t.Run("a scan ends when visit has had enough, or fails", func(t *testing.T) {
		s, _ := start(t)
		must(t, s.Write(storage.Batch{{Key: []byte("ka"), Value: []byte("1")}, {Key: []byte("kb"), Value: []byte("2")}}))
		wrong := errors.New("wrong")
		for _, end := range []error{nil, wrong} {
			visits := 0
			err := s.Scan([]byte("k"), []byte("l"), func([]byte, []byte) (bool, error) {
				visits++
				return false, end
			})
			if !errors.Is(err, end) || visits != 1 {
				t.Errorf("it ended after %d visits with %v, want 1 and %v", visits, err, end)
			}
		}
	})
	t.Run("a scan sees what was there when it began", func(t *testing.T) {
		s, _ := start(t)
		must(t, s.Write(storage.Batch{{Key: []byte("ka"), Value: []byte("1")}, {Key: []byte("kb"), Value: []byte("2")}}))
		var seen []string
		must(t, s.Scan([]byte("k"), []byte("l"), func(key, value []byte) (bool, error) {
			seen = append(seen, fmt.Sprintf("%s=%s", key, value))
			return true, s.Write(storage.Batch{{Key: []byte("kb"), Value: []byte("3")}, {Key: []byte("kc"), Value: []byte("4")}})
		}))
		if got := strings.Join(seen, " "); got != "ka=1 kb=2" {
			t.Errorf("it saw %q", got)
		}
		wantDocuments(t, s, "ka=1 kb=3 kc=4")
	})
}

// wantDocuments compares the documents of the kind k.
func wantDocuments(t *testing.T, s storage.Documents, want string) {
	t.Helper()
	var list []string
	must(t, s.Scan([]byte("k"), []byte("l"), func(key, value []byte) (bool, error) {
		list = append(list, fmt.Sprintf("%s=%s", key, value))
		return true, nil
	}))
	if got := strings.Join(list, " "); got != want {
		t.Errorf("there is %q, want %q", got, want)
	}
}
