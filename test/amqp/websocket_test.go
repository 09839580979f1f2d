package amqp

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"sluice/amqp10"

	"github.com/coder/websocket"
)

// AMQP goes through WebSockets as through any stream [AMQP-WSB].
func TestWebSockets(t *testing.T) {
	n := &node{queues: map[string][]message{}, senders: map[string][]*amqp10.Sender{}}
	s := &amqp10.Server{Open: func(*amqp10.Conn) (amqp10.Handler, error) { return n, nil }}
	options := &websocket.AcceptOptions{Subprotocols: []string{"AMQPWSB10"}}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := websocket.Accept(w, r, options)
		if err != nil {
			t.Error(err)
			return
		}
		ws.SetReadLimit(-1) // the engine has its own
		if err := s.ServeConn(r.Context(), websocket.NetConn(context.Background(), ws, websocket.MessageBinary)); err != nil {
			t.Errorf("the connection ended with %v", err)
		}
	}))
	defer web.Close()
	ctx := within(t)
	ws, _, err := websocket.Dial(ctx, web.URL, &websocket.DialOptions{Subprotocols: options.Subprotocols})
	if err != nil {
		t.Fatal(err)
	}
	ws.SetReadLimit(-1)
	c, err := amqp10.NewConn(ctx, websocket.NetConn(context.Background(), ws, websocket.MessageBinary), amqp10.ClientConfig{})
	if err != nil {
		t.Fatal(err)
	}
	session, err := c.NewSession(ctx)
	if err != nil {
		t.Fatal(err)
	}
	exchange(t, session)
	if err := c.Close(ctx); err != nil {
		t.Error(err)
	}
}
