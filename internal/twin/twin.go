package twin

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"

	"sluice/iot"
)

// Twin is the tags, desired and reported properties of one identity. Like a
// Document it is a value: its methods return the twin as it is afterwards.
type Twin struct {
	Tags     Document
	Desired  Document
	Reported Document

	// Revision counts what the service changed: tags and desired properties.
	// It is what the etag is made of.
	Revision int64
}

// New is the twin of an identity that was just created.
func New(now time.Time) Twin {
	return Twin{
		Tags:     NewDocument(Tags, now),
		Desired:  NewDocument(Desired, now),
		Reported: NewDocument(Reported, now),
		Revision: 1,
	}
}

// ETag is the etag in the service's form, without quotes. It changes with tags
// and desired properties. What a device reports leaves it as it is, so that a
// device cannot keep the service from changing its twin.
func (t Twin) ETag() string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, uint64(t.Revision)))
}

// Version counts all changes: of a new twin it is 2, as the service has it.
func (t Twin) Version() int64 { return t.Revision + t.Reported.Version() }

// Report merges a patch of its device into the reported properties.
func (t Twin) Report(patch json.RawMessage, now time.Time) (Twin, error) {
	next, err := t.Reported.Merge(patch, now)
	if err != nil {
		return t, err
	}
	t.Reported = next
	return t, nil
}

// Patch applies the body of the service's PATCH, {"tags": {…}, "properties":
// {"desired": {…}}}, by merging. A part that is missing is left as it is, and so
// are reported properties; a part that is null is emptied, as anything that is
// null in a patch is removed. Either all of it is applied or nothing.
func (t Twin) Patch(body json.RawMessage, now time.Time) (Twin, error) {
	return t.apply(body, now, Document.mergeOrEmpty)
}

// Replace applies the body of the service's PUT: tags and desired properties
// become what body has. A part that is missing or null is left as it is.
func (t Twin) Replace(body json.RawMessage, now time.Time) (Twin, error) {
	return t.apply(body, now, Document.replaceUnlessNull)
}

func (t Twin) apply(body json.RawMessage, now time.Time, write func(Document, json.RawMessage, time.Time) (Document, error)) (Twin, error) {
	var parts struct {
		Tags       json.RawMessage `json:"tags"`
		Properties *struct {
			Desired json.RawMessage `json:"desired"`
		} `json:"properties"`
	}
	if err := json.Unmarshal(body, &parts); err != nil {
		return t, iot.Errorf(iot.Invalid, opPatch, iot.Identity{}, "not the JSON of a twin: %v", err)
	}
	next := t
	var err error
	if parts.Tags != nil {
		if next.Tags, err = write(t.Tags, parts.Tags, now); err != nil {
			return t, err
		}
	}
	if parts.Properties != nil && parts.Properties.Desired != nil {
		if next.Desired, err = write(t.Desired, parts.Properties.Desired, now); err != nil {
			return t, err
		}
	}
	next.Revision++
	return next, nil
}

func (d Document) mergeOrEmpty(part json.RawMessage, now time.Time) (Document, error) {
	if isNull(part) {
		return d.Replace(json.RawMessage("{}"), now)
	}
	return d.Merge(part, now)
}

func (d Document) replaceUnlessNull(part json.RawMessage, now time.Time) (Document, error) {
	if isNull(part) {
		return d, nil
	}
	return d.Replace(part, now)
}

func isNull(part json.RawMessage) bool { return string(part) == "null" }

// ForDevice is the part of t that its device sees.
func (t Twin) ForDevice() iot.Twin {
	return iot.Twin{
		Desired:         t.Desired.JSON(),
		DesiredVersion:  t.Desired.Version(),
		Reported:        t.Reported.JSON(),
		ReportedVersion: t.Reported.Version(),
	}
}

// stored is the form in which a twin is kept.
type stored struct {
	Revision    int64           `json:"revision"`
	Tags        json.RawMessage `json:"tags"`
	TagsVersion int64           `json:"tagsVersion"`
	Desired     json.RawMessage `json:"desired"`
	Reported    json.RawMessage `json:"reported"`
}

// MarshalJSON is the form for storing t; UnmarshalJSON reads it. When tags were
// written is not kept: the service does not show it.
func (t Twin) MarshalJSON() ([]byte, error) {
	return json.Marshal(stored{
		Revision:    t.Revision,
		Tags:        t.Tags.JSON(),
		TagsVersion: t.Tags.Version(),
		Desired:     t.Desired.JSONWithMetadata(),
		Reported:    t.Reported.JSONWithMetadata(),
	})
}

// UnmarshalJSON reads what MarshalJSON wrote. After an error t is as it was.
func (t *Twin) UnmarshalJSON(b []byte) error {
	var s stored
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	next := Twin{Revision: s.Revision}
	for _, part := range []struct {
		document *Document
		section  Section
		json     json.RawMessage
	}{{&next.Tags, Tags, s.Tags}, {&next.Desired, Desired, s.Desired}, {&next.Reported, Reported, s.Reported}} {
		d, err := Parse(part.section, part.json)
		if err != nil {
			return err
		}
		*part.document = d
	}
	next.Tags.version = s.TagsVersion
	*t = next
	return nil
}
