package twin

import (
	"encoding/json"
	"time"
)

// Section says which part of a twin a document is. It decides the size limit
// and what metadata is kept.
type Section uint8

// The sections of a twin.
const (
	Desired  Section = iota // set by the service, seen by the device
	Reported                // set by the device
	Tags                    // the service's own; they have no version and no metadata

	noSection // JSON that is no document
)

// String is the path of the section in the service's twin.
func (s Section) String() string {
	return [...]string{"properties.desired", "properties.reported", "tags", "JSON"}[s]
}

func (s Section) limit() int {
	if s == Tags {
		return MaxTagsSize
	}
	return MaxPropertiesSize
}

// Document is one version of the tags, desired or reported properties of a
// twin. It is a value: copy it freely, use it from any goroutine. The zero
// Document is the empty version 0 of desired properties.
type Document struct {
	section Section
	version int64
	root    *node // nil for the zero Document
}

// NewDocument is the empty version 1 that a new twin has.
func NewDocument(s Section, now time.Time) Document {
	return Document{section: s, version: 1, root: object(nil, stamp{at: ticks(now)})}
}

// Received makes the document that another hub says is now at version. body is
// bare JSON, as the device sees it. It is not held to the limits, as the hub has
// done that; it must be a JSON object, or it is Invalid.
func Received(s Section, body json.RawMessage, version int64, now time.Time) (Document, error) {
	n, err := readBare(s, body)
	if err != nil {
		return Document{}, err
	}
	w := writer{stamp{at: ticks(now), version: s.stampVersion(version)}}
	return Document{section: s, version: version, root: w.merge(nil, n)}, nil
}

// Merge applies a merge patch and returns the next version. The error is an
// [iot.Error] whose detail names the property: Invalid if the patch is not a JSON
// object or breaks a rule, TooLarge if the document would be.
func (d Document) Merge(patch json.RawMessage, now time.Time) (Document, error) {
	return d.write(d.root, patch, now)
}

// Replace makes body the whole document and returns it as the next version.
// Nulls in body are left out. The errors are those of Merge.
func (d Document) Replace(body json.RawMessage, now time.Time) (Document, error) {
	return d.write(nil, body, now)
}

func (d Document) write(base *node, patch json.RawMessage, now time.Time) (Document, error) {
	p, err := readPatch(d.section, patch)
	if err != nil {
		return d, err
	}
	next := d.next(base, p, d.version+1, now)
	if err := checkSize(d.section, d.Size(), next.Size()); err != nil {
		return d, err
	}
	return next, nil
}

// Follow applies a patch that another hub has accepted and numbered. It is not
// held to the limits. Whether version is the one that comes next is for the
// caller to decide: if not, patches are missing and the whole document must be
// fetched.
func (d Document) Follow(patch json.RawMessage, version int64, now time.Time) (Document, error) {
	p, err := readBare(d.section, patch)
	if err != nil {
		return d, err
	}
	return d.next(d.root, p, version, now), nil
}

func (d Document) next(base, patch *node, version int64, now time.Time) Document {
	w := writer{stamp{at: ticks(now), version: d.section.stampVersion(version)}}
	return Document{section: d.section, version: version, root: w.merge(base, patch)}
}

// Section is the part of a twin that d is.
func (d Document) Section() Section { return d.section }

// Version counts the patches that were accepted, from 1. For tags, which show
// none, it is kept all the same.
func (d Document) Version() int64 { return d.version }

// Size is the size of d in bytes, as the service counts against its limits.
func (d Document) Size() int {
	if d.root == nil {
		return 0
	}
	return d.root.size
}

// Updated is when d was last written, or the zero time.
func (d Document) Updated() time.Time {
	if d.root == nil {
		return time.Time{}
	}
	return d.root.stamp.at
}

// Equal reports whether d and o have the same properties, whatever their
// versions and metadata. Numbers are the same if they are written the same.
func (d Document) Equal(o Document) bool {
	return d.object().equal(o.object())
}

var emptyObject = object(nil, stamp{})

func (d Document) object() *node {
	if d.root == nil {
		return emptyObject
	}
	return d.root
}

// stampVersion is the version to keep with each property: the service shows
// $lastUpdatedVersion in desired properties alone.
func (s Section) stampVersion(version int64) int64 {
	if s == Desired {
		return version
	}
	return 0
}

// ticks rounds down to 100 ns, the resolution of the service's timestamps, so
// that a time that was stored is the one that was set.
func ticks(t time.Time) time.Time {
	return t.UTC().Truncate(100 * time.Nanosecond)
}
