package mqtt

import (
	"fmt"
	"time"
)

// Limits bounds what one client can make the server hold or wait for. A zero
// field takes the default in its comment; a negative one is an error.
type Limits struct {
	// ConnectTimeout is the time from accept to the end of the CONNECT, TLS
	// handshake included, however slowly bytes come: 10 s. The backend's
	// verdict has as long again.
	ConnectTimeout time.Duration
	// WriteTimeout is the time in which a client must take 16 KiB: 10 s.
	WriteTimeout time.Duration
	// MaxKeepAlive ends a connection that is silent for so long, whatever
	// keep-alive it asked for: 10 min.
	MaxKeepAlive time.Duration
	// ShutdownGrace is how long, after the server was told to stop, outstanding
	// publications may take to be acknowledged: 3 s.
	ShutdownGrace time.Duration

	// MaxConnect is the length of a CONNECT in bytes: 69632 (68 KiB).
	MaxConnect int
	// MaxPayload is the length of a publication without its topic: 262144
	// (256 KiB). Other packets may have as many bytes and 65539 more.
	MaxPayload int
	// MaxTopicLevels is the number of levels of a topic or filter: 128.
	MaxTopicLevels int
	// MaxFilters is the number of filters that one SUBSCRIBE may have granted:
	// 64. Those after them are refused.
	MaxFilters int
	// MaxSubscriptions is the number of subscriptions that a connection may
	// make: 512. Further ones are refused. Those of a resumed session are the
	// backend's to count.
	MaxSubscriptions int

	// MaxInbound is the number of unacknowledged publications of a client, and
	// MaxInboundBytes the sum of their payloads and topics, at which reading
	// from it pauses: 256, and 1048576 (1 MiB). The publication that passes
	// MaxInboundBytes is still taken.
	MaxInbound      int
	MaxInboundBytes int
	// MaxOutbound is the number of QoS 1 messages in flight to a client: 16;
	// at most 1024.
	MaxOutbound int
	// MaxOutboundBytes is the number of unwritten bytes at which Conn.Publish
	// reports ErrFull: 65536 (64 KiB). The message that passes it is taken.
	MaxOutboundBytes int

	// MaxConnections is the number of connections of one Serve at which it
	// stops accepting until one ends; zero for no limit.
	MaxConnections int
}

// withDefaults returns l with its zero fields set.
func (l Limits) withDefaults() (Limits, error) {
	for _, d := range []struct {
		name  string
		field *time.Duration
		value time.Duration
	}{
		{"ConnectTimeout", &l.ConnectTimeout, 10 * time.Second},
		{"WriteTimeout", &l.WriteTimeout, 10 * time.Second},
		{"MaxKeepAlive", &l.MaxKeepAlive, 10 * time.Minute},
		{"ShutdownGrace", &l.ShutdownGrace, 3 * time.Second},
	} {
		if err := orDefault(d.name, d.field, d.value); err != nil {
			return l, err
		}
	}
	for _, n := range []struct {
		name  string
		field *int
		value int
	}{
		{"MaxConnect", &l.MaxConnect, 68 << 10},
		{"MaxPayload", &l.MaxPayload, 256 << 10},
		{"MaxTopicLevels", &l.MaxTopicLevels, 128},
		{"MaxFilters", &l.MaxFilters, 64},
		{"MaxSubscriptions", &l.MaxSubscriptions, 512},
		{"MaxInbound", &l.MaxInbound, 256},
		{"MaxInboundBytes", &l.MaxInboundBytes, 1 << 20},
		{"MaxOutbound", &l.MaxOutbound, 16},
		{"MaxOutboundBytes", &l.MaxOutboundBytes, 64 << 10},
		{"MaxConnections", &l.MaxConnections, 0},
	} {
		if err := orDefault(n.name, n.field, n.value); err != nil {
			return l, err
		}
	}
	if l.MaxOutbound > 1024 {
		return l, fmt.Errorf("mqtt: Limits.MaxOutbound is %d, at most 1024", l.MaxOutbound)
	}
	return l, nil
}

func orDefault[T time.Duration | int](name string, field *T, value T) error {
	if *field < 0 {
		return fmt.Errorf("mqtt: Limits.%s is negative", name)
	}
	if *field == 0 {
		*field = value
	}
	return nil
}
