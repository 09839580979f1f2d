package poller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"sluice/internal/modbus"
	"sluice/translator"
)

// maxAsked is how many calls may wait for a device.
const maxAsked = 16

// question is a call that waits for its device.
type question struct {
	*translator.Call
	unit *unit
	late time.Time // nobody waits for the answer any more
}

// method hands a call to the goroutine of its device.
func (p *Poller) method(c *translator.Call) {
	u := p.byLeaf[c.Leaf]
	switch {
	case u == nil:
		say(c, 404, "there is no such unit")
		return
	case c.Name != "read" && c.Name != "write":
		say(c, 404, "there are the methods read and write")
		return
	}
	select {
	case u.of.asked <- &question{c, u, time.Now().Add(c.Timeout)}:
	default:
		say(c, 503, "too many calls wait for this device")
	}
}

func say(c *translator.Call, status int, format string, args ...any) {
	body, err := json.Marshal(map[string]string{"message": fmt.Sprintf(format, args...)})
	if err != nil {
		body = nil // of strings it cannot fail
	}
	c.Answer(status, body)
}

// do does what a call asks for. A call that is late does nothing: its caller may
// have asked again.
func (u *unit) do(ctx context.Context, q *question) {
	if !time.Now().Before(q.late) {
		return
	}
	ctx, cancel := context.WithDeadline(ctx, q.late)
	defer cancel()
	if q.Name == "read" {
		u.answerRead(ctx, q)
		return
	}
	u.answerWrite(ctx, q)
}

func (u *unit) answerRead(ctx context.Context, q *question) {
	var body []byte
	for _, g := range u.groups {
		values, err := u.read(ctx, g)
		if err != nil {
			say(q.Call, statusOf(err), "%v", err)
			return
		}
		for i := range u.Registers {
			if v, ok := values[&u.Registers[i]]; ok {
				body = appendMember(body, u.Registers[i].Name, v)
			}
		}
	}
	q.Answer(200, append(body, '}'))
}

// statusOf is the status for a unit that does not do what it is asked for.
func statusOf(err error) int {
	if away(err) {
		return 504
	}
	return 502
}

// writing is one register's part in a write.
type writing struct {
	*Register
	on  bool     // of a coil
	raw []uint16 // of registers
}

// answerWrite writes registers by name. Everything is checked before anything is
// written.
func (u *unit) answerWrite(ctx context.Context, q *question) {
	list, err := u.writings(q.Payload)
	if err != nil {
		say(q.Call, 400, "%v", err)
		return
	}
	var written []string
	for _, w := range list {
		if err := u.write(ctx, &w); err != nil {
			u.answerHalf(q, w.Name, written, err)
			return
		}
		written = append(written, w.Name)
	}
	u.soon()
	q.Answer(200, q.Payload)
}

// answerHalf says what was written before something was not.
func (u *unit) answerHalf(q *question, name string, written []string, err error) {
	body, _ := json.Marshal(struct { // strings cannot fail
		Message string   `json:"message"`
		Written []string `json:"written,omitempty"`
	}{fmt.Sprintf("%s: %v", name, err), written})
	q.Answer(statusOf(err), body)
}

func (u *unit) write(ctx context.Context, w *writing) error {
	c, slave, address := u.of.client, byte(u.Unit.Unit), uint16(w.Address)
	if w.bit() {
		return c.WriteCoil(ctx, slave, address, w.on)
	}
	return c.WriteRegisters(ctx, slave, address, w.raw)
}

// soon has the unit's values read at once: they have changed.
func (u *unit) soon() {
	for _, g := range u.groups {
		g.next = time.Now()
	}
}

// writings reads {"name": value, …}, in the order of the description.
func (u *unit) writings(payload json.RawMessage) ([]writing, error) {
	var values map[string]json.RawMessage
	if json.Unmarshal(payload, &values) != nil || len(values) == 0 {
		return nil, errors.New(`write takes a JSON object of names and values, such as {"setpoint": 21.5}`)
	}
	var list []writing
	for i := range u.Registers {
		r := &u.Registers[i]
		text, ok := values[r.Name]
		if !ok {
			continue
		}
		delete(values, r.Name)
		w, err := r.writing(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.Name, err)
		}
		list = append(list, w)
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		return nil, fmt.Errorf("there is no register %.100q", name)
	}
	return list, nil
}

func (r *Register) writing(text json.RawMessage) (w writing, err error) {
	w.Register = r
	switch {
	case !r.Writable:
		err = errors.New("it is not writable")
	case r.bit():
		w.on, err = bitFrom(text)
	default:
		w.raw, err = r.registersFrom(text)
	}
	if len(w.raw) > modbus.MaxWriteRegisters {
		err = errors.New("it is too long")
	}
	return w, err
}
