//go:build unix

package robust

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/url"
	"testing"
	"time"

	"sluice/internal/sas"
	"sluice/iot"
)

// MQTT 3.1.1, as much of it as a device needs that sends and counts. It is
// written from the standard and shares nothing with the engine under test.

// The types of packets, section 2.2.1.
const (
	typeConnack = 2
	typePublish = 3
	typePuback  = 4
	typeSuback  = 9
	typePong    = 13
)

// A dialect is how a client says hello: the fields of a CONNECT.
type dialect struct {
	clientID, user, password string
	keepAlive                uint16 // s
	clean                    bool
}

func (d dialect) connect() []byte {
	var b bytes.Buffer
	putString(&b, "MQTT")
	b.WriteByte(4)
	flags := byte(0x80 | 0x40) // user name and password
	if d.clean {
		flags |= 2
	}
	b.WriteByte(flags)
	_ = binary.Write(&b, binary.BigEndian, d.keepAlive) // a Buffer never fails
	putString(&b, d.clientID)
	putString(&b, d.user)
	putString(&b, d.password)
	return packet(0x10, b.Bytes())
}

func publish(topic string, qos byte, id uint16, body []byte, dup bool) []byte {
	var b bytes.Buffer
	putString(&b, topic)
	if qos > 0 {
		_ = binary.Write(&b, binary.BigEndian, id) // a Buffer never fails
	}
	b.Write(body)
	first := 0x30 | qos<<1
	if dup {
		first |= 8
	}
	return packet(first, b.Bytes())
}

func subscribe(id uint16, filter string) []byte {
	var b bytes.Buffer
	_ = binary.Write(&b, binary.BigEndian, id) // a Buffer never fails
	putString(&b, filter)
	b.WriteByte(1)
	return packet(0x82, b.Bytes())
}

var pingreq = []byte{0xC0, 0}

var disconnect = []byte{0xE0, 0}

func putString(b *bytes.Buffer, s string) {
	_ = binary.Write(b, binary.BigEndian, uint16(len(s))) // a Buffer never fails
	b.WriteString(s)
}

// packet puts the fixed header before a body, section 2.2.
func packet(first byte, body []byte) []byte {
	out := binary.AppendUvarint([]byte{first}, uint64(len(body)))
	return append(out, body...)
}

// readPacket reads one packet that a server may send to these clients.
func readPacket(r *bufio.Reader) (kind byte, body []byte, err error) {
	first, err := r.ReadByte()
	if err != nil {
		return 0, nil, err
	}
	n, err := binary.ReadUvarint(r)
	if err != nil {
		return 0, nil, err
	}
	if n > 1<<20 {
		return 0, nil, fmt.Errorf("a packet of %d bytes", n)
	}
	body = make([]byte, n)
	_, err = io.ReadFull(r, body)
	return first >> 4, body, err
}

// A refusedError is a CONNACK with another code than 0.
type refusedError byte

func (e refusedError) Error() string { return fmt.Sprintf("CONNACK %d", byte(e)) }

// hello is the dialect of a device with a token for itself.
func hello(hub, id string, key iot.Secret) (dialect, error) {
	token, err := sas.Sign(key, sas.Resource{Host: hub, Identity: iot.DeviceIdentity(id)}, "", time.Now().Add(time.Hour))
	return dialect{
		clientID: id, password: token, clean: true, keepAlive: 60,
		user: hub + "/" + id + "/?api-version=2021-04-12&DeviceClientType=robust",
	}, err
}

// telemetry is the topic on which a device speaks.
func telemetry(id string) string { return "devices/" + url.PathEscape(id) + "/messages/events/" }

// A connection is an MQTT client's.
type connection struct {
	net.Conn
	in *bufio.Reader
}

// dialMQTT connects and logs in.
func dialMQTT(ctx context.Context, addr string, config *tls.Config, d dialect) (*connection, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	conn, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	c := &connection{conn, bufio.NewReader(conn)}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) }) // wakes who reads
	defer stop()
	if err := c.login(d); err != nil {
		_ = conn.Close() // has failed already
		return nil, err
	}
	return c, nil
}

func (c *connection) login(d dialect) error {
	if _, err := c.Write(d.connect()); err != nil {
		return err
	}
	kind, body, err := readPacket(c.in)
	switch {
	case err != nil:
		return err
	case kind != typeConnack || len(body) != 2:
		return fmt.Errorf("packet %d of %d bytes instead of a CONNACK", kind, len(body))
	case body[1] != 0:
		return refusedError(body[1])
	}
	return nil
}

// ping waits for a PINGRESP.
func (c *connection) ping(t *testing.T) {
	t.Helper()
	_ = c.SetDeadline(time.Now().Add(patience)) // of an open connection
	_, err := c.Write(pingreq)
	if err == nil {
		var kind byte
		if kind, _, err = readPacket(c.in); err == nil && kind != typePong {
			err = fmt.Errorf("packet %d", kind)
		}
	}
	if err != nil {
		t.Errorf("PINGREQ: %v", err)
	}
}
