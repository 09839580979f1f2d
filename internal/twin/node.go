package twin

import (
	"slices"
	"strings"
	"time"
)

// Kind is the JSON type of a value.
type Kind uint8

// The kinds. A document contains no Null: in a patch it means removal.
const (
	Null Kind = iota
	Bool
	Number
	String
	Array
	Object
)

// String is the name of the type, as JSON has it.
func (k Kind) String() string {
	return [...]string{"null", "boolean", "number", "string", "array", "object"}[k]
}

// A node is one JSON value. Nodes are shared between versions of a document and
// do not change once they are part of one.
type node struct {
	kind    Kind
	text    string   // of a leaf: string decoded, number as written, true or false
	members []member // of an object, sorted by key; of an array, without keys
	size    int      // as the service counts
	stamp   stamp
}

type member struct {
	key string
	val *node
}

// A stamp says when a property was last written, and by which version of the
// document; 0 if that is not kept.
type stamp struct {
	at      time.Time
	version int64
}

func compareKeys(m member, key string) int { return strings.Compare(m.key, key) }

// child finds the member of an object, or nil.
func (n *node) child(key string) *node {
	if n == nil || n.kind != Object {
		return nil
	}
	i, ok := slices.BinarySearchFunc(n.members, key, compareKeys)
	if !ok {
		return nil
	}
	return n.members[i].val
}

// equal compares values and not when they were written.
func (n *node) equal(o *node) bool {
	if n == o {
		return true
	}
	return n.kind == o.kind && n.text == o.text && n.size == o.size &&
		slices.EqualFunc(n.members, o.members, func(a, b member) bool {
			return a.key == b.key && a.val.equal(b.val)
		})
}

// object makes an object of sorted members.
func object(members []member, s stamp) *node {
	n := &node{kind: Object, members: members, stamp: s}
	for _, m := range members {
		n.size += textSize(m.key) + m.val.size
	}
	return n
}
