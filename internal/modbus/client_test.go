package modbus

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/internal/modbus/modbustest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 30 * time.Second

func TestReadAndWrite(t *testing.T) {
	s := modbustest.New(t, map[byte]*modbustest.Unit{1: {
		Coils:    map[uint16]bool{0: true, 1: false, 2: true, 3: false, 4: false, 5: false, 6: false, 7: false, 8: true},
		Discrete: map[uint16]bool{9: true},
		Holding:  map[uint16]uint16{0: 1, 1: 0xFFFF, 2: 3},
		Input:    map[uint16]uint16{65535: 7},
	}})
	c := &Client{Address: s.Addr, Timeout: patience}
	defer c.Close()
	ctx := t.Context()
	if got, err := c.ReadBits(ctx, 1, ReadCoils, 0, 9); err != nil || !slices.Equal(got, []bool{true, false, true, false, false, false, false, false, true}) {
		t.Error(got, err)
	}
	if got, err := c.ReadBits(ctx, 1, ReadDiscreteInputs, 9, 1); err != nil || !got[0] {
		t.Error(got, err)
	}
	if err := c.WriteCoil(ctx, 1, 1, true); err != nil {
		t.Error(err)
	}
	if err := c.WriteRegisters(ctx, 1, 0, []uint16{5}); err != nil {
		t.Error(err)
	}
	if err := c.WriteRegisters(ctx, 1, 1, []uint16{6, 7}); err != nil {
		t.Error(err)
	}
	if got, err := c.ReadRegisters(ctx, 1, ReadHoldingRegisters, 0, 3); err != nil || !slices.Equal(got, []uint16{5, 6, 7}) {
		t.Error(got, err)
	}
	if got, err := c.ReadRegisters(ctx, 1, ReadInputRegisters, 65535, 1); err != nil || got[0] != 7 {
		t.Error(got, err)
	}
	if got, err := c.ReadBits(ctx, 1, ReadCoils, 1, 1); err != nil || !got[0] {
		t.Error(got, err)
	}
	var e Exception
	if _, err := c.ReadRegisters(ctx, 1, ReadHoldingRegisters, 3, 1); !errors.As(err, &e) || e != 2 || c.conn == nil {
		t.Error(err, c.conn)
	}
	if _, err := c.ReadRegisters(ctx, 2, ReadHoldingRegisters, 0, 1); !errors.As(err, &e) || e != 11 {
		t.Error(err)
	}
	for _, err := range []error{
		second(c.ReadBits(ctx, 1, ReadHoldingRegisters, 0, 1)), second(c.ReadBits(ctx, 1, ReadCoils, 0, 2001)),
		second(c.ReadRegisters(ctx, 1, ReadCoils, 0, 1)), second(c.ReadRegisters(ctx, 1, ReadInputRegisters, 0, 126)),
		c.WriteRegisters(ctx, 1, 0, nil), c.WriteRegisters(ctx, 1, 0, make([]uint16, 124)),
	} {
		if err == nil {
			t.Error("a request that cannot be was sent")
		}
	}
}

func second[T any](_ T, err error) error { return err }

// A silent device costs the time that it was given, and no more; the end of ctx ends
// the wait at once.
func TestASilentDevice(t *testing.T) {
	s := modbustest.New(t, nil)
	s.Mute(true)
	c := &Client{Address: s.Addr, Timeout: 20 * time.Millisecond}
	if _, err := c.ReadBits(t.Context(), 1, ReadCoils, 0, 1); err == nil || !strings.Contains(err.Error(), "timeout") || c.conn != nil {
		t.Error(err)
	}
	c.Timeout = time.Hour
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := c.ReadBits(ctx, 1, ReadCoils, 0, 1); err == nil || c.conn != nil {
		t.Error(err)
	}
}

// A context may end while the connection does, and while the answer comes.
func TestAnEndAtTheLastMoment(t *testing.T) {
	s := modbustest.New(t, map[byte]*modbustest.Unit{1: {Coils: map[uint16]bool{0: true}}})
	c := &Client{Address: s.Addr, Timeout: patience}
	defer c.Close()
	for n := range 400 {
		ctx, cancel := context.WithCancel(t.Context())
		var ending sync.WaitGroup
		ending.Go(cancel)
		if n%2 == 0 {
			ending.Go(s.Cut)
		}
		_, _ = c.ReadBits(ctx, 1, ReadCoils, 0, 1) // it may have been in time
		if n%2 == 1 && c.conn != nil {
			if _, err := c.ReadBits(t.Context(), 1, ReadCoils, 0, 1); err != nil {
				t.Fatalf("the end of another request was this one's: %v", err)
			}
		}
		ending.Wait()
	}
}

// Frames are those of the specification's own examples [AP 6.1, 6.3, 6.12].
func TestFramesAreTheSpecifications(t *testing.T) {
	for _, c := range []struct {
		name string
		got  []byte
		want string
	}{
		{"read coils 20 to 38", request(ReadCoils, 19, 19), "0100130013"},
		{"read holding registers 108 to 110", request(ReadHoldingRegisters, 107, 3), "03006b0003"},
		{"write coil 173", request(WriteCoil, 172, 0xFF00), "0500acff00"},
		{"write registers 2 and 3", writeRequest(1, []uint16{10, 0x102}), "100001000204000a0102"},
		{"a frame", frame(0x1501, 0xFF, request(ReadInputRegisters, 4, 1)), "150100000006ff0400040001"},
	} {
		if got := hex.EncodeToString(c.got); got != c.want {
			t.Errorf("%s: %s, not %s", c.name, got, c.want)
		}
	}
	got, err := bits([]byte{3, 0xCD, 0x6B, 0x05}, 19)
	if err != nil || len(got) != 19 || !got[0] || got[1] || !got[18] {
		t.Error(got, err)
	}
}

// Whatever a device sends, a read returns what was asked for or an error, and an
// error that is not an exception closes the connection.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte("\x00\x01\x00\x00\x00\x05\x01\x03\x02\x00\x07"), uint16(1))
	f.Add([]byte("\x00\x01\x00\x00\x00\x03\x01\x83\x02"), uint16(1))
	f.Add([]byte("\x00\x01\x00\x00\xff\xff\x01"), uint16(125))
	f.Add([]byte("\x00\x02\x00\x00\x00\x05\x01\x03\x02\x00\x07"), uint16(1))
	f.Fuzz(func(t *testing.T, sent []byte, count uint16) {
		n := int(count)%MaxReadRegisters + 1
		c := &Client{Timeout: patience, conn: &canned{Reader: bytes.NewReader(sent)}}
		list, err := c.ReadRegisters(t.Context(), 1, ReadHoldingRegisters, 0, n)
		var e Exception
		switch {
		case err == nil && len(list) != n:
			t.Errorf("%d registers, not %d", len(list), n)
		case err != nil && !errors.As(err, &e) && c.conn != nil:
			t.Errorf("the connection stays after %v", err)
		}
		c = &Client{Timeout: patience, conn: &canned{Reader: bytes.NewReader(sent)}}
		if list, err := c.ReadBits(t.Context(), 1, ReadCoils, 0, n); err == nil && len(list) != n {
			t.Errorf("%d bits, not %d", len(list), n)
		}
		c = &Client{Timeout: patience, conn: &canned{Reader: bytes.NewReader(sent)}}
		_ = c.WriteRegisters(t.Context(), 1, 0, make([]uint16, n%MaxWriteRegisters+1))
	})
}

// canned is a connection over which something was sent.
type canned struct {
	net.Conn
	io.Reader
}

func (c *canned) Read(b []byte) (int, error)  { return c.Reader.Read(b) }
func (c *canned) Write(b []byte) (int, error) { return len(b), nil }
func (c *canned) SetDeadline(time.Time) error { return nil }
func (c *canned) Close() error                { return nil }

func BenchmarkRead(b *testing.B) {
	u := &modbustest.Unit{Holding: make(map[uint16]uint16)}
	for i := range uint16(20) {
		u.Holding[i] = i
	}
	s := modbustest.New(b, map[byte]*modbustest.Unit{1: u})
	c := &Client{Address: s.Addr, Timeout: patience}
	defer c.Close()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.ReadRegisters(b.Context(), 1, ReadHoldingRegisters, 0, 20); err != nil {
			b.Fatal(err)
		}
	}
}
