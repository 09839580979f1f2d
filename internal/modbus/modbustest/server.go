// Package modbustest simulates Modbus TCP devices, for tests.
package modbustest

import (
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"
)

// A Server is an address with units. Its methods may be called from any goroutine.
type Server struct {
	Addr string

	mu    sync.Mutex
	units map[byte]*Unit
	asked []string
	conns map[net.Conn]bool
	mute  bool
}

// Unit holds what one slave has. What is not in a map is not there.
type Unit struct {
	Coils, Discrete map[uint16]bool
	Holding, Input  map[uint16]uint16
}

// New starts a server on loopback until the test ends.
func New(t testing.TB, units map[byte]*Unit) *Server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Addr: l.Addr().String(), units: units, conns: make(map[net.Conn]bool)}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns[c] = true
			s.mu.Unlock()
			serving.Go(func() { s.serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		s.Cut()
		serving.Wait()
	})
	return s
}

// Change changes what units have, while none is asked.
func (s *Server) Change(f func(map[byte]*Unit)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s.units)
}

// Mute has the server take requests and answer none.
func (s *Server) Mute(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mute = on
}

// Cut ends all connections.
func (s *Server) Cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.Close()
	}
}

// Asked is how many requests came.
func (s *Server) Asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.asked)
}

func (s *Server) serve(c net.Conn) {
	defer func() {
		_ = c.Close()
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
	}()
	for {
		var h [7]byte
		if _, err := io.ReadFull(c, h[:]); err != nil {
			return
		}
		pdu := make([]byte, binary.BigEndian.Uint16(h[4:])-1)
		if _, err := io.ReadFull(c, pdu); err != nil {
			return
		}
		answer := s.answer(h[6], pdu)
		if answer == nil {
			continue
		}
		binary.BigEndian.PutUint16(h[4:], uint16(1+len(answer)))
		if _, err := c.Write(append(h[:], answer...)); err != nil {
			return
		}
	}
}

func (s *Server) answer(id byte, pdu []byte) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, string(pdu))
	if s.mute {
		return nil
	}
	u := s.units[id]
	if u == nil {
		return []byte{pdu[0] | 0x80, 11}
	}
	address, n := binary.BigEndian.Uint16(pdu[1:]), binary.BigEndian.Uint16(pdu[3:])
	ok, answer := false, []byte(nil)
	switch pdu[0] {
	case 1, 2:
		answer, ok = readBits(map[byte]map[uint16]bool{1: u.Coils, 2: u.Discrete}[pdu[0]], address, n)
	case 3, 4:
		answer, ok = readRegisters(map[byte]map[uint16]uint16{3: u.Holding, 4: u.Input}[pdu[0]], address, n)
	case 5:
		if _, ok = u.Coils[address]; ok {
			u.Coils[address] = n == 0xFF00
		}
		answer = pdu[1:5]
	case 6:
		if _, ok = u.Holding[address]; ok {
			u.Holding[address] = n
		}
		answer = pdu[1:5]
	case 16:
		ok = true
		for i := range n {
			if _, there := u.Holding[address+i]; !there {
				ok = false
			}
		}
		for i := range n {
			if ok {
				u.Holding[address+i] = binary.BigEndian.Uint16(pdu[6+2*i:])
			}
		}
		answer = pdu[1:5]
	default:
		return []byte{pdu[0] | 0x80, 1}
	}
	if !ok {
		return []byte{pdu[0] | 0x80, 2}
	}
	return append([]byte{pdu[0]}, answer...)
}

func readBits(from map[uint16]bool, address, n uint16) ([]byte, bool) {
	b := make([]byte, 1+(n+7)/8)
	b[0] = byte(len(b) - 1)
	for i := range n {
		v, ok := from[address+i]
		if !ok {
			return nil, false
		}
		if v {
			b[1+i/8] |= 1 << (i % 8)
		}
	}
	return b, true
}

func readRegisters(from map[uint16]uint16, address, n uint16) ([]byte, bool) {
	b := []byte{byte(2 * n)}
	for i := range n {
		v, ok := from[address+i]
		if !ok {
			return nil, false
		}
		b = binary.BigEndian.AppendUint16(b, v)
	}
	return b, true
}
