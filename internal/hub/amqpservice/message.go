package amqpservice

import (
	"strconv"
	"time"

	"sluice/amqp10"
	"sluice/internal/amqpmsg"
	"sluice/internal/hub/storage"
	"sluice/iot"
)

// A form is an event as applications read it. It is filled in for one event after the
// other, so that a reader of many does not make a message for each.
type form struct {
	message amqpmsg.Form
}

// fill returns the message of an event, until the next call.
func (f *form) fill(e *storage.Event) *amqp10.Message {
	out := f.message.Fill(&e.Message, amqpmsg.Application)
	var enqueued any = e.Enqueued.UTC().Truncate(time.Millisecond)
	out.Annotations = append(out.Annotations,
		amqp10.Field{Key: "x-opt-sequence-number", Value: int64(e.Sequence)},
		amqp10.Field{Key: "x-opt-offset", Value: strconv.FormatUint(e.Offset, 10)},
		amqp10.Field{Key: "x-opt-enqueued-time", Value: enqueued},
		amqp10.Field{Key: "x-opt-partition-key", Value: e.Message.System.Get(iot.ConnectionDeviceID)},
		amqp10.Field{Key: "iothub-enqueuedtime", Value: enqueued},
		amqp10.Field{Key: "iothub-message-source", Value: e.Source.String()},
	)
	return out
}
