package bench

import (
	"encoding/binary"
	"errors"
	"net"
	"os"
	"time"
)

// A mqttClient publishes at QoS 1. It writes what its window has room for in one
// write, reads what has come, and so on, on one goroutine.
type mqttClient struct {
	meter
	nc      net.Conn
	packet  []byte // a PUBLISH
	id      int    // where its identifier stands, which is its slot and 1
	out, in []byte // what is written, and what was read and is no whole packet yet
}

func (l *Load) newMQTTClient(n int, nc net.Conn, login Login) *mqttClient {
	c := &mqttClient{meter: l.newMeter(n), nc: nc, in: make([]byte, 0, 4096)}
	c.packet, c.id = newPublish(login.Topic, payload(l.Size))
	return c
}

// Close cuts the connection.
func (c *mqttClient) Close() error { return c.nc.Close() }

// run sends until the end and waits for what is in flight then.
func (c *mqttClient) run() {
	defer c.nc.Close()
	ended := time.Time{}
	for {
		now := time.Now()
		if ended.IsZero() && c.over(now) {
			ended = now
		}
		if ended.IsZero() {
			if c.err = c.write(now); c.err != nil {
				return
			}
		}
		if c.inFlight == 0 && (!ended.IsZero() || c.over(now)) {
			_, c.err = c.nc.Write([]byte{0xe0, 0}) // DISCONNECT
			return
		}
		if c.err = c.read(c.patience(ended)); c.err != nil {
			return
		}
	}
}

// write sends what there is room for and what is due.
func (c *mqttClient) write(now time.Time) error {
	c.out = c.out[:0]
	for {
		slot, ok := c.next(now)
		if !ok {
			break
		}
		begin := len(c.out)
		c.out = append(c.out, c.packet...)
		binary.BigEndian.PutUint16(c.out[begin+c.id:], slot+1)
	}
	if len(c.out) == 0 {
		return nil
	}
	if err := c.nc.SetWriteDeadline(now.Add(answerTime)); err != nil {
		return err
	}
	_, err := c.nc.Write(c.out)
	return err
}

// read takes what has come, and waits for something until then.
func (c *mqttClient) read(until time.Time) error {
	if err := c.nc.SetReadDeadline(until); err != nil {
		return err
	}
	n, err := c.nc.Read(c.in[len(c.in):cap(c.in)])
	if errors.Is(err, os.ErrDeadlineExceeded) {
		if c.isDue(time.Now()) {
			return nil
		}
		return errUnanswered
	}
	if err != nil {
		return err
	}
	now := time.Now()
	rest := c.in[:len(c.in)+n]
	for len(rest) > 0 {
		kind, body, after, err := cutPacket(rest)
		if err != nil {
			return err
		}
		if after == nil {
			break
		}
		rest = after
		if kind == packetPuback {
			if len(body) != 2 {
				return errMalformed
			}
			if err := c.acknowledged(int(binary.BigEndian.Uint16(body))-1, now); err != nil {
				return err
			}
		}
	}
	c.in = c.in[:copy(c.in[:cap(c.in)], rest)]
	if len(c.in) == cap(c.in) {
		return errMalformed // longer than anything that was asked for
	}
	return nil
}
