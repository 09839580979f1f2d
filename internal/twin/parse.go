package twin

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"sluice/iot"
)

const opPatch = "twin.patch"

// A reader turns JSON text into nodes in one pass. It recurses no deeper than
// its limit, and what it allocates is bounded by the length of the text.
type reader struct {
	text    string
	pos     int
	section Section
	rules   bool   // hold keys and values to the service's limits
	depth   int    // open objects and arrays, without the outermost
	path    []step // what leads to the value being read
}

// A step goes to a property of an object, or to an item of an array.
type step struct {
	key   string
	index int // if key is "", which no property's is under the rules
}

// maxStoredDepth bounds what is read without the rules: the deepest document
// with its metadata, and room for what another hub may allow.
const maxStoredDepth = 64

// readPatch reads what a client sent, which must be an object and follow the rules.
func readPatch(s Section, text json.RawMessage) (*node, error) {
	return read(&reader{text: string(text), section: s, rules: true})
}

// readStored reads what was checked before: by this package, or by another hub.
func readStored(s Section, text string) (*node, error) {
	return read(&reader{text: text, section: s})
}

func read(r *reader) (*node, error) {
	r.space()
	if r.peek() != '{' {
		return nil, r.errorf("must be a JSON object")
	}
	return readWhole(r)
}

func readWhole(r *reader) (*node, error) {
	r.space()
	n, err := r.value()
	if err != nil {
		return nil, err
	}
	r.space()
	if r.pos != len(r.text) {
		return nil, r.syntax("something follows the value")
	}
	return n, nil
}

func (r *reader) value() (*node, error) {
	switch c := r.peek(); {
	case c == '{':
		return r.nested(r.object)
	case c == '[':
		return r.nested(r.array)
	case c == '"':
		return r.stringValue()
	case c == '-' || isDigit(c):
		return r.number()
	case r.word("true"):
		return &node{kind: Bool, text: "true", size: boolSize}, nil
	case r.word("false"):
		return &node{kind: Bool, text: "false", size: boolSize}, nil
	case r.word("null"):
		return &node{kind: Null}, nil
	}
	return nil, r.syntax("a value is missing")
}

// nested reads an object or array one level down.
func (r *reader) nested(read func() (*node, error)) (*node, error) {
	limit := MaxDepth
	if !r.rules {
		limit = maxStoredDepth
	}
	if r.depth > limit {
		return nil, r.errorf("objects and arrays are nested more than %d deep", limit)
	}
	r.depth++
	r.pos++
	n, err := read()
	r.depth--
	return n, err
}

func (r *reader) object() (*node, error) {
	var members []member
	for first := true; ; first = false {
		done, err := r.separator('}', first)
		if err != nil {
			return nil, err
		}
		if done {
			return object(lastOfEach(members), stamp{}), nil
		}
		m, skip, err := r.member()
		if err != nil {
			return nil, err
		}
		if !skip {
			members = append(members, m)
		}
	}
}

// separator reads up to the next item, or past the closing character.
func (r *reader) separator(closing byte, first bool) (done bool, err error) {
	r.space()
	switch {
	case r.accept(closing):
		return true, nil
	case first:
		return false, nil
	case r.accept(','):
		r.space()
		return false, nil
	}
	return false, r.syntax(fmt.Sprintf("expected , or %c", closing))
}

// member reads one key and its value. The read-only members at the top of a
// patch are read over.
func (r *reader) member() (m member, skip bool, err error) {
	if m.key, err = r.name(); err != nil {
		return m, false, err
	}
	if r.rules {
		if r.depth == 1 && (m.key == keyVersion || m.key == keyMetadata) {
			return m, true, r.readOver()
		}
		if wrong := checkKey(m.key); wrong != "" {
			return m, false, r.errorf("%s", wrong)
		}
	}
	m.val, err = r.within(step{key: m.key})
	return m, false, err
}

// name reads the name of a property, and goes to its value.
func (r *reader) name() (string, error) {
	if r.peek() != '"' {
		return "", r.syntax("expected a property name in quotes")
	}
	name, err := r.string()
	if err != nil {
		return "", err
	}
	r.space()
	if !r.accept(':') {
		return "", r.syntax("expected : after a property name")
	}
	r.space()
	return name, nil
}

// readOver reads a value that need not follow the rules.
func (r *reader) readOver() error {
	r.rules = false
	_, err := r.value()
	r.rules = true
	return err
}

// within reads the value of a property or of an item of an array.
func (r *reader) within(s step) (*node, error) {
	r.path = append(r.path, s)
	n, err := r.value()
	r.path = r.path[:len(r.path)-1]
	return n, err
}

// lastOfEach sorts members and keeps the last of those with the same key.
func lastOfEach(members []member) []member {
	inOrder := func(a, b member) int { return strings.Compare(a.key, b.key) }
	if !slices.IsSortedFunc(members, inOrder) {
		slices.SortStableFunc(members, inOrder)
	}
	kept := members[:0]
	for i, m := range members {
		if i+1 == len(members) || members[i+1].key != m.key {
			kept = append(kept, m)
		}
	}
	return kept
}

func (r *reader) array() (*node, error) {
	n := &node{kind: Array}
	for {
		done, err := r.separator(']', len(n.members) == 0)
		if err != nil {
			return nil, err
		}
		if done {
			return n, nil
		}
		item, err := r.item(len(n.members))
		if err != nil {
			return nil, err
		}
		n.members = append(n.members, member{val: item})
		n.size += item.size
	}
}

// item reads one item of an array. Null means removal, and there is nothing to
// remove inside an array: neither as an item nor in an object that is one.
func (r *reader) item(i int) (*node, error) {
	item, err := r.within(step{index: i})
	if err == nil && r.rules && item.hasNull() {
		r.path = append(r.path, step{index: i})
		err = r.errorf("null is not allowed inside an array")
	}
	return item, err
}

func (n *node) hasNull() bool {
	return n.kind == Null || n.kind == Object && slices.ContainsFunc(n.members, func(m member) bool { return m.val.hasNull() })
}

func (r *reader) stringValue() (*node, error) {
	s, err := r.string()
	if err != nil {
		return nil, err
	}
	if r.rules {
		if wrong := checkString(s); wrong != "" {
			return nil, r.errorf("%s", wrong)
		}
	}
	return &node{kind: String, text: s, size: textSize(s)}, nil
}

func (r *reader) number() (*node, error) {
	start := r.pos
	r.accept('-')
	if !r.accept('0') && !r.digits() {
		return nil, r.syntax("a number has no digits")
	}
	if r.accept('.') && !r.digits() {
		return nil, r.syntax("a number has no digits after its point")
	}
	if r.accept('e') || r.accept('E') {
		if !r.accept('+') {
			r.accept('-')
		}
		if !r.digits() {
			return nil, r.syntax("a number has no digits in its exponent")
		}
	}
	text := r.text[start:r.pos]
	if r.rules {
		if wrong := checkNumber(text); wrong != "" {
			return nil, r.errorf("%s", wrong)
		}
	}
	return &node{kind: Number, text: text, size: numberSize}, nil
}

func (r *reader) digits() bool {
	start := r.pos
	for isDigit(r.peek()) {
		r.pos++
	}
	return r.pos > start
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// peek returns the next byte, or 0, which begins nothing, at the end.
func (r *reader) peek() byte {
	if r.pos < len(r.text) {
		return r.text[r.pos]
	}
	return 0
}

func (r *reader) accept(c byte) bool {
	if r.peek() != c {
		return false
	}
	r.pos++
	return true
}

func (r *reader) word(w string) bool {
	if !strings.HasPrefix(r.text[r.pos:], w) {
		return false
	}
	r.pos += len(w)
	return true
}

func (r *reader) space() {
	for r.pos < len(r.text) && (r.text[r.pos] == ' ' || r.text[r.pos] == '\t' || r.text[r.pos] == '\n' || r.text[r.pos] == '\r') {
		r.pos++
	}
}

// where is the path of the value being read, as a query would name it.
func (r *reader) where() string {
	var b strings.Builder
	b.WriteString(r.section.String())
	for _, s := range r.path {
		if s.key == "" {
			fmt.Fprintf(&b, "[%d]", s.index)
			continue
		}
		b.WriteByte('.')
		b.WriteString(s.key)
	}
	return b.String()
}

func (r *reader) errorf(format string, args ...any) error {
	return iot.Errorf(iot.Invalid, opPatch, iot.Identity{}, "%s: %s", r.where(), fmt.Sprintf(format, args...))
}

func (r *reader) syntax(what string) error {
	return r.errorf("not JSON at byte %d: %s", r.pos, what)
}

// string reads a string with its quotes.
func (r *reader) string() (string, error) {
	start := r.pos + 1
	for i := start; i < len(r.text); i++ {
		switch c := r.text[i]; {
		case c == '"':
			r.pos = i + 1
			return r.checkUTF8(r.text[start:i])
		case c == '\\':
			return r.escaped(start, i)
		case c < 0x20:
			r.pos = i
			return "", r.syntax("a control character in a string must be escaped")
		}
	}
	r.pos = len(r.text)
	return "", r.syntax("a string does not end")
}

func (r *reader) checkUTF8(s string) (string, error) {
	if !utf8.ValidString(s) {
		return "", r.syntax("a string is not UTF-8")
	}
	return s, nil
}
