package poller

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"sluice/iot"
)

// read asks for all of a group. What a unit refuses is left out, and is the error;
// a unit that does not answer is not asked for the rest.
func (u *unit) read(ctx context.Context, g *group) (map[*Register]value, error) {
	values := make(map[*Register]value)
	var refused error
	for i := range g.blocks {
		b := &g.blocks[i]
		err := u.readBlock(ctx, b, values)
		if away(err) {
			return nil, err
		}
		if err != nil && refused == nil {
			refused = fmt.Errorf("%s: %w", b.registers[0].Name, err)
		}
	}
	return values, refused
}

func (u *unit) readBlock(ctx context.Context, b *block, values map[*Register]value) error {
	c, slave := u.of.client, byte(u.Unit.Unit)
	if b.registers[0].bit() {
		list, err := c.ReadBits(ctx, slave, b.function, uint16(b.address), b.count)
		if err != nil {
			return err
		}
		for _, r := range b.registers {
			values[r] = bitValue(list[r.Address-b.address])
		}
		return nil
	}
	list, err := c.ReadRegisters(ctx, slave, b.function, uint16(b.address), b.count)
	if err != nil {
		return err
	}
	for _, r := range b.registers {
		at := r.Address - b.address
		values[r] = r.value(list[at : at+r.width()])
	}
	return nil
}

// send sends the values of a group as one JSON object, in the description's order.
// It waits while the gateway takes no more.
func (u *unit) send(ctx context.Context, g *group, values map[*Register]value) {
	var body []byte
	sent := make(map[string]value)
	for i := range u.Registers {
		r := &u.Registers[i]
		v, read := values[r]
		before, known := u.last[r.Name]
		if !read || u.ChangesOnly && known && !r.changed(before, v) {
			continue
		}
		body = appendMember(body, r.Name, v)
		sent[r.Name] = v
	}
	if len(body) == 0 {
		return
	}
	m := iot.Message{Body: append(body, '}')}
	m.System.Set(iot.ContentType, "application/json")
	m.System.Set(iot.ContentEncoding, "utf-8")
	m.System.Set(iot.CreationTime, time.Now().UTC().Format("2006-01-02T15:04:05.000Z"))
	err := u.leaf.Post(ctx, m, func(err error) {
		if err != nil {
			u.of.log.Warn("values were not sent", "leaf", u.Leaf, "error", err)
		}
	})
	if err != nil {
		if ctx.Err() == nil {
			u.of.log.Warn("values were not sent", "leaf", u.Leaf, "error", err)
		}
		return
	}
	for name, v := range sent {
		u.last[name] = v
	}
}

// appendMember appends a member to the text of a JSON object that is not closed.
func appendMember(body []byte, name string, v value) []byte {
	separator := byte(',')
	if len(body) == 0 {
		separator = '{'
	}
	key, err := json.Marshal(name)
	if err != nil {
		key = []byte(strconv.Quote(name)) // a string cannot fail
	}
	body = append(append(append(body, separator), key...), ':')
	return append(body, v.json...)
}

// tell says of a unit how it is, when that changed: in the log, and in the reported
// properties of its leaf.
func (u *unit) tell(ctx context.Context, status string, cause error) {
	if status == u.status {
		return
	}
	report := struct {
		Status string    `json:"status"`
		Since  time.Time `json:"since"`
		Error  *string   `json:"error"`
	}{Status: status, Since: time.Now().UTC().Truncate(time.Second)}
	log := u.of.log.With("leaf", u.Leaf, "unit", u.Unit.Unit)
	if cause != nil {
		text := cause.Error()
		report.Error = &text
		log.Warn("a unit is "+status, "error", cause)
	} else if u.status != "" {
		log.Info("a unit answers again")
	}
	patch, err := json.Marshal(map[string]any{"modbus": report})
	if err == nil {
		err = u.leaf.PostReport(ctx, patch, func(error) {})
	}
	if err != nil {
		log.Warn("how a unit is was not reported", "error", err)
		return
	}
	u.status = status
}
