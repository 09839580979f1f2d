package poller

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
)

// value is what a register holds: its number, or 1 and 0 for a bit, and its JSON.
type value struct {
	number float64
	json   string
}

func bitValue(on bool) value {
	if on {
		return value{1, "true"}
	}
	return value{0, "false"}
}

// value makes the value of registers, of which there are as many as the type has.
func (r *Register) value(raw []uint16) value {
	n := r.join(raw)
	switch r.Type {
	case "float32":
		return r.scaled(float64(math.Float32frombits(uint32(n))), 32)
	case "float64":
		return r.scaled(math.Float64frombits(n), 64)
	case "int16":
		return r.integer(int64(int16(n)))
	case "int32":
		return r.integer(int64(int32(n)))
	case "int64":
		return r.integer(int64(n))
	case "uint64":
		if n > math.MaxInt64 && !r.isScaled() {
			return value{float64(n), strconv.FormatUint(n, 10)}
		}
		if n > math.MaxInt64 {
			return r.scaled(float64(n), 64)
		}
	}
	return r.integer(int64(n))
}

// join puts registers together.
func (r *Register) join(raw []uint16) (n uint64) {
	for i := range raw {
		word := raw[i]
		if r.Order == "low_first" {
			word = raw[len(raw)-1-i]
		}
		n = n<<16 | uint64(word)
	}
	return n
}

// split takes a number apart into registers.
func (r *Register) split(n uint64) []uint16 {
	raw := make([]uint16, r.width())
	for i := range raw {
		at := len(raw) - 1 - i
		if r.Order == "low_first" {
			at = i
		}
		raw[at] = uint16(n >> (16 * i))
	}
	return raw
}

func (r *Register) isScaled() bool { return r.Scale != 1 || r.Offset != 0 }

func (r *Register) integer(n int64) value {
	if r.isScaled() {
		return r.scaled(float64(n), 64)
	}
	return value{float64(n), strconv.FormatInt(n, 10)}
}

// scaled makes a value of what was read. Twelve digits are more than any sensor
// has, and hide that 3 times 0.1 is not 0.3.
func (r *Register) scaled(read float64, bits int) value {
	v := read*r.Scale + r.Offset
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return value{v, "null"} // JSON has no word for it
	case !r.isScaled():
		return value{v, strconv.FormatFloat(v, 'g', -1, bits)}
	}
	return value{v, strconv.FormatFloat(v, 'g', 12, 64)}
}

// changed reports whether a value is news after another.
func (r *Register) changed(before, now value) bool {
	if before.json == now.json {
		return false
	}
	return !(math.Abs(before.number-now.number) <= r.Deadband) || r.Deadband == 0
}

// bit reads the JSON for a coil: true or false, 1 or 0.
func bitFrom(text json.RawMessage) (bool, error) {
	switch string(text) {
	case "true", "1":
		return true, nil
	case "false", "0":
		return false, nil
	}
	return false, errors.New("it takes true or false")
}

// registersFrom makes what is to be written of a JSON number: within the bounds, and
// what the type can hold.
func (r *Register) registersFrom(text json.RawMessage) ([]uint16, error) {
	var v float64
	if err := json.Unmarshal(text, &v); err != nil || string(text) == "null" {
		return nil, errors.New("it takes a number")
	}
	if r.Min != nil && v < *r.Min {
		return nil, fmt.Errorf("%v is less than %v", v, *r.Min)
	}
	if r.Max != nil && v > *r.Max {
		return nil, fmt.Errorf("%v is more than %v", v, *r.Max)
	}
	n, err := r.raw((v - r.Offset) / r.Scale)
	if err != nil {
		return nil, fmt.Errorf("%v %w", v, err)
	}
	return r.split(n), nil
}

var errRange = errors.New("is more or less than the register can hold")

// integers are the bounds of the types that have no fractions.
var integers = map[string]struct{ min, max float64 }{
	"uint16": {0, math.MaxUint16}, "int16": {math.MinInt16, math.MaxInt16},
	"uint32": {0, math.MaxUint32}, "int32": {math.MinInt32, math.MaxInt32},
	// A float64 holds no more of these exactly, and JSON numbers are such.
	"uint64": {0, 1 << 53}, "int64": {-1 << 53, 1 << 53},
}

// raw is a number as the type has it, rounded to the nearest.
func (r *Register) raw(v float64) (uint64, error) {
	switch r.Type {
	case "float32":
		if math.IsInf(float64(float32(v)), 0) {
			return 0, errRange
		}
		return uint64(math.Float32bits(float32(v))), nil
	case "float64":
		return math.Float64bits(v), nil
	}
	v = math.Round(v)
	if of := integers[r.Type]; !(v >= of.min && v <= of.max) {
		return 0, errRange
	}
	if v < 0 {
		return uint64(int64(v)), nil
	}
	return uint64(v), nil
}
