package amqplink

import (
	"sync"

	"sluice/amqp10"
	"sluice/iot"
)

// An encoder holds what is used again for each message.
type encoder struct {
	msg        amqp10.Message
	properties amqp10.Properties
	buf        []byte
}

var encoders = sync.Pool{New: func() any { return new(encoder) }}

// encode makes deliveries of the messages: one for all of them if that is not too
// large, in the format of a batch unless it holds one only.
func encode(msgs []iot.Message, b *batch) ([]part, error) {
	e := encoders.Get().(*encoder)
	defer encoders.Put(e)
	var parts []part
	var current part
	count := 0
	finish := func() {
		if count > 0 {
			parts = append(parts, current)
			b.bytes += len(current.payload)
		}
		current, count = part{batch: b, format: amqp10.FormatBatch}, 0
	}
	finish()
	for i := range msgs {
		one, err := e.encode(&msgs[i])
		if err != nil {
			return nil, err
		}
		const overhead = 8 // of a data section
		if len(current.payload)+len(one)+overhead > maxDelivery {
			finish()
		}
		if len(msgs) == 1 || len(one)+overhead > maxDelivery {
			current.format, current.payload = 0, append([]byte(nil), one...)
			count++
			finish()
			continue
		}
		if current.payload == nil {
			current.payload = make([]byte, 0, min((len(one)+overhead)*(len(msgs)-i), maxDelivery))
		}
		current.payload = amqp10.AppendBatch(current.payload, one)
		count++
	}
	finish()
	b.parts = len(parts)
	return parts, nil
}

// encode returns the bytes of a message, until the next call.
func (e *encoder) encode(m *iot.Message) ([]byte, error) {
	setTelemetry(&e.msg, &e.properties, m)
	var err error
	e.buf, err = e.msg.AppendTo(e.buf[:0])
	e.msg.Data = nil
	return e.buf, err
}
