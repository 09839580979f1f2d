package twin

import (
	"encoding/json"
	"strconv"
)

// Value is one JSON value to be read: of a document, or of any JSON by
// [ParseValue]. The zero Value is null.
type Value struct{ n *node }

// ParseValue reads any JSON value that is not nested more than 64 deep. It need
// not follow the rules of twins.
func ParseValue(text json.RawMessage) (Value, error) {
	r := &reader{text: string(text), section: noSection}
	n, err := readWhole(r)
	return Value{n}, err
}

// StringValue is the value of a string.
func StringValue(s string) Value { return Value{&node{kind: String, text: s, size: textSize(s)}} }

// NumberValue is the value of an integer.
func NumberValue(n int64) Value {
	return Value{&node{kind: Number, text: strconv.FormatInt(n, 10), size: numberSize}}
}

// BoolValue is the value true or false.
func BoolValue(b bool) Value {
	return Value{&node{kind: Bool, text: strconv.FormatBool(b), size: boolSize}}
}

// Kind is the JSON type of v.
func (v Value) Kind() Kind {
	if v.n == nil {
		return Null
	}
	return v.n.kind
}

// Text is a string as it is meant, a number as it was written, true or false;
// of other kinds it is empty.
func (v Value) Text() string {
	if v.n == nil {
		return ""
	}
	return v.n.text
}

// Len is the number of members of an object or items of an array, else 0.
func (v Value) Len() int {
	if v.n == nil {
		return 0
	}
	return len(v.n.members)
}

// Lookup follows path into objects by key and into arrays by index, and reports
// whether there is something. The empty path is v itself.
func (v Value) Lookup(path []string) (Value, bool) {
	n := v.n
	for _, key := range path {
		if n = n.at(key); n == nil {
			return Value{}, false
		}
	}
	return Value{n}, n != nil
}

// at is the member of an object or the item of an array, or nil.
func (n *node) at(key string) *node {
	if n == nil || n.kind != Array {
		return n.child(key)
	}
	i, err := strconv.Atoi(key)
	if err != nil || i < 0 || i >= len(n.members) {
		return nil
	}
	return n.members[i].val
}

// AppendJSON appends v to b in canonical form.
func (v Value) AppendJSON(b []byte) []byte {
	if v.n == nil {
		return append(b, "null"...)
	}
	return appendValue(b, v.n)
}

// Lookup finds the property at path, as [Value.Lookup] does, and what the
// service shows besides: $version, and $metadata with $lastUpdated in it.
func (d Document) Lookup(path []string) (Value, bool) {
	if len(path) > 0 && d.section != Tags {
		switch path[0] {
		case keyVersion:
			return NumberValue(d.version).Lookup(path[1:])
		case keyMetadata:
			return d.lookupMetadata(path[1:])
		}
	}
	return Value{d.object()}.Lookup(path)
}

// lookupMetadata finds the last update of a property without making the
// metadata of all, which is what most questions are about.
func (d Document) lookupMetadata(path []string) (Value, bool) {
	if len(path) > 0 {
		name := path[len(path)-1]
		n, ok := Value{d.object()}.Lookup(path[:len(path)-1])
		switch {
		case name == keyLastUpdated && ok:
			return StringValue(n.n.stamp.at.Format(timeFormat)), true
		case name == keyLastUpdatedVersion && ok && n.n.stamp.version != 0:
			return NumberValue(n.n.stamp.version), true
		}
	}
	all, err := ParseValue(appendMetadata(nil, d.object()))
	if err != nil {
		return Value{}, false // deeper than what is read; no document is
	}
	return all.Lookup(path)
}
