package webhead

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
)

// An echo is an engine that sends back what comes, after the name of its protocol and
// how many certificates the client showed.
type echo struct{ name string }

func (e echo) ServeConn(ctx context.Context, nc net.Conn) error {
	stop := context.AfterFunc(ctx, func() { _ = nc.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	defer nc.Close() //nolint:errcheck // the client sees it
	state := nc.(interface{ ConnectionState() tls.ConnectionState }).ConnectionState()
	if _, err := io.WriteString(nc, e.name+" "+strings.Repeat("+", len(state.PeerCertificates))); err != nil {
		return err
	}
	if _, err := io.Copy(nc, nc); err != nil {
		_, _ = io.WriteString(nc, "bye") // the client may have gone
		return err
	}
	return nil
}

// webSocket connects another implementation of WebSockets to a stage.
func (s *stage) webSocket(query, protocol string, certificates ...tls.Certificate) (net.Conn, *http.Response, error) {
	client := &http.Client{Transport: &http.Transport{
		DialTLSContext:    func(context.Context, string, string) (net.Conn, error) { return s.dial(certificates...), nil },
		DisableKeepAlives: true,
	}}
	c, r, err := websocket.Dial(s.t.Context(), "wss://hub/$iothub/websocket"+query, &websocket.DialOptions{HTTPClient: client, Subprotocols: []string{protocol}})
	if err != nil {
		return nil, r, err
	}
	return websocket.NetConn(context.Background(), c, websocket.MessageBinary), r, nil
}

func TestWebSocketsGoToTheEngineOfTheirSubprotocol(t *testing.T) {
	for _, tt := range []struct {
		query, protocol string
		certificates    []tls.Certificate
		want            string
	}{
		{"", "mqtt", nil, "MQTT "},
		{"?iothub-no-client-cert=true", "AMQPWSB10", nil, "AMQP "},
		{"", "MQTT", []tls.Certificate{identity()}, "MQTT +"},
		{"", "amqpwsb10", []tls.Certificate{identity()}, "AMQP +"},
	} {
		t.Run(tt.protocol+tt.query, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t, Options{MQTT: echo{"MQTT"}, AMQP: echo{"AMQP"}})
				defer s.Stop()
				c, _, err := s.webSocket(tt.query, tt.protocol, tt.certificates...)
				if err != nil {
					t.Fatal(err)
				}
				go func() { _, _ = io.WriteString(c, "hello") }() // shows below
				want := tt.want + "hello"
				got := make([]byte, len(want))
				if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
					t.Errorf("got %q, %v; want %q", got, err, want)
				}
				_ = c.Close() // TLS on a pipe cannot take its leave
			})
		})
	}
}

func TestM17_WebSocketsThatAreRefusedGetAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, Options{MQTT: echo{"MQTT"}})
		defer s.Stop()
		for protocol, want := range map[string]int{"AMQPWSB10": http.StatusBadRequest, "soap": http.StatusBadRequest} {
			_, r, err := s.webSocket("", protocol)
			if err == nil || r == nil || r.StatusCode != want || r.Header.Get("Iothub-Errorcode") == "" {
				t.Errorf("%s: %v, %+v", protocol, err, r)
			}
		}
		raw := "GET /$iothub/websocket HTTP/1.1\r\nHost: hub\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
			"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\nOrigin: https://evil.example\r\n\r\n"
		if got := s.ask(raw, time.Second); status(got) != "403 Forbidden" {
			t.Errorf("answered %q", got)
		}
	})
}

// What a client sends together with its request is the beginning of the stream.
func TestWebSocketWhoseClientDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, Options{MQTT: echo{"MQTT"}})
		defer s.Stop()
		raw := "GET /$iothub/websocket HTTP/1.1\r\nHost: hub\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
			"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n\x82\x82\x00\x00\x00\x00hi\x88\x80\x00\x00\x00\x00"
		got := s.ask(raw, time.Second)
		if !strings.HasPrefix(got, "HTTP/1.1 101 ") || !strings.HasSuffix(got, "\x82\x05MQTT \x82\x02hi\x88\x00") {
			t.Errorf("answered %q", got)
		}
	})
}

// Requests and WebSockets end with the head, each side hearing the other out.
func TestCloseEndsWebSocketsAndLetsNoneBegin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, Options{MQTT: echo{"MQTT"}})
		defer s.Stop()
		c, _, err := s.webSocket("", "mqtt")
		if err != nil {
			t.Fatal(err)
		}
		read := make(chan string)
		go func() {
			text, _ := io.ReadAll(c) // the end is what is waited for
			read <- string(text)
		}()
		synctest.Wait()
		if err := s.head.Close(); err != nil {
			t.Error(err)
		}
		if text := <-read; text != "MQTT bye" {
			t.Errorf("the client read %q", text)
		}
		if _, r, err := s.webSocket("", "mqtt"); err == nil || r == nil || r.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("after Close: %v, %+v", err, r)
		}
		if got := s.ask(post+"Content-Length: 1\r\nConnection: close\r\n\r\na", time.Minute); !strings.HasPrefix(status(got), "503 ") {
			t.Errorf("after Close a request was answered %q", got)
		}
	})
}

func TestServesWhatIsTheDevices(t *testing.T) {
	h := New(newHub(), Options{})
	defer h.Close() //nolint:errcheck // never fails
	for target, want := range map[string]bool{
		"/devices/d/messages/events":           true,
		"/devices/d/modules/m/messages/events": true,
		"/DEVICES/d/messages/deviceBound/etag": true,
		"/devices/d/files/notifications":       true,
		"/$iothub/websocket":                   true,
		"/health":                              true,
		"/devices/d":                           false,
		"/devices/d/modules":                   false,
		"/devices/query":                       false,
		"/twins/d/methods":                     false,
		"/devices/d/modules/m/devicesAndModulesInDeviceScope": false,
		"/statistics/devices": false,
		"/devices/d/modules/$edgeHub/getDeviceAndModuleOnBehalf": false,
	} {
		r := httptest.NewRequest(http.MethodGet, target, nil)
		if got := h.Serves(r); got != want {
			t.Errorf("%s: %v", target, got)
		}
		r.Header.Set("x-ms-edge-moduleId", "d/m")
		if got := h.Serves(r); strings.HasPrefix(target, "/twins") && !got {
			t.Errorf("%s of a module is not served", target)
		}
	}
}

// A handler may use what is closed after Serve has returned.
func TestServeOutlastsTheRequestsThatItServes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, Options{})
		s.hub.Hold = true // the request takes longer than the grace
		var ended atomic.Bool
		s.hub.Note = func(format string, _ ...any) { ended.Store(strings.HasPrefix(format, "! close")) }
		go s.ask(post+"Content-Length: 1\r\n\r\na", time.Hour)
		synctest.Wait()
		begin := time.Now()
		s.Stop()
		if took := time.Since(begin); took != 3*time.Second || !ended.Load() {
			t.Errorf("took %v; the session has ended: %v", took, ended.Load())
		}
		s.hub.Release(nil)
	})
}

func TestServeReturnsTheErrorOfItsListener(t *testing.T) {
	p := newPipes()
	_ = p.Close()
	err := Serve(t.Context(), p, http.NotFoundHandler(), ServeOptions{TLS: &tls.Config{Certificates: []tls.Certificate{identity()}}})
	if !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}
