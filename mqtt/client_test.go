package mqtt_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"sluice/mqtt"
	"sluice/mqtt/internal/packet"
)

// A wire is a client that sends bytes and reads packets.
type wire struct {
	net.Conn
	t testing.TB
}

// dial connects to a server of its own on a pipe, without CONNECT.
func dial(t testing.TB, s *mqtt.Server) *wire { return &wire{servePipe(t, s), t} }

// connect makes a connection with a session.
func connect(t testing.TB, s *mqtt.Server) *wire {
	t.Helper()
	w := dial(t, s)
	w.login("dev1")
	return w
}

func (w *wire) login(id string) {
	w.t.Helper()
	w.send((&packet.Connect{ClientID: id, CleanSession: true}).Append(nil))
	w.want("CONNACK 0 session-present=false")
}

// send writes, and is not disturbed by a server that has closed.
func (w *wire) send(b []byte) {
	w.t.Helper()
	_ = w.SetWriteDeadline(time.Now().Add(5 * time.Second))
	defer w.SetWriteDeadline(time.Time{})
	if _, err := w.Write(b); errors.Is(err, os.ErrDeadlineExceeded) {
		w.t.Fatal("the server does not read")
	}
}

// want reads one packet.
func (w *wire) want(text string) {
	w.t.Helper()
	_ = w.SetReadDeadline(time.Now().Add(5 * time.Second))
	defer w.SetReadDeadline(time.Time{})
	h, body, err := readPacket(w)
	if err != nil {
		w.t.Fatalf("got %v, want %s", err, text)
	}
	if got := packetText(h, body); got != text {
		w.t.Fatalf("got %s, want %s", got, text)
	}
}

// wantEOF reads to the end, which must come within a second.
func (w *wire) wantEOF() []byte {
	w.t.Helper()
	_ = w.SetReadDeadline(time.Now().Add(time.Second))
	b, err := io.ReadAll(w)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		w.t.Fatal("the connection is still open")
	}
	return b
}

func (w *wire) ping() {
	w.t.Helper()
	w.send([]byte{0xc0, 0})
	w.want("PINGRESP")
}

func publishPacket(t testing.TB, topic string, payload []byte, id uint16) []byte {
	t.Helper()
	p := packet.Publish{Payload: payload, ID: id}
	if id != 0 {
		p.QoS = 1
	}
	b, err := packet.AppendPublish(nil, &p, topic)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A keeper is a backend that keeps what it gets, and calls hooks that are set.
type keeper struct {
	onConnect   func(*mqtt.Connect, *mqtt.Conn) error
	onPublish   func([]mqtt.Publish)
	onSubscribe func([]mqtt.Filter)
	onReady     func()
	hold        bool // do not acknowledge

	mu        sync.Mutex
	published []mqtt.Publish
	conns     []*mqtt.Conn
	closed    []error
}

func (k *keeper) Connect(_ context.Context, c *mqtt.Connect, conn *mqtt.Conn) (mqtt.Session, bool, error) {
	if k.onConnect != nil {
		if err := k.onConnect(c, conn); err != nil {
			return nil, false, err
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.conns = append(k.conns, conn)
	return k, false, nil
}

func (k *keeper) Publish(batch []mqtt.Publish) {
	if k.onPublish != nil {
		k.onPublish(batch)
	}
	k.mu.Lock()
	k.published = append(k.published, batch...)
	k.mu.Unlock()
	for i := range batch {
		if !k.hold {
			batch[i].Ack(nil)
		}
	}
}

func (k *keeper) Subscribe(f []mqtt.Filter) ([]mqtt.QoS, error) {
	if k.onSubscribe != nil {
		k.onSubscribe(f)
	}
	return make([]mqtt.QoS, len(f)), nil
}

func (k *keeper) Unsubscribe([]string) error { return nil }

func (k *keeper) Ready() {
	if k.onReady != nil {
		k.onReady()
	}
}

func (k *keeper) Closed(reason error, _ *mqtt.Message) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closed = append(k.closed, reason)
}

// kept returns what was published so far.
func (k *keeper) kept() []mqtt.Publish {
	k.mu.Lock()
	defer k.mu.Unlock()
	return append([]mqtt.Publish(nil), k.published...)
}

func (k *keeper) reasons() []error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return append([]error(nil), k.closed...)
}

// bytesOf repeats a packet.
func bytesOf(b []byte, n int) []byte { return bytes.Repeat(b, n) }
