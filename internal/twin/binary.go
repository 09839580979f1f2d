package twin

import (
	"encoding/binary"
	"fmt"
)

// binaryFormat is the first byte of a stored twin. JSON begins with another.
const binaryFormat = 1

// AppendBinary appends the form for storing t to b. It never fails. The form is
// a format byte, the revision and the version of the tags as uvarints, and tags,
// desired and reported properties as JSON, each after its length as a uvarint:
// a question about tags need not read the rest, see [View].
func (t Twin) AppendBinary(b []byte) ([]byte, error) {
	b = append(b, binaryFormat)
	b = binary.AppendUvarint(b, uint64(t.Revision))
	b = binary.AppendUvarint(b, uint64(t.Tags.version))
	for _, d := range []Document{t.Tags, t.Desired, t.Reported} {
		body := d.JSONWithMetadata()
		b = binary.AppendUvarint(b, uint64(len(body)))
		b = append(b, body...)
	}
	return b, nil
}

// UnmarshalBinary reads what AppendBinary wrote. t shares no memory with b.
// After an error, which is ErrCorrupt, t is as it was.
func (t *Twin) UnmarshalBinary(b []byte) error {
	p, err := split(b)
	if err != nil {
		return err
	}
	next, err := p.twin()
	if err != nil {
		return err
	}
	*t = next
	return nil
}

// parts are a stored twin that was taken apart and not read.
type parts struct {
	revision    int64
	tagsVersion int64
	bodies      [3]string // by Section
}

func split(b []byte) (parts, error) {
	if len(b) == 0 || b[0] != binaryFormat {
		return parts{}, fmt.Errorf("%w: an unknown format", ErrCorrupt)
	}
	var p parts
	rest := string(b[1:]) // one copy, that the bodies share
	ok := cutVersion(&rest, &p.revision) && cutVersion(&rest, &p.tagsVersion) &&
		cutBody(&rest, &p.bodies[Tags]) && cutBody(&rest, &p.bodies[Desired]) && cutBody(&rest, &p.bodies[Reported]) && rest == ""
	if !ok {
		return parts{}, fmt.Errorf("%w: cut short or too long", ErrCorrupt)
	}
	return p, nil
}

// cutUvarint takes a number from the front of s; width is 0 if there is none.
func cutUvarint(s string) (n uint64, width int) {
	n, width = binary.Uvarint([]byte(s[:min(len(s), binary.MaxVarintLen64)]))
	return n, max(width, 0)
}

func cutVersion(s *string, to *int64) bool {
	n, width := cutUvarint(*s)
	if width == 0 || n > 1<<62 {
		return false
	}
	*s, *to = (*s)[width:], int64(n)
	return true
}

func cutBody(s *string, to *string) bool {
	n, width := cutUvarint(*s)
	if width == 0 || n > uint64(len(*s)-width) {
		return false
	}
	end := width + int(n)
	*to, *s = (*s)[width:end], (*s)[end:]
	return true
}

func (p parts) document(s Section) (Document, error) {
	d, err := parseStored(s, p.bodies[s])
	if s == Tags {
		d.version = p.tagsVersion
	}
	return d, err
}

func (p parts) twin() (Twin, error) {
	t := Twin{Revision: p.revision}
	var err error
	if t.Tags, err = p.document(Tags); err != nil {
		return Twin{}, err
	}
	if t.Desired, err = p.document(Desired); err != nil {
		return Twin{}, err
	}
	t.Reported, err = p.document(Reported)
	return t, err
}
