package amqpservice

import (
	"math"
	"strconv"
	"strings"
	"time"

	"sluice/amqp10"
	"sluice/internal/hub/storage"
)

// selectorFilter is the filter with which a reader says where it begins: its value
// is text, described or not.
const selectorFilter amqp10.Symbol = "apache.org:selector-filter:string"

// maxSelector bounds a selector, in bytes.
const maxSelector = 512

// position finds where a reader wants to begin. Without a filter that is the
// earliest event. Filters of other kinds are not agreed to.
func position(filters amqp10.Fields) (storage.Position, amqp10.Fields, *amqp10.Error) {
	for _, f := range filters {
		if f.Key != selectorFilter {
			continue
		}
		value := f.Value
		if d, ok := value.(amqp10.Described); ok {
			value = d.Value
		}
		text, ok := value.(string)
		if !ok {
			return storage.Position{}, nil, amqp10.Errorf(errArgument, "the filter %s is no text", selectorFilter)
		}
		p, ok := parseSelector(text)
		if !ok {
			return p, nil, amqp10.Errorf(errArgument, "the filter %.300q is not understood: it must be like amqp.annotation.x-opt-offset > '0'", text)
		}
		return p, amqp10.Fields{f}, nil
	}
	return storage.Earliest(), nil, nil
}

// parseSelector reads
//
//	amqp.annotation.x-opt-{offset | sequence-number | enqueued-time} {> | >=} '{value}'
//
// where the value is a number, of milliseconds for a time; -1 for the beginning; or
// @latest.
func parseSelector(text string) (p storage.Position, ok bool) {
	if len(text) > maxSelector {
		return p, false
	}
	name, rest, ok := strings.Cut(text, ">")
	if !ok {
		return p, false
	}
	value, inclusive := strings.CutPrefix(rest, "=")
	value = unquote(strings.TrimSpace(value))
	name, ok = strings.CutPrefix(strings.TrimSpace(name), "amqp.annotation.x-opt-")
	if !ok {
		return p, false
	}
	if strings.EqualFold(value, "@latest") {
		return storage.Latest(), name == "offset" || name == "sequence-number" || name == "enqueued-time"
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < -1 && name != "enqueued-time" {
		return p, false
	}
	return positionAfter(name, n, inclusive)
}

func unquote(s string) string {
	if len(s) >= 2 && s[0] == '\'' && s[len(s)-1] == '\'' {
		return s[1 : len(s)-1]
	}
	return s
}

func positionAfter(name string, n int64, inclusive bool) (p storage.Position, ok bool) {
	// Times on the wire are of milliseconds: what was enqueued within one is not
	// after it.
	if !inclusive && n < math.MaxInt64 {
		n++
	}
	switch {
	case name == "enqueued-time":
		return storage.AtTime(time.UnixMilli(n)), true
	case n <= 0 && (name == "offset" || name == "sequence-number"):
		return storage.Earliest(), true
	case name == "offset":
		return storage.AtOffset(uint64(n)), true
	case name == "sequence-number":
		return storage.AtSequence(uint64(n)), true
	}
	return p, false
}
