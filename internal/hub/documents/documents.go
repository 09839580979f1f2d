// Package documents keeps a hub's documents in a Pebble database that its other rooms
// share. A key there is the document's own.
package documents

import (
	"github.com/cockroachdb/pebble/v2"

	"sluice/internal/disk"
	"sluice/internal/hub/storage"
)

// A Store holds the documents of one hub. Its methods may be called from any goroutine.
type Store struct{ db *pebble.DB }

var _ storage.Documents = Store{}

// New returns the documents that are in db, which stays the caller's to close, after
// the last use of the Store.
func New(db *pebble.DB) Store { return Store{db} }

// Write implements [storage.Documents].
func (s Store) Write(b storage.Batch) error { return s.commit(b, pebble.Sync) }

// Note implements [storage.Documents].
func (s Store) Note(b storage.Batch) error { return s.commit(b, pebble.NoSync) }

func (s Store) commit(list storage.Batch, when *pebble.WriteOptions) error {
	b := s.db.NewBatch()
	defer b.Close() //nolint:errcheck // committed, or given up
	if err := Append(b, list); err != nil {
		return err
	}
	return b.Commit(when)
}

// Append makes changes of documents a part of a batch of the database's, so that they
// are made together with others.
func Append(b *pebble.Batch, list storage.Batch) error {
	for _, e := range list {
		var err error
		switch {
		case e.To != nil:
			err = b.DeleteRange(e.Key, e.To, nil)
		case e.Value == nil:
			err = b.Delete(e.Key, nil)
		default:
			err = b.Set(e.Key, e.Value, nil)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Scan implements [storage.Documents].
func (s Store) Scan(from, to []byte, visit func(key, value []byte) (more bool, err error)) error {
	return disk.Scan(s.db, from, to, visit)
}
