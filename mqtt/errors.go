package mqtt

import (
	"errors"
	"fmt"
	"net"

	"sluice/mqtt/internal/packet"
)

// Reasons for which a connection ends, as Session.Closed reports them. Those
// that the peer caused by ending the connection wrap io.EOF or the network's
// error.
var (
	// ErrServerClosed says that the server was stopped.
	ErrServerClosed error = closeError("mqtt: server closed")
	// ErrConnectTimeout says that no CONNECT came within Limits.ConnectTimeout.
	ErrConnectTimeout error = closeError("mqtt: no CONNECT in time")
	// ErrKeepAlive says that the client was silent for too long [MQTT-3.1.2-24].
	ErrKeepAlive error = closeError("mqtt: keep-alive expired")
	// ErrWriteTimeout says that the client did not read what was sent to it.
	ErrWriteTimeout error = closeError("mqtt: client does not read")
	// ErrPanic says that a callback or the engine panicked; the log has the stack.
	ErrPanic error = closeError("mqtt: panic while serving the connection")
)

// ErrFull is returned by Conn.Publish when the client has no room for the
// message now. Session.Ready is called when it has.
var ErrFull = errors.New("mqtt: in-flight window is full")

// closeError is a reason that also says that the connection is closed.
type closeError string

func (e closeError) Error() string        { return string(e) }
func (e closeError) Is(target error) bool { return target == net.ErrClosed }

// A ProtocolError says what a client did that the standard, or a limit, does not
// allow. It ends the connection, and is a net.ErrClosed.
type ProtocolError = packet.Error

// A ConnectError refuses a connection with a code that the client sees.
type ConnectError struct {
	Code ConnectCode
	Err  error // why; for the log only, never sent
}

func (e *ConnectError) Error() string {
	if e.Err == nil {
		return "mqtt: connection refused: " + e.Code.String()
	}
	return fmt.Sprintf("mqtt: connection refused: %s: %v", e.Code, e.Err)
}

// Unwrap returns the cause.
func (e *ConnectError) Unwrap() error { return e.Err }
