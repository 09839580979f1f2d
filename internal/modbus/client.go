package modbus

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// Client is a client of one address. It connects when it is needed, and again after
// an error. It is used by one goroutine at a time.
type Client struct {
	Address string        // host:port
	Timeout time.Duration // of connecting, and of an answer

	conn net.Conn // nil while there is none
	last uint16   // transaction
}

// Close closes the connection. The next request opens another.
func (c *Client) Close() {
	if c.conn != nil {
		_ = c.conn.Close() // nothing is buffered
		c.conn = nil
	}
}

// ReadBits reads coils or discrete inputs of a unit.
func (c *Client) ReadBits(ctx context.Context, unit byte, f Function, address uint16, count int) ([]bool, error) {
	if f != ReadCoils && f != ReadDiscreteInputs || count < 1 || count > MaxReadBits {
		return nil, fmt.Errorf("modbus: %d bits cannot be read with function %d", count, f)
	}
	body, err := c.ask(ctx, unit, request(f, address, uint16(count)))
	if err != nil {
		return nil, err
	}
	list, err := bits(body, count)
	return list, c.judge(err)
}

// ReadRegisters reads holding or input registers of a unit.
func (c *Client) ReadRegisters(ctx context.Context, unit byte, f Function, address uint16, count int) ([]uint16, error) {
	if f != ReadHoldingRegisters && f != ReadInputRegisters || count < 1 || count > MaxReadRegisters {
		return nil, fmt.Errorf("modbus: %d registers cannot be read with function %d", count, f)
	}
	body, err := c.ask(ctx, unit, request(f, address, uint16(count)))
	if err != nil {
		return nil, err
	}
	list, err := registers(body, count)
	return list, c.judge(err)
}

// WriteCoil sets or clears a coil of a unit.
func (c *Client) WriteCoil(ctx context.Context, unit byte, address uint16, on bool) error {
	value := uint16(0)
	if on {
		value = 0xFF00 // [AP 6.5]
	}
	return c.write(ctx, unit, request(WriteCoil, address, value))
}

// WriteRegisters writes holding registers of a unit: one with function 6, which
// every device has, and several with function 16, so that they change together.
func (c *Client) WriteRegisters(ctx context.Context, unit byte, address uint16, values []uint16) error {
	switch {
	case len(values) == 1:
		return c.write(ctx, unit, request(WriteRegister, address, values[0]))
	case len(values) == 0 || len(values) > MaxWriteRegisters:
		return fmt.Errorf("modbus: %d registers cannot be written at once", len(values))
	}
	return c.write(ctx, unit, writeRequest(address, values))
}

func (c *Client) write(ctx context.Context, unit byte, pdu []byte) error {
	body, err := c.ask(ctx, unit, pdu)
	if err != nil {
		return err
	}
	return c.judge(echoed(pdu, body))
}

// ask sends a request and returns the body of its answer.
func (c *Client) ask(ctx context.Context, unit byte, pdu []byte) ([]byte, error) {
	if err := c.connect(ctx); err != nil {
		return nil, err
	}
	if err := c.conn.SetDeadline(time.Now().Add(c.Timeout)); err != nil {
		return nil, c.judge(err)
	}
	defer interruptible(ctx, c.conn)()
	c.last++
	if _, err := c.conn.Write(frame(c.last, unit, pdu)); err != nil {
		return nil, c.judge(err)
	}
	got, err := readFrame(c.conn, c.last, unit)
	if err != nil {
		return nil, c.judge(err)
	}
	body, err := answer(pdu, got)
	return body, c.judge(err)
}

// interruptible has waits for conn end with ctx, until the returned function is called.
func interruptible(ctx context.Context, conn net.Conn) (release func()) {
	interrupted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(interrupted)
		_ = conn.SetDeadline(time.Unix(1, 0)) // of an open connection
	})
	return func() {
		if !stop() {
			<-interrupted // or it would be the next request's deadline
		}
	}
}

func (c *Client) connect(ctx context.Context) error {
	if c.conn != nil {
		return nil
	}
	d := net.Dialer{Timeout: c.Timeout}
	conn, err := d.DialContext(ctx, "tcp", c.Address)
	if err != nil {
		return fmt.Errorf("modbus: %w", err)
	}
	c.conn = conn
	return nil
}

// judge closes the connection after errors that leave it in an unknown state: all
// but exceptions.
func (c *Client) judge(err error) error {
	var e Exception
	if err == nil || errors.As(err, &e) {
		return err
	}
	c.Close()
	if errors.Is(err, ErrAnswer) {
		return err
	}
	return fmt.Errorf("modbus: %w", err)
}

const (
	headerLen = 7   // [TCP 3.1.3]
	maxPDU    = 253 // [AP 4.1]
)

// frame puts the header before a PDU: transaction, protocol 0, length, unit.
func frame(transaction uint16, unit byte, pdu []byte) []byte {
	b := make([]byte, 4, headerLen+len(pdu))
	binary.BigEndian.PutUint16(b, transaction)
	b = binary.BigEndian.AppendUint16(b, uint16(1+len(pdu)))
	return append(append(b, unit), pdu...)
}

// readFrame reads the PDU of one frame, which must be of the transaction and unit.
func readFrame(r io.Reader, transaction uint16, unit byte) ([]byte, error) {
	var h [headerLen]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return nil, err
	}
	length := int(binary.BigEndian.Uint16(h[4:])) - 1
	switch {
	case binary.BigEndian.Uint16(h[2:]) != 0:
		return nil, fmt.Errorf("%w: it is not Modbus", ErrAnswer)
	case length < 1 || length > maxPDU:
		return nil, fmt.Errorf("%w: a length of %d", ErrAnswer, length+1)
	case binary.BigEndian.Uint16(h[:]) != transaction:
		return nil, fmt.Errorf("%w: of another transaction", ErrAnswer)
	case h[6] != unit:
		return nil, fmt.Errorf("%w: of unit %d", ErrAnswer, h[6])
	}
	pdu := make([]byte, length)
	_, err := io.ReadFull(r, pdu)
	return pdu, err
}
