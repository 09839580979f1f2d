package webhead

import (
	"errors"
	"net/http"
	"strings"

	"sluice/internal/hub/code"
	"sluice/internal/webhead/websocket"
	"sluice/iot"
)

// The subprotocols of WebSockets.
const (
	mqttProtocol = "mqtt"
	amqpProtocol = "AMQPWSB10"
)

// upgrade hands the connection to the engine of a WebSocket's subprotocol. Who the
// client is, that protocol asks.
func (c *call) upgrade() (answer, error) {
	protocol, err := websocket.Check(c.r, c.protocols())
	if err != nil {
		return answer{}, c.notUpgraded(err)
	}
	engine := c.opt.MQTT
	if strings.EqualFold(protocol, amqpProtocol) {
		engine = c.opt.AMQP
	}
	if !c.sockets.begin() {
		return answer{}, iot.ErrClosed
	}
	conn, err := websocket.Upgrade(c.w, c.r, protocol)
	if err != nil {
		c.sockets.done()
		c.log.Debug("webhead: no WebSocket", "remote", c.r.RemoteAddr, "err", err)
		return answer{taken: true}, nil
	}
	quiet(c.r)
	h := c.Head // the request is not kept
	go func() {
		defer h.sockets.done()
		_ = engine.ServeConn(h.life, conn) // the engine has logged it
	}()
	return answer{taken: true}, nil
}

func (c *call) protocols() []string {
	var all []string
	if c.opt.MQTT != nil {
		all = append(all, mqttProtocol)
	}
	if c.opt.AMQP != nil {
		all = append(all, amqpProtocol)
	}
	return all
}

// notUpgraded is a failed handshake as an answer.
func (c *call) notUpgraded(err error) error {
	var refused *websocket.HandshakeError
	if !errors.As(err, &refused) {
		return err
	}
	switch refused.Status {
	case http.StatusUpgradeRequired:
		c.w.Header().Set("Connection", "Upgrade")
		c.w.Header().Set("Upgrade", "websocket")
	case http.StatusBadRequest:
		c.w.Header().Set("Sec-WebSocket-Version", "13")
	}
	e := code.Errorf(code.InvalidOperation, "websocket", iot.Identity{}, "%s", refused.Text)
	e.Err = &statusError{code.InvalidOperation, refused.Status}
	return e
}
