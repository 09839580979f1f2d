package leafwire

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"sluice/iot"
)

// Why a leaf id is refused, besides [iot.ValidateID]'s reasons.
var (
	ErrReserved  = errors.New("is the edge device's, or of a form that the system keeps for itself")
	ErrAmbiguous = errors.New("contains a mark that means something in a topic or URL (% + # ?), or is a path (. or ..)")
	ErrNotUTF8   = errors.New("is not UTF-8")
)

// ValidateLeaf checks the id of a leaf of an edge device. It must be the id of a
// device, as a hub takes it, and must not mean another identity to anybody on the
// way: not the edge device's own id, in any case of letters; nothing that begins
// with a dollar sign, as the system's modules do; nothing that reads differently
// once it is decoded from a topic or a URL. No id has a slash, so none is that of
// a module.
func ValidateLeaf(leaf, edgeDevice string) error {
	if !utf8.ValidString(leaf) {
		return ErrNotUTF8
	}
	if err := iot.ValidateID(leaf); err != nil {
		return err
	}
	switch {
	case strings.EqualFold(leaf, edgeDevice), strings.HasPrefix(leaf, "$"):
		return ErrReserved
	case strings.ContainsAny(leaf, "%+#?"), leaf == ".", leaf == "..":
		return ErrAmbiguous
	}
	return nil
}

// Leaf returns the leaf id of a message; "" and false if there is none. It is not
// validated. Two ids that differ are an error: what reads the first would act for
// another leaf than what reads the last.
func Leaf(m *iot.Message) (id string, found bool, err error) { return only(m, LeafProperty) }

// Module returns the translator that a message names; "" if none.
func Module(m *iot.Message) (id string, err error) {
	id, _, err = only(m, ModuleProperty)
	return id, err
}

// Type returns the [TypeProperty] of a message; "" for telemetry.
func Type(m *iot.Message) (string, error) {
	t, _, err := only(m, TypeProperty)
	return t, err
}

// only returns the value of a property in whatever case its name is.
func only(m *iot.Message, name string) (value string, found bool, err error) {
	for _, p := range m.Properties {
		if !strings.EqualFold(p.Key, name) {
			continue
		}
		if found && p.Value != value {
			return "", true, fmt.Errorf("property %s is there twice", name)
		}
		value, found = p.Value, true
	}
	return value, found, nil
}

// Strip removes the properties that say whom a message is of, and leaves the
// leaf's own.
func Strip(p iot.Properties) iot.Properties {
	var kept iot.Properties
	for _, v := range p {
		if !strings.EqualFold(v.Key, LeafProperty) && !strings.EqualFold(v.Key, ModuleProperty) {
			kept = append(kept, v)
		}
	}
	return kept
}
