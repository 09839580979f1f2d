package twin

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"sluice/iot"
)

// ErrCorrupt is the cause of an error for stored JSON that this package cannot
// have written.
var ErrCorrupt = errors.New("twin: corrupt document")

// Parse reads what [Document.JSONWithMetadata] wrote, or the same form from
// another hub. Metadata that is missing is the zero time; a missing $version
// is 1. The limits are not checked again.
func Parse(s Section, stored json.RawMessage) (Document, error) {
	return parseStored(s, string(stored))
}

func parseStored(s Section, stored string) (Document, error) {
	n, err := readStored(s, stored)
	if err != nil {
		return Document{}, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	properties, err := bare(n)
	if err != nil {
		return Document{}, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	d := Document{section: s, version: 1}
	if v := n.child(keyVersion); v != nil {
		if d.version, err = strconv.ParseInt(v.text, 10, 64); err != nil || v.kind != Number {
			return Document{}, fmt.Errorf("%w: $version %s", ErrCorrupt, shorten(v.text))
		}
	}
	d.root = writer{}.merge(nil, properties)
	if err := d.root.restamp(n.child(keyMetadata)); err != nil {
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

// readBare reads properties that another hub has checked.
func readBare(s Section, text json.RawMessage) (*node, error) {
	n, err := readStored(s, string(text))
	if err != nil {
		return nil, err
	}
	if n, err = bare(n); err != nil {
		return nil, iot.Errorf(iot.Invalid, opPatch, iot.Identity{}, "%s: %v", s, err)
	}
	return n, nil
}

// bare is n without what is not a property. A property with the name of
// metadata, which no hub accepts, could not be told from it when it is stored.
func bare(n *node) (*node, error) {
	kept := slices.DeleteFunc(slices.Clone(n.members), func(m member) bool {
		return m.key == keyMetadata || m.key == keyVersion
	})
	properties := object(kept, stamp{})
	if name := properties.reserved(); name != "" {
		return nil, fmt.Errorf("a property is named %s", name)
	}
	return properties, nil
}

// reserved finds a property within n that has a name of metadata.
func (n *node) reserved() string {
	if n.kind != Object {
		return ""
	}
	for _, m := range n.members {
		if m.key == keyLastUpdated || m.key == keyLastUpdatedVersion {
			return m.key
		}
		if name := m.val.reserved(); name != "" {
			return name
		}
	}
	return ""
}
