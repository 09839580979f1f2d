package metrics

import (
	"sync/atomic"
	"time"

	"sluice/internal/gateway"
	"sluice/internal/spool"
	"sluice/internal/tlsx"
	"sluice/mqtt"
)

// A Source is a gateway and what is around it. HubHost, Device, Gateway and Spool
// are required.
type Source struct {
	HubHost   string // the label iothub
	Device    string // the label edge_device
	Gateway   *gateway.Gateway
	Spool     *spool.Store
	Listeners []Listener
	// Expires is when the server certificate does; may be nil.
	Expires func() time.Time
	// TurnedAway counts the connections and logins that were refused because
	// their address had failed too often; may be nil.
	TurnedAway *atomic.Uint64
}

// A Listener is one port.
type Listener struct {
	Protocol string      // "mqtt", "amqp", "https"
	Conns    *tlsx.Stats // may be nil
	MQTT     *mqtt.Stats // of the engine behind it, if it speaks MQTT; may be nil
}
