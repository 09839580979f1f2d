package twins

import (
	"github.com/cockroachdb/pebble/v2"

	"sluice/internal/hub/storage"
)

// Begin stores the twins of new identities in one synced write: all of them, or,
// with the first error of a Make, none.
func (s *Store) Begin(list []storage.Beginning) error {
	for i := range s.locks {
		s.locks[i].Lock()
		defer s.locks[i].Unlock()
	}
	b := s.db.NewBatch()
	defer b.Close() //nolint:errcheck // committed, or given up
	for i := range list {
		id, generation := list[i].Identity, list[i].Generation
		before, err := s.Get(id, generation) // who was very quick has changed it already
		if err != nil {
			return err
		}
		after, err := list[i].Make(before, s.now())
		if err != nil {
			return err
		}
		value, err := appendValue(nil, generation, after)
		if err == nil {
			err = b.Set(key(id), value, nil)
		}
		if err != nil {
			return failed("store", id, err)
		}
	}
	if err := b.Commit(pebble.Sync); err != nil {
		return failed("store", list[0].Identity, err)
	}
	return nil
}
