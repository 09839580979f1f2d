package amqpmsg

import (
	"bytes"
	"crypto/rand"
	"strconv"
	"strings"
	"time"

	"sluice/amqp10"
)

// Text is a simple value as text; null is empty. It reports whether it is one:
// decimals, lists, maps and the like are not.
func Text(value any) (string, bool) {
	switch v := value.(type) {
	case nil:
		return "", true
	case string:
		return v, true
	case amqp10.Symbol:
		return string(v), true
	case bool:
		return strconv.FormatBool(v), true
	case []byte:
		return string(v), true
	case amqp10.UUID:
		return v.String(), true
	case amqp10.Char:
		return string(rune(v)), true
	case time.Time:
		return timeText(v), true
	case float32:
		return strconv.FormatFloat(float64(v), 'g', -1, 32), true
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64), true
	}
	return integerText(value)
}

func integerText(value any) (string, bool) {
	var n int64
	switch v := value.(type) {
	case int8:
		n = int64(v)
	case int16:
		n = int64(v)
	case int32:
		n = int64(v)
	case int64:
		n = v
	case uint8:
		n = int64(v)
	case uint16:
		n = int64(v)
	case uint32:
		n = int64(v)
	case uint64:
		return strconv.FormatUint(v, 10), true
	default:
		return "", false
	}
	return strconv.FormatInt(n, 10), true
}

func timeText(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z07:00") }

// Integer is a whole number of any width, or text of one. It reports whether the
// value is one.
func Integer(value any) (int, bool) {
	text, _ := Text(value)
	n, err := strconv.Atoi(text)
	return n, err == nil
}

// Correlation is an id as text, the same whether a peer sends a UUID as one, as its
// bytes, or as its text. It is empty for null and for what is no id.
func Correlation(id any) string {
	switch v := id.(type) {
	case []byte:
		if len(v) == len(amqp10.UUID{}) {
			return amqp10.UUID(v).String()
		}
	case string:
		if u, err := amqp10.ParseUUID(v); err == nil {
			return u.String()
		}
	}
	text, _ := Text(id)
	return text
}

// CloneID is an id that keeps nothing else of the message that it came in.
func CloneID(id any) any {
	switch v := id.(type) {
	case string:
		return strings.Clone(v)
	case []byte:
		return bytes.Clone(v)
	}
	return id
}

// NewUUID returns a random one, to correlate by.
func NewUUID() (id amqp10.UUID) {
	_, _ = rand.Read(id[:]) // never fails
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return id
}
