package twin

import (
	"cmp"
	"strings"
)

// A writer applies patches, and stamps what they touch: the properties, and
// every object above them.
type writer struct{ stamp stamp }

// merge returns old with patch applied. old may be nil and is not changed;
// patch may end up as part of the result. Neither is deeper than a reader
// allows, so the recursion is bounded.
func (w writer) merge(old, patch *node) *node {
	if patch.kind != Object {
		patch.stamp = w.stamp
		return patch
	}
	var before []member
	if old != nil && old.kind == Object {
		before = old.members
	}
	merged := make([]member, 0, len(before)+len(patch.members))
	eachKey(before, patch.members, func(key string, was, change *node) {
		switch {
		case change == nil:
			merged = append(merged, member{key, was})
		case change.kind != Null:
			merged = append(merged, member{key, w.merge(was, change)})
		}
	})
	return object(merged, w.stamp)
}

// eachKey walks two sorted lists of members side by side. A side that lacks the
// key is nil.
func eachKey(a, b []member, visit func(key string, inA, inB *node)) {
	for len(a) > 0 || len(b) > 0 {
		switch order := compareFirst(a, b); {
		case order < 0:
			visit(a[0].key, a[0].val, nil)
			a = a[1:]
		case order > 0:
			visit(b[0].key, nil, b[0].val)
			b = b[1:]
		default:
			visit(a[0].key, a[0].val, b[0].val)
			a, b = a[1:], b[1:]
		}
	}
}

func compareFirst(a, b []member) int {
	if len(a) == 0 || len(b) == 0 {
		return cmp.Compare(len(b), len(a))
	}
	return strings.Compare(a[0].key, b[0].key)
}
