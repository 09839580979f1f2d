package twin

import "encoding/json"

// Diff returns the smallest patch that makes d equal to next: properties that
// next lacks are null. It is {} if they are equal.
func (d Document) Diff(next Document) json.RawMessage {
	return appendValue(nil, diff(d.object(), next.object()))
}

// Change is what a device is told when before has become d: their [Document.Diff],
// with the $version of d.
func (d Document) Change(before Document) json.RawMessage {
	return d.appendVersion(appendOpen(nil, diff(before.object(), d.object())))
}

// diff compares two objects. Two values that are both objects are compared
// within; any others are replaced. A patch can always say it, because no
// document contains null.
func diff(from, to *node) *node {
	var changes []member
	eachKey(from.members, to.members, func(key string, was, is *node) {
		switch {
		case is == nil:
			changes = append(changes, member{key, &node{kind: Null}})
		case was == nil:
			changes = append(changes, member{key, is})
		case was.equal(is):
		case was.kind == Object && is.kind == Object:
			changes = append(changes, member{key, diff(was, is)})
		default:
			changes = append(changes, member{key, is})
		}
	})
	return object(changes, stamp{})
}

// Join makes one patch of two that follow each other: to apply it is to apply
// first and then second, whatever the document. It keeps nulls.
//
// It is not always possible. If first removes a property or sets it to
// something that is no object, and second sets members of it, then no single
// patch says "and nothing else of what was there before"; ok is false, and the
// two must be sent as they are.
func Join(first, second json.RawMessage) (joined json.RawMessage, ok bool, err error) {
	a, err := readPatch(Reported, first)
	if err != nil {
		return nil, false, err
	}
	b, err := readPatch(Reported, second)
	if err != nil {
		return nil, false, err
	}
	both, ok := join(a, b)
	if !ok {
		return nil, false, nil
	}
	return appendValue(nil, both), true, nil
}

func join(first, second *node) (*node, bool) {
	if second.kind != Object {
		return second, true
	}
	if first.kind != Object {
		return nil, false
	}
	possible := true
	joined := make([]member, 0, len(first.members)+len(second.members))
	eachKey(first.members, second.members, func(key string, before, after *node) {
		both := before
		switch {
		case before == nil:
			both = after
		case after != nil:
			var ok bool
			both, ok = join(before, after)
			possible = possible && ok
		}
		joined = append(joined, member{key, both})
	})
	if !possible {
		return nil, false
	}
	return object(joined, stamp{}), true
}
