package amqphead

import (
	"strings"

	"sluice/internal/topic"
	"sluice/iot"
)

// cbsNode takes tokens.
const cbsNode = "$cbs"

// A node is what a link leads to.
type node uint8

const (
	events   node = iota + 1 // telemetry, and a module's inputs
	commands                 // to a device
	methods
	twins
)

var nodeNames = map[string]node{
	"messages/events":      events,
	"messages/devicebound": commands,
	"methods/devicebound":  methods,
	"twin":                 twins,
}

// String is the node as addresses have it.
func (n node) String() string {
	for name, m := range nodeNames {
		if m == n {
			return name
		}
	}
	return "nothing"
}

// An address is a node of an identity.
type address struct {
	identity iot.Identity
	node     node
}

// parseAddress reads the address of a link. The error is an [iot.Error]: Invalid
// for ids that cannot be, NotFound for what is no node of a device or module.
func parseAddress(text string) (address, error) {
	segments := strings.Split(strings.Trim(path(text), "/"), "/")
	if len(segments) < 3 || !strings.EqualFold(segments[0], "devices") {
		return address{}, noNode(text)
	}
	a := address{identity: iot.DeviceIdentity(topic.Unescape(segments[1]))}
	rest := segments[2:]
	if strings.EqualFold(rest[0], "modules") && len(rest) > 2 {
		a.identity.Module = topic.Unescape(rest[1])
		rest = rest[2:]
		if err := iot.ValidateID(a.identity.Module); err != nil {
			return address{}, iot.Errorf(iot.Invalid, "attach", iot.Identity{}, "%.300q names no module: its id %v", text, err)
		}
	}
	if err := a.identity.Validate(); err != nil {
		return address{}, iot.Errorf(iot.Invalid, "attach", iot.Identity{}, "%.300q names no device or module: %v", text, err)
	}
	if a.node = nodeNames[strings.ToLower(strings.Join(rest, "/"))]; a.node == 0 {
		return address{}, noNode(text)
	}
	return a, nil
}

// path is what stands behind the host, if there is one.
func path(text string) string {
	_, rest, ok := strings.Cut(text, "://")
	if !ok {
		return text
	}
	_, rest, _ = strings.Cut(rest, "/")
	return rest
}

func noNode(text string) error {
	return iot.Errorf(iot.NotFound, "attach", iot.Identity{}, "%.300q is not a node of a device or module", text)
}
