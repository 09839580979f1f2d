package amqphead

import "sluice/iot"

// What tests outside look at.
var (
	ParseUser     = parseUser
	ReadBatch     = readBatch
	WriteDelivery = writeDelivery
	Refusal       = refusal
	DeliveryTag   = deliveryTag
)

// ParseAddress is parseAddress, with the node as text.
func ParseAddress(text string) (id iot.Identity, node string, err error) {
	a, err := parseAddress(text)
	return a.identity, a.node.String(), err
}
