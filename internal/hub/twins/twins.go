// Package twins stores the twins of a hub's identities.
//
// A twin belongs to one generation of an identity: one that was deleted and made
// again begins with a new twin, whatever a crash left of the old one. A change is
// on stable storage before [Store.Update] returns, and before anybody sees it.
//
// The twin that nobody has changed is not stored. It is as old as its identity,
// which the generation says: see [Born].
//
// Keys in the database begin with the byte 't', followed by the device id and,
// for a module, a zero byte and the module id. A value is the generation, after
// its length as a uvarint, and the twin in the form of [twin.Twin.AppendBinary],
// which a query reads in parts.
package twins

import (
	"encoding/binary"
	"errors"
	"hash/maphash"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"sluice/internal/hub/storage"
	"sluice/internal/twin"
	"sluice/iot"
)

// A Store holds twins. Its methods may be called from any goroutine.
type Store struct {
	db    *pebble.DB
	now   func() time.Time
	seed  maphash.Seed
	locks [64]sync.Mutex // by identity, held over a change
}

var _ storage.Twins = (*Store)(nil)

// New returns the twins that are in db, which stays the caller's to close, after
// the last use of the Store. A nil now is time.Now.
func New(db *pebble.DB, now func() time.Time) *Store {
	if now == nil {
		now = time.Now
	}
	return &Store{db: db, now: now, seed: maphash.MakeSeed()}
}

// Get returns the twin of an identity of this generation: a new one if none is
// stored.
func (s *Store) Get(id iot.Identity, generation string) (t twin.Twin, err error) {
	value, closer, err := s.db.Get(key(id))
	if errors.Is(err, pebble.ErrNotFound) {
		return twin.New(storage.Born(generation)), nil
	}
	if err != nil {
		return twin.Twin{}, failed("read", id, err)
	}
	defer func() { _ = closer.Close() }() // only gives the value back
	stored, ok, err := ofGeneration(value, generation)
	if err == nil && ok {
		err = t.UnmarshalBinary(stored)
	}
	switch {
	case err != nil:
		return twin.Twin{}, failed("read", id, err)
	case !ok:
		return twin.New(storage.Born(generation)), nil
	}
	return t, nil
}

// appendValue appends what is stored of a twin.
func appendValue(b []byte, generation string, t twin.Twin) ([]byte, error) {
	b = binary.AppendUvarint(b, uint64(len(generation)))
	b = append(b, generation...)
	return t.AppendBinary(b)
}

// ofGeneration is the twin in a value, if it is of this generation.
func ofGeneration(value []byte, generation string) (stored []byte, ok bool, err error) {
	n, width := binary.Uvarint(value)
	if width <= 0 || n > uint64(len(value)-width) {
		return nil, false, twin.ErrCorrupt
	}
	end := width + int(n)
	return value[end:], string(value[width:end]) == generation, nil
}

// Update replaces the twin by what change makes of it. Once that is stored it
// calls stored, if it is not nil, before another change of the same twin begins.
// An error of change is returned as it is, and nothing is changed then.
func (s *Store) Update(id iot.Identity, generation string, change func(twin.Twin, time.Time) (twin.Twin, error), stored func(twin.Twin)) (twin.Twin, error) {
	lock := &s.locks[maphash.Comparable(s.seed, id)%uint64(len(s.locks))]
	lock.Lock()
	defer lock.Unlock()
	before, err := s.Get(id, generation)
	if err != nil {
		return twin.Twin{}, err
	}
	after, err := change(before, s.now())
	if err != nil {
		return twin.Twin{}, err
	}
	value, err := appendValue(nil, generation, after)
	if err == nil {
		err = s.db.Set(key(id), value, pebble.Sync)
	}
	if err != nil {
		return twin.Twin{}, failed("store", id, err)
	}
	if stored != nil {
		stored(after)
	}
	return after, nil
}

// Delete forgets the twin of an identity that is no more.
func (s *Store) Delete(id iot.Identity) error {
	if err := s.db.Delete(key(id), pebble.NoSync); err != nil {
		return failed("delete", id, err)
	}
	return nil
}

const twinKey = 't'

func key(id iot.Identity) []byte {
	k := append([]byte{twinKey}, id.Device...)
	if id.IsModule() {
		k = append(k, 0)
		k = append(k, id.Module...)
	}
	return k
}

func failed(what string, id iot.Identity, err error) error {
	return &iot.Error{Kind: iot.Internal, Op: "twin " + what, Identity: id, Err: err}
}
