package websocket

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// echo upgrades a request and sends back what comes.
func echo(w http.ResponseWriter, r *http.Request) {
	protocol, err := Check(r, []string{"mqtt", "AMQPWSB10"})
	var refused *HandshakeError
	if errors.As(err, &refused) {
		http.Error(w, refused.Text, refused.Status)
		return
	}
	c, err := Upgrade(w, r, protocol)
	if err != nil {
		return // answered
	}
	_, _ = io.Copy(c, c) // its end shows at the client
	_ = c.Close()
}

// The other end is another implementation of the protocol.
func TestEchoToAnotherImplementation(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(echo))
	defer server.Close()
	for _, compression := range []websocket.CompressionMode{websocket.CompressionDisabled, websocket.CompressionContextTakeover} {
		c, response, err := websocket.Dial(t.Context(), server.URL, &websocket.DialOptions{
			HTTPClient: server.Client(), Subprotocols: []string{"other", "amqpwsb10"}, CompressionMode: compression,
		})
		if err != nil {
			t.Fatal(err)
		}
		if p := response.Header.Get("Sec-WebSocket-Protocol"); p != "amqpwsb10" {
			t.Errorf("subprotocol %q is not as the client wrote it", p)
		}
		stream := websocket.NetConn(t.Context(), c, websocket.MessageBinary)
		for _, n := range []int{1, 125, 126, 70_000, 1 << 20} {
			sent := bytes.Repeat([]byte{byte(n)}, n)
			go func() {
				if _, err := stream.Write(sent); err != nil {
					t.Error(err)
				}
			}()
			got := make([]byte, n)
			if _, err := io.ReadFull(stream, got); err != nil || !bytes.Equal(got, sent) {
				t.Fatalf("%d bytes did not come back: %v", n, err)
			}
		}
		reading := make(chan struct{})
		go func() { defer close(reading); _, _ = stream.Read(make([]byte, 1)) }() // a pong needs a reader
		if err := c.Ping(t.Context()); err != nil {
			t.Error(err)
		}
		if err := c.Close(websocket.StatusNormalClosure, "done"); err != nil {
			t.Error(err)
		}
		<-reading
	}
}

func TestM17_HandshakesThatAreRefused(t *testing.T) {
	good := func() *http.Request {
		r := httptest.NewRequest(http.MethodGet, "https://hub/$iothub/websocket", nil)
		for name, value := range map[string]string{
			"Connection": "keep-alive, Upgrade", "Upgrade": "WebSocket", "Sec-WebSocket-Version": "13",
			"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol": "mqtt",
		} {
			r.Header.Set(name, value)
		}
		return r
	}
	for _, tt := range []struct {
		name   string
		change func(*http.Request)
		status int // 0: accepted
	}{
		{"as it should be", func(*http.Request) {}, 0},
		{"the page of its own site", func(r *http.Request) { r.Header.Set("Origin", "https://HUB") }, 0},
		{"one of several subprotocols", func(r *http.Request) { r.Header.Set("Sec-WebSocket-Protocol", "soap, AMQPWSB10") }, 0},
		{"POST", func(r *http.Request) { r.Method = http.MethodPost }, http.StatusMethodNotAllowed},
		{"HTTP/1.0", func(r *http.Request) { r.ProtoMinor = 0 }, http.StatusUpgradeRequired},
		{"HTTP/2", func(r *http.Request) { r.ProtoMajor, r.ProtoMinor = 2, 0 }, http.StatusUpgradeRequired},
		{"no Upgrade", func(r *http.Request) { r.Header.Del("Upgrade") }, http.StatusUpgradeRequired},
		{"no Connection", func(r *http.Request) { r.Header.Set("Connection", "close") }, http.StatusUpgradeRequired},
		{"old version", func(r *http.Request) { r.Header.Set("Sec-WebSocket-Version", "8") }, http.StatusBadRequest},
		{"no key", func(r *http.Request) { r.Header.Del("Sec-WebSocket-Key") }, http.StatusBadRequest},
		{"short key", func(r *http.Request) { r.Header.Set("Sec-WebSocket-Key", "c2hvcnQ=") }, http.StatusBadRequest},
		{"two keys", func(r *http.Request) { r.Header.Add("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==") }, http.StatusBadRequest},
		{"a body", func(r *http.Request) { r.ContentLength = 5 }, http.StatusBadRequest},
		{"wrong subprotocol", func(r *http.Request) { r.Header.Set("Sec-WebSocket-Protocol", "soap") }, http.StatusBadRequest},
		{"no subprotocol", func(r *http.Request) { r.Header.Del("Sec-WebSocket-Protocol") }, http.StatusBadRequest},
		{"foreign Origin", func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") }, http.StatusForbidden},
		{"Origin null", func(r *http.Request) { r.Header.Set("Origin", "null") }, http.StatusForbidden},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := good()
			tt.change(r)
			_, err := Check(r, []string{"mqtt", "AMQPWSB10"})
			var refused *HandshakeError
			if errors.As(err, &refused) != (tt.status != 0) || refused != nil && refused.Status != tt.status {
				t.Errorf("%v, want status %d", err, tt.status)
			}
		})
	}
}

// RFC 6455, section 1.3.
func TestAcceptKey(t *testing.T) {
	if got := acceptKey("dGhlIHNhbXBsZSBub25jZQ=="); got != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Error(got)
	}
}

func TestWithoutAConnectionOfItsOwnARequestIsRefused(t *testing.T) {
	w := httptest.NewRecorder()
	if _, err := Upgrade(w, httptest.NewRequest(http.MethodGet, "/", strings.NewReader("")), "mqtt"); err == nil || w.Code != http.StatusNotImplemented {
		t.Errorf("%v, status %d", err, w.Code)
	}
}

func TestStateOfTheTLSConnectionBelowIsPassedOn(t *testing.T) {
	c := &Conn{}
	if c.ConnectionState().Version != 0 {
		t.Error("there is TLS where there is none")
	}
	c.tls = &tls.ConnectionState{Version: tls.VersionTLS13}
	if c.ConnectionState().Version != tls.VersionTLS13 {
		t.Error("the state is lost")
	}
}
