package twin

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// Full is the service's JSON of t. It fails only for a time of owner that JSON
// has no form for.
func (t Twin) Full(owner Owner) (json.RawMessage, error) {
	members, err := owner.members()
	if err != nil {
		return nil, fmt.Errorf("twin of %s: %w", owner.DeviceID, err)
	}
	b := append([]byte{'{'}, members...)
	b = append(b, `,"etag":"`+t.ETag()+`","version":`...)
	b = strconv.AppendInt(b, t.Version(), 10)
	b = append(b, `,"tags":`...)
	b = append(b, t.Tags.JSON()...)
	b = append(b, `,"properties":`...)
	return append(t.appendProperties(b), '}'), nil
}

func (t Twin) appendProperties(b []byte) []byte {
	b = append(b, `{"desired":`...)
	b = append(b, t.Desired.JSONWithMetadata()...)
	b = append(b, `,"reported":`...)
	b = append(b, t.Reported.JSONWithMetadata()...)
	return append(b, '}')
}

// A View is a twin as the service shows it, to be asked for single values. A
// view of a stored twin reads what it is asked for and no more. It is for one
// goroutine.
type View struct {
	owner  Owner
	parts  parts
	known  [3]bool // which documents of twin have been read, by Section
	twin   Twin
	broken error
}

// NewView is a view of a twin and its owner.
func NewView(owner Owner, t Twin) *View {
	return &View{owner: owner, twin: t, known: [3]bool{true, true, true}}
}

// StoredView is a view of what [Twin.AppendBinary] wrote. It shares no memory
// with stored. The error is ErrCorrupt; of what is read later, [View.Err] tells.
func StoredView(owner Owner, stored []byte) (*View, error) {
	p, err := split(stored)
	if err != nil {
		return nil, err
	}
	return &View{owner: owner, parts: p, twin: Twin{Revision: p.revision}}, nil
}

// Err is the first error of what was read, or nil. What could not be read is
// taken for absent.
func (v *View) Err() error { return v.broken }

// Lookup finds the value at path in the service's JSON: "tags", "site", or
// "properties", "reported", "$version", or "deviceId". What is not there is
// false; so is a member that the service leaves out when it is empty.
func (v *View) Lookup(path []string) (Value, bool) {
	if len(path) == 0 {
		all, err := v.JSON()
		return v.parse(all, err)
	}
	rest := path[1:]
	switch path[0] {
	case "tags":
		return v.lookupIn(Tags, rest)
	case "properties":
		return v.lookupProperties(rest)
	case "etag":
		return StringValue(v.twin.ETag()).Lookup(rest)
	case "version":
		v.document(Reported)
		return NumberValue(v.twin.Version()).Lookup(rest)
	}
	return v.owner.lookup(path)
}

func (v *View) lookupProperties(path []string) (Value, bool) {
	if len(path) == 0 {
		return v.parse(v.whole().appendProperties(nil), nil)
	}
	section := Reported
	switch path[0] {
	case "desired":
		section = Desired
	case "reported":
	default:
		return Value{}, false
	}
	if len(path) == 1 {
		return v.parse(v.document(section).JSONWithMetadata(), nil)
	}
	return v.lookupIn(section, path[1:])
}

// lookupIn finds a property in a document, if need be without reading all of it.
func (v *View) lookupIn(s Section, path []string) (Value, bool) {
	if v.known[s] || len(path) == 0 || path[0] == keyVersion || path[0] == keyMetadata {
		return v.document(s).Lookup(path)
	}
	found, ok, err := scan(v.parts.bodies[s], path)
	if err != nil {
		v.fail(fmt.Errorf("%w: %s: %w", ErrCorrupt, s, err))
	}
	return found, ok
}

func (v *View) fail(err error) {
	if v.broken == nil {
		v.broken = err
	}
}

func (v *View) parse(text []byte, err error) (Value, bool) {
	if err != nil {
		return Value{}, false
	}
	value, err := ParseValue(text)
	return value, err == nil
}

// JSON is the whole as the service shows it.
func (v *View) JSON() (json.RawMessage, error) {
	t := v.whole()
	if v.broken != nil {
		return nil, v.broken
	}
	return t.Full(v.owner)
}

func (v *View) whole() Twin {
	v.document(Tags)
	v.document(Desired)
	v.document(Reported)
	return v.twin
}

// document reads the document of a section when it is first asked for.
func (v *View) document(s Section) Document {
	at := v.twin.section(s)
	if v.known[s] {
		return *at
	}
	d, err := v.parts.document(s)
	if err != nil {
		v.fail(err)
	}
	*at, v.known[s] = d, true
	return d
}

func (t *Twin) section(s Section) *Document {
	switch s {
	case Desired:
		return &t.Desired
	case Reported:
		return &t.Reported
	}
	return &t.Tags
}
