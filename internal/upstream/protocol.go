package upstream

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/coder/websocket"

	"sluice/iot"
)

// Protocol is how sessions speak to the hub.
type Protocol string

// The protocols. Those over WebSockets use the HTTPS port, and pass proxies.
const (
	AMQP   Protocol = "amqp"
	AMQPWS Protocol = "amqp-ws"
	MQTT   Protocol = "mqtt"
	MQTTWS Protocol = "mqtt-ws"
)

// ParseProtocol reads the name of a protocol in our spelling, or in that of IoT
// Edge's setting UpstreamProtocol (Amqp, AmqpWs, Mqtt, MqttWs), in any case.
func ParseProtocol(name string) (Protocol, error) {
	plain := strings.ToLower(strings.ReplaceAll(name, "-", ""))
	for _, p := range []Protocol{AMQP, AMQPWS, MQTT, MQTTWS} {
		if plain == strings.ReplaceAll(string(p), "-", "") {
			return p, nil
		}
	}
	return "", fmt.Errorf("%.50q is no protocol: amqp, amqp-ws, mqtt or mqtt-ws", name)
}

// A link opens sessions in one protocol.
type link interface {
	Connect(context.Context, iot.Credentials, iot.Client) (iot.Session, error)
}

// dialer returns what connects for sessions: TLS, or a WebSocket.
func (h *Hub) dialSession() func(context.Context) (net.Conn, error) {
	switch h.opt.Protocol {
	case AMQP:
		return func(ctx context.Context) (net.Conn, error) { return h.dialTLS(ctx, h.opt.AMQPPort) }
	case AMQPWS:
		return func(ctx context.Context) (net.Conn, error) { return h.dialWebSocket(ctx, "AMQPWSB10") }
	case MQTTWS:
		return func(ctx context.Context) (net.Conn, error) { return h.dialWebSocket(ctx, "mqtt") }
	}
	return func(ctx context.Context) (net.Conn, error) { return h.dialTLS(ctx, h.opt.MQTTPort) }
}

// dialWebSocket connects to the path that IoT Hub serves WebSockets on, through
// the proxy if there is one.
func (h *Hub) dialWebSocket(ctx context.Context, subprotocol string) (net.Conn, error) {
	url := "wss://" + h.address(h.opt.HTTPSPort) + "/$iothub/websocket"
	ws, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{
		HTTPClient:      &http.Client{Transport: h.http.Transport},
		Subprotocols:    []string{subprotocol},
		CompressionMode: websocket.CompressionDisabled,
	})
	if err != nil {
		return nil, err
	}
	if got := ws.Subprotocol(); got != subprotocol {
		_ = ws.CloseNow()
		return nil, fmt.Errorf("the hub does not speak %s over WebSockets", subprotocol)
	}
	ws.SetReadLimit(-1) // the protocol above has its own
	return websocket.NetConn(context.Background(), ws, websocket.MessageBinary), nil
}
