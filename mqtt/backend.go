package mqtt

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"time"
)

// A Backend gives MQTT connections their meaning.
type Backend interface {
	// Connect judges a CONNECT. Nothing that the client sent after it is looked
	// at before Connect returns; what came in the same flight is served then.
	//
	// To accept, it returns the session, and whether the session was there
	// before (present is ignored, and reported as false, when c.CleanSession is
	// set [MQTT-3.2.2-1]). A *[ConnectError] is answered with its code; any
	// other error closes the connection without an answer.
	//
	// If the client is already connected, Connect is where the older Conn is
	// closed [MQTT-3.1.4-2]. The conn may be kept; its Publish reports ErrFull
	// until the first Ready of the session, which follows the CONNACK.
	//
	// ctx ends when the server stops, and ConnectTimeout after the CONNECT.
	// Connect is called concurrently for different connections.
	Connect(ctx context.Context, c *Connect, conn *Conn) (s Session, present bool, err error)
}

// A Session is what a Backend made of one connection. When Connect returned
// one, Closed is called exactly once, as the last of its methods.
type Session interface {
	// Publish takes over the publications that arrived together, in order. It
	// is expected to be quick: to start storing, not to wait for it. The slice
	// is the engine's and valid only during the call; its elements may be
	// copied and kept, and their payloads belong to the session.
	//
	// For each element, QoS 0 included, Ack must be called exactly once, now or
	// later.
	Publish(batch []Publish)

	// Subscribe decides on the filters of one SUBSCRIBE, which are well formed
	// and ask for QoS 0 or 1. It returns for each the granted QoS, or Refused;
	// a filter that has no result is refused. An error closes the connection
	// without a SUBACK. Messages may be published from within.
	Subscribe(filters []Filter) ([]QoS, error)

	// Unsubscribe removes those subscriptions that are there. An error closes
	// the connection without an UNSUBACK.
	Unsubscribe(filters []string) error

	// Ready says that Conn.Publish takes messages: once after the CONNACK was
	// queued, and again after a Publish that returned ErrFull, as soon as there
	// is room. It must not block: what it publishes leaves when it returns. It
	// may run while other methods of the session do.
	Ready()

	// Closed says that the connection has ended. The reason is nil if the
	// client sent DISCONNECT; otherwise see the errors of this package, and
	// what was given to Conn.Close and Publish.Ack. A will that is not nil must
	// be published now [MQTT-3.1.2-8]; after a DISCONNECT it is nil.
	//
	// Publications that were not acknowledged are still the session's to store;
	// their Ack has no effect any more. The done functions of all messages in
	// flight to the client have been called.
	Closed(reason error, will *Message)
}

// QoS is a quality of service level, or a subscription's result.
type QoS byte

// The levels, and the result of a subscription that was not granted (the
// SUBACK return code of section 3.9.3).
const (
	AtMostOnce  QoS = 0
	AtLeastOnce QoS = 1
	ExactlyOnce QoS = 2
	Refused     QoS = 0x80
)

// A Filter is one topic filter of a SUBSCRIBE.
type Filter struct {
	Topic string // may have the wildcards + and #
	QoS   QoS    // the highest level that the client asks for
}

// A Message is a publication in either direction, or a will.
type Message struct {
	Topic   string
	Payload []byte
	QoS     QoS
	Retain  bool

	// Dup marks what may be a repetition. Towards a client the backend sets it
	// when it sends again what was in flight at the end of another connection
	// [MQTT-3.3.1-1].
	Dup bool

	// PacketID identifies a QoS 1 message in flight. Towards a client, zero
	// lets the engine choose; a message that is sent again keeps the identifier
	// of its first time [MQTT-4.4.0-1].
	PacketID uint16
}

// A Publish is a message from the client, to be acknowledged.
type Publish struct {
	Message
	conn *Conn
	seq  uint64
}

// Ack settles the publication: nil says that it is safe, and the client learns
// so once all earlier ones are; an error closes the connection with that reason,
// and the publication is never acknowledged. Ack may be called by any goroutine
// and does not block on the network. Only the first call has an effect.
func (p *Publish) Ack(err error) { p.conn.settle(p.seq, err) }

// Connect is what a client says of itself.
type Connect struct {
	// ClientID is empty only together with CleanSession; the backend then
	// makes one up, or refuses [MQTT-3.1.3-6].
	ClientID     string
	CleanSession bool

	Username string // empty if absent
	Password []byte // nil if absent

	// KeepAlive is the interval that the client asked for; zero if it wants
	// none. The engine closes the connection after 1.5 times this, and in any
	// case after Limits.MaxKeepAlive without a packet.
	KeepAlive time.Duration

	// Will is nil if there is none. The backend refuses the connection if the
	// client may not publish it; see also Session.Closed.
	Will *Message

	// TLS is the state after the handshake, with the client's certificates;
	// nil if the connection has no TLS.
	TLS        *tls.ConnectionState
	RemoteAddr net.Addr
}

// LogValue leaves the password out.
func (c *Connect) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("client", c.ClientID),
		slog.String("username", c.Username),
		slog.Bool("clean", c.CleanSession),
		slog.Duration("keepalive", c.KeepAlive),
		slog.Bool("will", c.Will != nil),
	)
}

// String is for messages; it leaves the password out.
func (c *Connect) String() string {
	return fmt.Sprintf("CONNECT client=%q username=%q clean=%t keepalive=%v", c.ClientID, c.Username, c.CleanSession, c.KeepAlive)
}

// ConnectCode is the return code of a CONNACK, section 3.2.2.3.
type ConnectCode byte

// The reasons for which a connection is refused.
const (
	CodeProtocolVersion    ConnectCode = 1
	CodeIdentifierRejected ConnectCode = 2
	CodeServerUnavailable  ConnectCode = 3
	CodeBadCredentials     ConnectCode = 4
	CodeNotAuthorized      ConnectCode = 5
)

func (c ConnectCode) String() string {
	switch c {
	case 0:
		return "accepted"
	case CodeProtocolVersion:
		return "unacceptable protocol version"
	case CodeIdentifierRejected:
		return "identifier rejected"
	case CodeServerUnavailable:
		return "server unavailable"
	case CodeBadCredentials:
		return "bad user name or password"
	case CodeNotAuthorized:
		return "not authorized"
	}
	return fmt.Sprintf("code %d", byte(c))
}
