package twin

import (
	"encoding/json"
	"strconv"
	"time"
)

// The members of a document that are not properties.
const (
	keyMetadata           = "$metadata"
	keyVersion            = "$version"
	keyLastUpdated        = "$lastUpdated"
	keyLastUpdatedVersion = "$lastUpdatedVersion"
)

// timeFormat is the service's: UTC, to 100 ns, without zeros at the end.
const timeFormat = "2006-01-02T15:04:05.9999999Z"

// JSON is the properties alone, in canonical form. The caller owns it.
func (d Document) JSON() json.RawMessage {
	return appendValue(make([]byte, 0, d.Size()*5/4+64), d.object())
}

// JSONWithVersion is the form that devices see: the properties, and $version.
func (d Document) JSONWithVersion() json.RawMessage {
	b := appendOpen(make([]byte, 0, d.Size()*5/4+64), d.object())
	return d.appendVersion(b)
}

// JSONWithMetadata is the form of the service: the properties, $metadata and
// $version; of tags, which have neither, just the properties. For all but tags
// it holds all that d is, see [Parse].
func (d Document) JSONWithMetadata() json.RawMessage {
	if d.section == Tags {
		return d.JSON()
	}
	b := appendOpen(make([]byte, 0, d.Size()*4+128), d.object())
	b = append(b, `"`+keyMetadata+`":`...)
	b = appendMetadata(b, d.object())
	b = append(b, ',')
	return d.appendVersion(b)
}

func (d Document) appendVersion(b []byte) []byte {
	b = append(b, `"`+keyVersion+`":`...)
	b = strconv.AppendInt(b, d.version, 10)
	return append(b, '}')
}

// appendOpen writes an object up to where more members can follow.
func appendOpen(b []byte, n *node) []byte {
	b = append(b, '{')
	for _, m := range n.members {
		b = appendString(b, m.key)
		b = append(b, ':')
		b = appendValue(b, m.val)
		b = append(b, ',')
	}
	return b
}

func appendValue(b []byte, n *node) []byte {
	switch n.kind {
	case Object:
		return closeWith(appendOpen(b, n), '}')
	case Array:
		b = append(b, '[')
		for _, m := range n.members {
			b = append(appendValue(b, m.val), ',')
		}
		return closeWith(b, ']')
	case String:
		return appendString(b, n.text)
	case Null:
		return append(b, "null"...)
	}
	return append(b, n.text...)
}

// closeWith puts the closing character in the place of the last comma, if there
// is one.
func closeWith(b []byte, closing byte) []byte {
	if b[len(b)-1] == ',' {
		b = b[:len(b)-1]
	}
	return append(b, closing)
}

// appendMetadata writes when each property was last updated. An array has one
// stamp, not one for each item.
func appendMetadata(b []byte, n *node) []byte {
	b = append(b, `{"`+keyLastUpdated+`":"`...)
	b = n.stamp.at.AppendFormat(b, timeFormat)
	b = append(b, '"')
	if n.stamp.version != 0 {
		b = append(b, `,"`+keyLastUpdatedVersion+`":`...)
		b = strconv.AppendInt(b, n.stamp.version, 10)
	}
	if n.kind == Object {
		for _, m := range n.members {
			b = append(b, ',')
			b = appendString(b, m.key)
			b = append(b, ':')
			b = appendMetadata(b, m.val)
		}
	}
	return append(b, '}')
}

func parseTime(text string) (time.Time, error) {
	return time.Parse(time.RFC3339Nano, text)
}
