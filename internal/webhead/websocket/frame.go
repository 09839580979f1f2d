package websocket

import (
	"encoding/binary"
	"fmt"
)

// The opcodes of frames, RFC 6455 section 5.2.
const (
	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xA
)

const (
	finBit     = 0x80
	reserved   = 0x70
	maskBit    = 0x80
	minHeader  = 6  // of a client's frame, which is masked
	maxHeader  = 14 // with a length of 64 bits
	maxControl = 125
)

// The status codes of closing, RFC 6455 section 7.4.1.
const (
	StatusNormal      = 1000
	StatusGoingAway   = 1001
	StatusProtocol    = 1002
	StatusUnsupported = 1003
	statusNone        = 1005 // stands for none; never sent
	StatusPolicy      = 1008
)

// A ProtocolError is what a client did that a WebSocket must not. It has been told
// the status.
type ProtocolError struct {
	Status int
	Text   string
}

// Error says what the client did.
func (e *ProtocolError) Error() string {
	return fmt.Sprintf("websocket: %s (status %d)", e.Text, e.Status)
}

func violation(format string, args ...any) *ProtocolError {
	return &ProtocolError{StatusProtocol, fmt.Sprintf(format, args...)}
}

// A header is the header of a client's frame.
type header struct {
	final  bool
	opcode byte
	length uint64
	mask   [4]byte
}

func (h *header) control() bool { return h.opcode >= opClose }

// headerSize is the size of the header that begins with b, of which there are
// minHeader bytes.
func headerSize(b []byte) int {
	switch b[1] &^ maskBit {
	case 126:
		return minHeader + 2
	case 127:
		return minHeader + 8
	}
	return minHeader
}

// parseHeader reads a header, which is whole. within says that it follows a frame
// that was not the last of its message.
func parseHeader(b []byte, within bool) (header, *ProtocolError) {
	h := header{final: b[0]&finBit != 0, opcode: b[0] & 0x0f, length: uint64(b[1] &^ maskBit)}
	switch h.length {
	case 126:
		h.length = uint64(binary.BigEndian.Uint16(b[2:]))
	case 127:
		h.length = binary.BigEndian.Uint64(b[2:])
	}
	copy(h.mask[:], b[len(b)-4:])
	switch {
	case b[0]&reserved != 0:
		return h, violation("a reserved bit is set, and no extension was agreed on")
	case b[1]&maskBit == 0:
		return h, violation("a client's frame is not masked")
	case h.length>>63 != 0:
		return h, violation("a length has its highest bit set")
	case h.control() && (!h.final || h.length > maxControl):
		return h, violation("a control frame is fragmented or longer than %d bytes", maxControl)
	}
	return h, h.checkOpcode(within)
}

func (h *header) checkOpcode(within bool) *ProtocolError {
	switch h.opcode {
	case opClose, opPing, opPong:
		return nil
	case opContinuation:
		if !within {
			return violation("a continuation of nothing")
		}
		return nil
	case opBinary:
		if within {
			return violation("a new message before the end of the last")
		}
		return nil
	case opText:
		return &ProtocolError{StatusUnsupported, "a text message, where binary ones carry the protocol"}
	}
	return violation("opcode %d is none", h.opcode)
}

// unmask applies a mask to b, the first byte of which is at position at of the
// payload.
func unmask(b []byte, mask [4]byte, at uint64) {
	var key [8]byte
	for i := range key {
		key[i] = mask[(at+uint64(i))%4]
	}
	word := binary.LittleEndian.Uint64(key[:])
	for len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^word)
		b = b[8:]
	}
	for i := range b {
		b[i] ^= key[i]
	}
}

// appendHeader appends the header of a frame of ours, which is not masked.
func appendHeader(b []byte, opcode byte, length int) []byte {
	b = append(b, finBit|opcode)
	switch {
	case length < 126:
		return append(b, byte(length))
	case length <= 0xffff:
		return binary.BigEndian.AppendUint16(append(b, 126), uint16(length))
	}
	return binary.BigEndian.AppendUint64(append(b, 127), uint64(length))
}
