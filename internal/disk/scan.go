package disk

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// Scan visits the keys in [from, to) in order, until visit wants no more or returns an
// error. Keys and values are the database's, and good until visit returns.
func Scan(db pebble.Reader, from, to []byte, visit func(key, value []byte) (more bool, err error)) (err error) {
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		if more, err := visit(it.Key(), value); err != nil || !more {
			return err
		}
	}
	return it.Error()
}

// Each visits all keys that begin with prefix, whose last byte is not 0xff, in order. An
// error of visit ends it, and comes back with the key.
func Each(db pebble.Reader, prefix []byte, visit func(key, value []byte) error) error {
	to := append([]byte(nil), prefix...)
	to[len(to)-1]++
	return Scan(db, prefix, to, func(key, value []byte) (more bool, err error) {
		if err := visit(key, value); err != nil {
			return false, fmt.Errorf("key %q: %w", key, err)
		}
		return true, nil
	})
}
