package route

import (
	"strings"
	"sync"

	"sluice/iot"
)

// budget is what one condition may cost for one message: a byte that a function
// or a comparison reads or writes costs 1, and so does a property that a name is
// compared with.
const budget = 4 << 20

// frame is what an evaluation needs of one message. It is reused.
type frame struct {
	msg    *iot.Message
	sample *Sample // instead of msg
	left   int     // of the budget
	slots  []int   // of the condition being evaluated, in body
	body   bodyValues

	seats []int // by endpoint: 1 + its index in the targets of a match, or 0
	taken []int // the endpoints whose seat is not 0
}

var frames = sync.Pool{New: func() any { return new(frame) }}

func newFrame(msg *iot.Message, paths *plan) *frame {
	f := frames.Get().(*frame)
	f.msg = msg
	f.body.begin(paths)
	return f
}

func (f *frame) release() {
	f.msg, f.sample, f.slots = nil, nil, nil
	f.body.forget()
	for _, endpoint := range f.taken {
		f.seats[endpoint] = 0
	}
	f.taken = f.taken[:0]
	frames.Put(f)
}

// seat makes room for n endpoints.
func (f *frame) seat(n int) {
	if cap(f.seats) < n {
		f.seats = make([]int, n)
	}
	f.seats = f.seats[:n]
}

func (f *frame) take(endpoint, seat int) {
	f.seats[endpoint] = seat
	f.taken = append(f.taken, endpoint)
}

// eval evaluates a condition whose body paths are in the given slots.
func (f *frame) eval(c *Condition, slots []int) Result {
	f.left, f.slots = budget, slots
	v := c.root.eval(f)
	if f.left < 0 {
		return Undefined
	}
	return result(v, c.root.typ)
}

// spend takes n from the budget and reports whether there was enough.
func (f *frame) spend(n int) bool {
	f.left -= n
	return f.left >= 0
}

// property looks an application property up.
func (f *frame) property(name string) (value, bool) {
	if f.sample != nil {
		return f.sample.Properties.lookup(name)
	}
	s, ok := f.msg.Properties.Lookup(name)
	if !f.spend(len(f.msg.Properties)) || !ok {
		return undefined, false
	}
	return stringValue(s), true
}

// systemName is a system property as a condition names it; known is 0 for a
// name that no message can have.
type systemName struct {
	text  string
	known iot.SystemName
}

func newSystemName(text string) systemName {
	known, _ := iot.ParseSystemName(text)
	return systemName{text, known}
}

// systemNames are the names of all system properties, in lower case.
func systemNames() []string {
	var names []string
	for n := iot.SystemName(1); n.String() != ""; n++ {
		names = append(names, strings.ToLower(n.String()))
	}
	return names
}

func (f *frame) system(name systemName) value {
	if f.sample != nil {
		v, _ := f.sample.System.lookup(name.text)
		return v
	}
	if s := f.msg.System.Get(name.known); s != "" && name.known != 0 {
		return stringValue(s)
	}
	return undefined
}

var (
	contentType     = systemName{"contentType", iot.ContentType}
	contentEncoding = systemName{"contentEncoding", iot.ContentEncoding}
	messageType     = systemName{"messageType", iot.MessageType}
)

// bodyValue is the value in a slot of the condition being evaluated. The message
// must say that it holds JSON.
func (f *frame) bodyValue(slot int) value {
	f.readBody()
	if !f.body.typed {
		return undefined
	}
	return f.body.value(f.slots[slot])
}

// readBody reads the body if that has not been done. That of a twin change is
// JSON even if the message does not say so.
func (f *frame) readBody() {
	if f.body.state != bodyUnread {
		return
	}
	f.body.typed = strings.EqualFold(f.system(contentType).str, "application/json")
	encoding := f.system(contentEncoding).str
	switch {
	case f.body.typed:
		f.body.read(f.rawBody(), encoding)
	case strings.EqualFold(f.system(messageType).str, twinChange):
		f.body.read(f.rawBody(), "utf-8")
	default:
		f.body.state = bodyUnreadable
	}
}

func (f *frame) rawBody() []byte {
	if f.sample != nil {
		return f.sample.Body
	}
	return f.msg.Body
}

// Sample is a message for trying conditions: unlike an iot.Message it can hold
// system properties of any name, and properties that are null.
type Sample struct {
	Properties Attributes
	System     Attributes
	Body       []byte
}

// Attributes are properties by name. A nil value is null.
type Attributes map[string]*string

// lookup finds the value of a name without regard to case. Of names that differ
// in nothing else, the exact one is found, or the least.
func (a Attributes) lookup(name string) (value, bool) {
	if s, ok := a[name]; ok {
		return attribute(s), true
	}
	best, found := "", false
	for key := range a {
		if strings.EqualFold(key, name) && (!found || key < best) {
			best, found = key, true
		}
	}
	if !found {
		return undefined, false
	}
	return attribute(a[best]), true
}

func attribute(s *string) value {
	if s == nil {
		return nullValue
	}
	return stringValue(*s)
}
