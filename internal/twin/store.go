package twin

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// ErrCorrupt is the cause of an error for stored JSON that this package cannot
// have written.
var ErrCorrupt = errors.New("twin: corrupt document")

// Parse reads what [Document.JSONWithMetadata] wrote, or the same form from
// another hub. Metadata that is missing is the zero time; a missing $version
// is 1. The limits are not checked again.
func Parse(s Section, stored json.RawMessage) (Document, error) {
	n, err := readStored(s, stored)
	if err != nil {
		return Document{}, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	d := Document{section: s, version: 1}
	if v := n.child(keyVersion); v != nil {
		if d.version, err = strconv.ParseInt(v.text, 10, 64); err != nil || v.kind != Number {
			return Document{}, fmt.Errorf("%w: $version %s", ErrCorrupt, shorten(v.text))
		}
	}
	metadata := n.child(keyMetadata)
	d.root = writer{}.merge(nil, without(n, keyMetadata, keyVersion))
	if err := d.root.restamp(metadata); err != nil {
		return Document{}, err
	}
	return d, nil
}

// restamp sets the stamps of n, which is not shared yet, from its metadata.
func (n *node) restamp(metadata *node) error {
	if t := metadata.child(keyLastUpdated); t != nil {
		at, err := parseTime(t.text)
		if err != nil {
			return fmt.Errorf("%w: $lastUpdated %s", ErrCorrupt, shorten(t.text))
		}
		n.stamp.at = ticks(at)
	}
	if v := metadata.child(keyLastUpdatedVersion); v != nil {
		version, err := strconv.ParseInt(v.text, 10, 64)
		if err != nil {
			return fmt.Errorf("%w: $lastUpdatedVersion %s", ErrCorrupt, shorten(v.text))
		}
		n.stamp.version = version
	}
	if n.kind != Object {
		return nil
	}
	for _, m := range n.members {
		if err := m.val.restamp(metadata.child(m.key)); err != nil {
			return err
		}
	}
	return nil
}
