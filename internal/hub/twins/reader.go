package twins

import (
	"bytes"

	"github.com/cockroachdb/pebble/v2"

	"sluice/internal/hub/storage"
	"sluice/internal/twin"
	"sluice/iot"
)

// A Reader looks up many twins as they were at one moment. It is quick if they are
// asked for in the order of their keys: by device id, and each device before its
// modules. It is for one goroutine, and must be closed.
type Reader struct {
	it   *pebble.Iterator
	last []byte // key that was asked for
}

// NewReader returns a Reader of the twins as they are now.
func (s *Store) NewReader() (storage.TwinReader, error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{twinKey}, UpperBound: []byte{twinKey + 1}})
	if err != nil {
		return nil, failed("read", iot.Identity{}, err)
	}
	it.First()
	return &Reader{it: it}, nil
}

// Close ends the use of r.
func (r *Reader) Close() error {
	if err := r.it.Close(); err != nil {
		return failed("read", iot.Identity{}, err)
	}
	return nil
}

// View is the twin of an identity of this generation, shown with owner. It stays
// good when r goes on.
func (r *Reader) View(owner twin.Owner, id iot.Identity, generation string) (*twin.View, error) {
	value, err := r.find(key(id))
	if err != nil {
		return nil, failed("read", id, err)
	}
	if value == nil {
		return twin.NewView(owner, twin.New(storage.Born(generation))), nil
	}
	stored, ok, err := ofGeneration(value, generation)
	if err == nil && !ok {
		return twin.NewView(owner, twin.New(storage.Born(generation))), nil
	}
	var v *twin.View
	if err == nil {
		v, err = twin.StoredView(owner, stored)
	}
	if err != nil {
		return nil, failed("read", id, err)
	}
	return v, nil
}

// near is how many steps forward are tried before the key is looked up.
const near = 4

// find returns the value at key, or nil. Between calls the iterator is at the
// first key that is not before the last one asked for.
func (r *Reader) find(key []byte) ([]byte, error) {
	if bytes.Compare(key, r.last) < 0 {
		r.it.SeekGE(key)
	}
	r.last = append(r.last[:0], key...)
	for range near {
		if !r.before(key) {
			break
		}
		r.it.Next()
	}
	if r.before(key) {
		r.it.SeekGE(key)
	}
	if !r.it.Valid() || !bytes.Equal(r.it.Key(), key) {
		return nil, r.it.Error()
	}
	return r.it.ValueAndErr()
}

func (r *Reader) before(key []byte) bool {
	return r.it.Valid() && bytes.Compare(r.it.Key(), key) < 0
}
