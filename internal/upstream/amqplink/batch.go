package amqplink

import (
	"sync"

	"sluice/amqp10"
	"sluice/internal/amqpmsg"
	"sluice/iot"
)

// encode makes deliveries of the messages: one for all of them if that is not over
// limit bytes, in the format of a batch unless there is one message only. A message
// that is over the limit by itself is not cut.
func encode(msgs []iot.Message, b *batch, limit int) ([]part, error) {
	e := encoders.Get().(*encoder)
	defer encoders.Put(e)
	p := packer{batch: b, limit: limit}
	for i := range msgs {
		one, err := e.encode(&msgs[i])
		if err != nil {
			return nil, err
		}
		if len(msgs) == 1 || len(one)+sectionSize > limit {
			p.alone(one)
		} else {
			p.add(one, len(msgs)-i)
		}
	}
	p.finish()
	b.parts = len(p.parts)
	return p.parts, nil
}

// sectionSize is what a data section adds to what it holds, at most.
const sectionSize = 8

// A packer puts encoded messages into deliveries, in order.
type packer struct {
	batch   *batch
	limit   int
	parts   []part
	current []byte // of a delivery of several messages; nil for none
}

// alone makes a delivery of one message.
func (p *packer) alone(one []byte) {
	p.finish()
	p.append(append([]byte(nil), one...), 0)
}

// add adds a message to the delivery of the moment, if there is room, or begins
// another for the left messages that are still to come.
func (p *packer) add(one []byte, left int) {
	if len(p.current)+len(one)+sectionSize > p.limit {
		p.finish()
	}
	if p.current == nil {
		p.current = make([]byte, 0, min((len(one)+sectionSize)*left, p.limit))
	}
	p.current = amqp10.AppendBatch(p.current, one)
}

func (p *packer) finish() {
	if p.current != nil {
		p.append(p.current, amqp10.FormatBatch)
		p.current = nil
	}
}

func (p *packer) append(payload []byte, format uint32) {
	p.parts = append(p.parts, part{batch: p.batch, payload: payload, format: format})
	p.batch.bytes += len(payload)
}

// An encoder holds what is used again for each message.
type encoder struct {
	form amqpmsg.Form
	buf  []byte
}

var encoders = sync.Pool{New: func() any { return new(encoder) }}

// encode returns the bytes of a message, until the next call.
func (e *encoder) encode(m *iot.Message) ([]byte, error) {
	var err error
	e.buf, err = e.form.Fill(m, amqpmsg.Hub).AppendTo(e.buf[:0])
	e.form.Release()
	return e.buf, err
}
