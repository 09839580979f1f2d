package websocket

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
)

// pair returns a Conn and its client's raw end.
func pair(t testing.TB) (*Conn, net.Conn) {
	near, far := net.Pipe()
	t.Cleanup(func() { _, _ = near.Close(), far.Close() })
	return newConn(near, near, nil), far
}

// frame is one of a client's.
func frame(first byte, payload []byte) []byte {
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, maskBit|byte(n))
	case n <= 0xffff:
		b = binary.BigEndian.AppendUint16(append(b, maskBit|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, maskBit|127), uint64(n))
	}
	mask := [4]byte{1, 0x80, 0x37, 0xff}
	b = append(b, mask[:]...)
	masked := bytes.Clone(payload)
	unmask(masked, mask, 0)
	return append(b, masked...)
}

func closeFrame(status uint16) []byte {
	return frame(finBit|opClose, binary.BigEndian.AppendUint16(nil, status))
}

// reply is a frame of the server's.
type reply struct {
	opcode  byte
	payload string
}

func (r reply) String() string {
	if r.opcode == opClose && len(r.payload) > 1 {
		return fmt.Sprint("close ", binary.BigEndian.Uint16([]byte(r.payload)))
	}
	return fmt.Sprintf("%x %q", r.opcode, r.payload)
}

// replies reads what the server sends, to its end.
func replies(far io.Reader) (all []reply) {
	for {
		var b [10]byte
		if _, err := io.ReadFull(far, b[:2]); err != nil {
			return all
		}
		n := uint64(b[1])
		switch n {
		case 126:
			_, _ = io.ReadFull(far, b[2:4]) // the end shows below
			n = uint64(binary.BigEndian.Uint16(b[2:]))
		case 127:
			_, _ = io.ReadFull(far, b[2:10])
			n = binary.BigEndian.Uint64(b[2:])
		}
		payload := make([]byte, n)
		if _, err := io.ReadFull(far, payload); err != nil || b[0]&finBit == 0 {
			return append(all, reply{0xff, "broken"})
		}
		all = append(all, reply{b[0] & 0xf, string(payload)})
	}
}

// converse sends input to a Conn and returns what is read there, with the error, and
// what the client gets.
func converse(t *testing.T, input []byte) (read string, got []reply, err error) {
	c, far := pair(t)
	var wg sync.WaitGroup
	wg.Go(func() { got = replies(far) })
	wg.Go(func() { _, _ = far.Write(input) }) // the reader may stop early
	data, err := io.ReadAll(c)
	_ = c.Close() // what the client gets shows it
	wg.Wait()
	return string(data), got, err
}

func TestStreamIsWhatTheFramesCarry(t *testing.T) {
	long := strings.Repeat("0123456789", 7000)
	for _, tt := range []struct {
		name   string
		frames [][]byte
		want   string
		got    string
	}{
		{"one message", [][]byte{frame(finBit|opBinary, []byte("hello")), closeFrame(StatusNormal)}, "hello", "[close 1000]"},
		{"several", [][]byte{frame(finBit|opBinary, []byte("he")), frame(finBit|opBinary, nil), frame(finBit|opBinary, []byte("llo")), closeFrame(StatusGoingAway)}, "hello", "[close 1001]"},
		{"fragments", [][]byte{frame(opBinary, []byte("h")), frame(opContinuation, []byte("el")), frame(finBit|opContinuation, []byte("lo")), closeFrame(StatusNormal)}, "hello", "[close 1000]"},
		{"a ping between fragments", [][]byte{frame(opBinary, []byte("h")), frame(finBit|opPing, []byte("you?")), frame(finBit|opContinuation, []byte("i")), closeFrame(StatusNormal)}, "hi", `[a "you?" close 1000]`},
		{"a pong nobody asked for", [][]byte{frame(finBit|opPong, nil), frame(finBit|opBinary, []byte("x")), closeFrame(StatusNormal)}, "x", "[close 1000]"},
		{"16 bits of length", [][]byte{frame(finBit|opBinary, []byte(long[:40000])), closeFrame(StatusNormal)}, long[:40000], "[close 1000]"},
		{"64 bits of length", [][]byte{frame(finBit|opBinary, []byte(long)), closeFrame(StatusNormal)}, long, "[close 1000]"},
		{"a close without status", [][]byte{frame(finBit|opClose, nil)}, "", `[8 ""]`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			read, got, err := converse(t, slices.Concat(tt.frames...))
			if read != tt.want || err != nil || fmt.Sprint(got) != tt.got {
				t.Errorf("read %.40q, %v, the client got %v; want %.40q, %s", read, err, got, tt.want, tt.got)
			}
		})
	}
}

func TestM17_FramesThatMustNotBeEndTheConnection(t *testing.T) {
	gigabyte := []byte{finBit | opBinary, maskBit | 127, 0, 0, 0, 0, 1 << 6, 0, 0, 0, 1, 2, 3, 4}
	for _, tt := range []struct {
		name  string
		input []byte
		want  string
	}{
		{"text", frame(finBit|opText, []byte("hello")), "[close 1003]"},
		{"unmasked", []byte{finBit | opBinary, 5, 'h', 'e', 'l', 'l', 'o'}, "[close 1002]"},
		{"reserved bit", frame(finBit|0x40|opBinary, []byte("x")), "[close 1002]"},
		{"unknown opcode", frame(finBit|0x3, nil), "[close 1002]"},
		{"unknown control opcode", frame(finBit|0xb, nil), "[close 1002]"},
		{"fragmented ping", frame(opPing, nil), "[close 1002]"},
		{"long ping", frame(finBit|opPing, make([]byte, 126)), "[close 1002]"},
		{"continuation of nothing", frame(finBit|opContinuation, nil), "[close 1002]"},
		{"message within a message", slices.Concat(frame(opBinary, nil), frame(finBit|opBinary, nil)), "[close 1002]"},
		{"half a status", frame(finBit|opClose, []byte{3}), "[close 1002]"},
		{"status that is none", closeFrame(999), "[close 1002]"},
		{"length with its highest bit", []byte{finBit | opBinary, maskBit | 127, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4}, "[close 1002]"},
		{"flood of pongs", bytes.Repeat(frame(finBit|opPong, nil), maxBarren+1), "[close 1008]"},
		{"flood of nothing", bytes.Repeat(frame(finBit|opBinary, nil), maxBarren+1), "[close 1008]"},
		{"a gigabyte that does not come", gigabyte, "[]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, far := pair(t)
				var got []reply
				var wg sync.WaitGroup
				wg.Go(func() { got = replies(far) })
				wg.Go(func() { _, _ = far.Write(tt.input) }) // the reader may stop early
				_ = c.SetReadDeadline(time.Now().Add(time.Minute))
				allocated := testing.AllocsPerRun(1, func() {
					if n, err := c.Read(make([]byte, 100)); n != 0 || err == nil {
						t.Errorf("read %d bytes, %v", n, err)
					}
				})
				_ = c.nc.Close()
				wg.Wait()
				if fmt.Sprint(got) != tt.want {
					t.Errorf("the client got %v, want %s", got, tt.want)
				}
				if allocated > 1000 {
					t.Errorf("%v allocations", allocated)
				}
			})
		})
	}
}

// A client may cut what it sends anywhere.
func TestM17_FramesCutAtEveryByte(t *testing.T) {
	input := slices.Concat(frame(opBinary, []byte("he")), frame(finBit|opPing, []byte("?")),
		frame(finBit|opContinuation, bytes.Repeat([]byte("l"), 130)), closeFrame(StatusNormal))
	c, far := pair(t)
	c.in = iotest.OneByteReader(c.nc)
	var got []reply
	var wg sync.WaitGroup
	wg.Go(func() { got = replies(far) })
	wg.Go(func() { _, _ = far.Write(input) })
	read, err := io.ReadAll(c)
	_ = c.Close()
	wg.Wait()
	if want := "he" + strings.Repeat("l", 130); string(read) != want || err != nil || fmt.Sprint(got) != `[a "?" close 1000]` {
		t.Errorf("read %q, %v, the client got %v", read, err, got)
	}
}

// Engines interrupt reads when they stop, and go on writing acknowledgements.
func TestReadThatWasInterruptedLosesNothing(t *testing.T) {
	input := frame(finBit|opBinary, []byte("hello"))
	for cut := range len(input) {
		c, far := pair(t)
		var wg sync.WaitGroup
		interrupted := make(chan struct{})
		wg.Go(func() {
			_, _ = far.Write(input[:cut])
			_ = c.SetReadDeadline(time.Unix(1, 0))
			<-interrupted
			_, _ = far.Write(input[cut:])
		})
		var read []byte
		buf := make([]byte, 10)
		for len(read) < 5 {
			n, err := c.Read(buf)
			read = append(read, buf[:n]...)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				_ = c.SetReadDeadline(time.Time{})
				close(interrupted)
			} else if err != nil {
				t.Fatal(err)
			}
		}
		wg.Wait()
		if string(read) != "hello" {
			t.Fatalf("cut at %d: read %q", cut, read)
		}
	}
}

func TestWritesArriveWhole(t *testing.T) {
	c, far := pair(t)
	var got []reply
	var wg sync.WaitGroup
	wg.Go(func() { got = replies(far) })
	var want []string
	for _, n := range []int{0, 1, 125, 126, bufferSize - 4, bufferSize, 0xffff, 0x10000, 300_000} {
		p := bytes.Repeat([]byte{byte(n)}, n)
		if m, err := c.Write(p); m != n || err != nil {
			t.Fatalf("wrote %d of %d bytes: %v", m, n, err)
		}
		if n > 0 {
			want = append(want, string(p))
		}
	}
	_ = c.nc.Close()
	wg.Wait()
	if len(got) != len(want) {
		t.Fatalf("%d messages arrived, want %d", len(got), len(want))
	}
	for i, r := range got {
		if r.opcode != opBinary || r.payload != want[i] {
			t.Errorf("message %d arrived as %x with %d bytes", i, r.opcode, len(r.payload))
		}
	}
}

// A client that pings and does not read must not hold up what reads from it.
func TestPingsOfAClientThatDoesNotReadAreAnsweredLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, far := pair(t)
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := c.Write([]byte("data")); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait() // the writer hangs
		wg.Go(func() {
			_, _ = far.Write(slices.Concat(frame(finBit|opPing, []byte("1")), frame(finBit|opPing, []byte("2")), frame(finBit|opBinary, []byte("x"))))
		})
		if n, err := c.Read(make([]byte, 10)); n != 1 || err != nil {
			t.Errorf("read %d bytes, %v", n, err)
		}
		var got []reply
		wg.Go(func() { got = replies(far) })
		synctest.Wait()
		_ = c.nc.Close()
		wg.Wait()
		if fmt.Sprint(got) != `[2 "data" a "2"]` {
			t.Errorf("the client got %v", got)
		}
	})
}

// A deadline that interrupts a Write is not undone by a pong.
func TestDeadlineOfTheUserOutlastsAPong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, far := pair(t)
		_ = c.SetWriteDeadline(time.Now().Add(time.Hour))
		var wg sync.WaitGroup
		wg.Go(func() {
			_, _ = far.Write(frame(finBit|opPing, nil))
			_, _ = io.ReadFull(far, make([]byte, 2))
			_, _ = far.Write(frame(finBit|opBinary, []byte("x")))
		})
		if _, err := c.Read(make([]byte, 1)); err != nil {
			t.Error(err)
		}
		begin := time.Now()
		_, err := c.Write([]byte("nobody reads"))
		if took := time.Since(begin); !errors.Is(err, os.ErrDeadlineExceeded) || took != time.Hour {
			t.Errorf("after %v: %v", took, err)
		}
		if _, err := c.Write([]byte("x")); err == nil {
			t.Error("a Write after half a frame succeeded")
		}
		_ = c.nc.Close()
		wg.Wait()
	})
}

func TestCloseWaitsForTheClientAndNotLong(t *testing.T) {
	for _, tt := range []struct {
		name   string
		client func(net.Conn)
		most   time.Duration
	}{
		{"that answers", func(far net.Conn) {
			_, _ = io.ReadFull(far, make([]byte, 4))
			_, _ = far.Write(closeFrame(StatusNormal))
			_, _ = far.Read(make([]byte, 1))
		}, 0},
		{"that does not answer", func(far net.Conn) { _, _ = io.Copy(io.Discard, far) }, closeTime},
		{"that does not read", func(net.Conn) {}, 2 * closeTime},
		{"that goes on sending", func(far net.Conn) {
			go func() { _, _ = io.Copy(io.Discard, far) }()
			for {
				if _, err := far.Write(frame(finBit|opBinary, make([]byte, 1000))); err != nil {
					return
				}
			}
		}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, far := pair(t)
				var wg sync.WaitGroup
				wg.Go(func() { tt.client(far) })
				begin := time.Now()
				_ = c.Close()
				if took := time.Since(begin); took > tt.most {
					t.Errorf("took %v, want at most %v", took, tt.most)
				}
				if err := c.Close(); !errors.Is(err, net.ErrClosed) {
					t.Errorf("closed again: %v", err)
				}
				if _, err := c.Write([]byte("x")); err == nil {
					t.Error("wrote after Close")
				}
				_ = far.Close()
				wg.Wait()
			})
		})
	}
}

func TestCloseEndsAReadAndAWriteThatHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := pair(t)
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := c.Read(make([]byte, 1)); err == nil {
				t.Error("read")
			}
		})
		wg.Go(func() {
			if _, err := c.Write([]byte("x")); err == nil {
				t.Error("wrote")
			}
		})
		synctest.Wait()
		begin := time.Now()
		_ = c.Close()
		wg.Wait()
		if took := time.Since(begin); took > 2*closeTime {
			t.Errorf("took %v", took)
		}
	})
}

// FuzzRead compares with a plain reading of the same frames.
func FuzzRead(f *testing.F) {
	f.Add(slices.Concat(frame(opBinary, []byte("he")), frame(finBit|opPing, []byte("?")), frame(finBit|opContinuation, []byte("llo")), closeFrame(StatusNormal)), uint8(3))
	f.Add([]byte{finBit | opBinary, maskBit | 127, 0, 0, 0, 0, 1 << 6, 0, 0, 0, 1, 2, 3, 4, 5}, uint8(1))
	f.Fuzz(func(t *testing.T, input []byte, size uint8) {
		c := newConn(deaf{}, bytes.NewReader(input), nil)
		var read []byte
		buf := make([]byte, int(size)+1)
		for {
			n, err := c.Read(buf)
			read = append(read, buf[:n]...)
			if err != nil {
				break
			}
		}
		if want := plainly(input); !bytes.Equal(read, want) {
			t.Errorf("read %q, want %q", read, want)
		}
	})
}

// plainly is what input carries up to the first frame that must not be, or is cut.
func plainly(b []byte) (data []byte) {
	within, barren := false, 0
	for len(b) >= minHeader && len(b) >= headerSize(b) {
		size := headerSize(b)
		h, wrong := parseHeader(b[:size], within)
		if wrong != nil {
			return data
		}
		payload := b[size:]
		if h.control() && uint64(len(payload)) < h.length {
			return data
		}
		payload = bytes.Clone(payload[:min(uint64(len(payload)), h.length)])
		unmask(payload, h.mask, 0)
		b = b[size+len(payload):]
		if h.control() || h.length == 0 {
			barren++
		}
		if h.opcode == opClose || barren > maxBarren {
			return data
		}
		if !h.control() {
			data, within = append(data, payload...), !h.final
		}
	}
	return data
}

// deaf is a connection that takes everything.
type deaf struct{ net.Conn }

func (deaf) Write(p []byte) (int, error)      { return len(p), nil }
func (deaf) SetWriteDeadline(time.Time) error { return nil }

func BenchmarkRead(b *testing.B) {
	message := frame(finBit|opBinary, make([]byte, 200))
	c := newConn(deaf{}, &endless{message: message}, nil)
	buf := make([]byte, 4096)
	b.SetBytes(200)
	b.ReportAllocs()
	for b.Loop() {
		if n, err := c.Read(buf); n != 200 || err != nil {
			b.Fatal(n, err)
		}
	}
}

func BenchmarkWrite(b *testing.B) {
	c := newConn(deaf{}, nil, nil)
	p := make([]byte, 200)
	b.SetBytes(200)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Write(p); err != nil {
			b.Fatal(err)
		}
	}
}

// endless is a message again and again.
type endless struct {
	message, left []byte
}

func (e *endless) Read(p []byte) (int, error) {
	if len(e.left) == 0 {
		e.left = e.message
	}
	n := copy(p, e.left)
	e.left = e.left[n:]
	return n, nil
}
