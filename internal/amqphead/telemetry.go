package amqphead

import (
	"errors"

	"sluice/amqp10"
	"sluice/internal/amqpmsg"
	"sluice/iot"
)

const (
	// telemetryWindow is how many messages of one link may wait for the hub. How
	// many bytes may, the engine bounds for the connection.
	telemetryWindow = 1000
	// maxBatch is how many messages one batch may have.
	maxBatch = 10_000
)

// settleFirst is how links settle on which clients send, whatever they ask for:
// Azure's client in C asks for second, and means first.
var settleFirst = new(amqp10.ReceiveFirst)

// acceptTelemetry accepts a link on which an identity sends.
func (m *member) acceptTelemetry(r *amqp10.LinkRequest, l *link) ending {
	return r.AcceptReceiver(amqp10.ReceiverConfig{
		ReceiverMode: settleFirst,
		Window:       telemetryWindow,
		OnDelivery:   m.telemetry,
		OnClose:      l.closed,
	})
}

// telemetry hands a delivery to the hub. It is settled when the hub says what
// became of it: accepted means safe. A batch is safe as a whole or not at all.
func (m *member) telemetry(d *amqp10.Delivery) {
	batch, err := readBatch(d.Payload(), d.Format())
	if err != nil {
		m.refuseTelemetry(d, err)
		return
	}
	m.hub.Send(batch, func(err error) {
		if err != nil {
			m.refuseTelemetry(d, err)
			return
		}
		d.Accept()
	})
}

func (m *member) refuseTelemetry(d *amqp10.Delivery, err error) {
	m.conn.head.log.Info("amqphead: telemetry refused", "identity", m.id.String(), "remote", m.conn.remote(), "err", err)
	d.Reject(refusal(err))
}

// readBatch reads the messages of a delivery, of which one that is wrong makes all
// wrong.
func readBatch(payload []byte, format uint32) ([]iot.Message, error) {
	if format != amqp10.FormatBatch {
		m, err := amqp10.DecodeMessage(payload)
		if err != nil {
			return nil, undecodable(err)
		}
		batch := make([]iot.Message, 1)
		return batch, amqpmsg.ReadTelemetry(m, &batch[0])
	}
	all, err := amqp10.DecodeBatch(payload, maxBatch)
	if err != nil {
		return nil, undecodable(err)
	}
	batch := make([]iot.Message, len(all))
	for i, m := range all {
		if err := amqpmsg.ReadTelemetry(m, &batch[i]); err != nil {
			return nil, err
		}
	}
	return batch, nil
}

// undecodable is the error of a message that is not one.
func undecodable(err error) error {
	detail := err.Error()
	var e *amqp10.Error
	if errors.As(err, &e) {
		detail = e.Description
	}
	return iot.Errorf(iot.Invalid, "decode", iot.Identity{}, "%s", detail)
}
