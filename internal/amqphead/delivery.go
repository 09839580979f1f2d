package amqphead

import (
	"encoding/binary"
	"math"

	"sluice/amqp10"
	"sluice/internal/amqpmsg"
	"sluice/iot"
)

// writeDelivery is a command or an input as the client gets it.
func writeDelivery(d *iot.Delivery) *amqp10.Message {
	out := new(amqpmsg.Form).Fill(&d.Message, amqpmsg.Client)
	out.Header = &amqp10.Header{Durable: true, Priority: 4, DeliveryCount: clampUint32(d.Count)}
	out.Annotations = append(out.Annotations,
		amqp10.Field{Key: "x-opt-lock-token", Value: lockToken(d.LockToken)},
		amqp10.Field{Key: "iothub-deliverycount", Value: clampUint32(d.Count)},
	)
	return out
}

func clampUint32(n int) uint32 { return uint32(min(max(n, 0), math.MaxInt32)) }

// lockToken is a UUID where it can be, as IoT Hub's are.
func lockToken(token string) any {
	if id, err := amqp10.ParseUUID(token); err == nil {
		return id
	}
	return token
}

// deliveryTag has 16 bytes, which .NET's SDK takes for the lock token: that, if it
// is a UUID, or else the delivery's number.
func deliveryTag(token string, n uint64) []byte {
	id, err := amqp10.ParseUUID(token)
	if err != nil {
		binary.BigEndian.PutUint64(id[8:], n)
	}
	return id[:]
}
