// Package frame encodes and decodes AMQP 1.0 frames (OASIS AMQP 1.0, part 2,
// sections 2.3 and 2.7; part 5, section 5.3) and the types that performatives
// carry: errors, sources, targets and delivery states.
//
// A frame is
//
//	+0  size        4 bytes, of the whole frame
//	+4  data offset 1 byte, in words of 4 bytes, at least 2
//	+5  type        0 AMQP, 1 SASL
//	+6  channel     2 bytes; unused in SASL
//	+8  extended header, to 4 x data offset: passed over
//	    performative, a described list; nothing in a heartbeat
//	    payload, in transfer frames only
//
// Encoding functions append a whole frame to a [wire.Encoder]; decoding ones
// read the body that [Body] has cut out.
package frame

import (
	"encoding/binary"
	"errors"

	"sluice/amqp10/internal/wire"
)

// HeaderSize is the length of the fixed frame header.
const HeaderSize = 8

// MinMaxFrameSize is what every peer must accept [AMQP 2.8.19].
const MinMaxFrameSize = 512

// Frame types [AMQP 2.3.1].
const (
	TypeAMQP = 0
	TypeSASL = 1
)

// What can be wrong with a frame: each is a framing-error [AMQP 2.8.16].
var (
	ErrSize   = errors.New("frame size is below 8")
	ErrTooBig = errors.New("frame is larger than max-frame-size")
	ErrOffset = errors.New("data offset is below 2 or past the frame")
	ErrType   = errors.New("frame type is not the one expected")
)

// Header is the fixed header of a frame.
type Header struct {
	Size       uint32
	DataOffset uint8
	Type       uint8
	Channel    uint16
}

// ParseHeader reads the first 8 bytes of b and checks them [AMQP 2.3.1].
func ParseHeader(b []byte, maxSize uint32, typ uint8) (Header, error) {
	h := Header{binary.BigEndian.Uint32(b), b[4], b[5], binary.BigEndian.Uint16(b[6:])}
	switch {
	case h.Size < HeaderSize:
		return h, ErrSize
	case h.Size > maxSize:
		return h, ErrTooBig
	case h.DataOffset < 2, uint32(h.DataOffset)*4 > h.Size:
		return h, ErrOffset
	case h.Type != typ:
		return h, ErrType
	}
	return h, nil
}

// Body returns the part of a whole frame that follows its headers.
func Body(f []byte, h Header) []byte { return f[int(h.DataOffset)*4 : h.Size] }

// Begin appends the header of a frame and returns where the frame starts.
func Begin(e *wire.Encoder, typ uint8, channel uint16) int {
	start := len(e.B)
	e.B = append(e.B, 0, 0, 0, 0, 2, typ, byte(channel>>8), byte(channel))
	return start
}

// End writes the size of the frame that starts at start.
func End(e *wire.Encoder, start int) {
	binary.BigEndian.PutUint32(e.B[start:], uint32(len(e.B)-start))
}

// Empty appends a frame without a body: a heartbeat [AMQP 2.4.5].
func Empty(e *wire.Encoder) { End(e, Begin(e, TypeAMQP, 0)) }

// Protocol headers [AMQP 2.2, 5.3.2].
const (
	ProtoAMQP = "AMQP\x00\x01\x00\x00"
	ProtoTLS  = "AMQP\x02\x01\x00\x00"
	ProtoSASL = "AMQP\x03\x01\x00\x00"
)

// Codes of performatives and of the types inside them.
const (
	CodeOpen        = 0x10
	CodeBegin       = 0x11
	CodeAttach      = 0x12
	CodeFlow        = 0x13
	CodeTransfer    = 0x14
	CodeDisposition = 0x15
	CodeDetach      = 0x16
	CodeEnd         = 0x17
	CodeClose       = 0x18
	CodeError       = 0x1d

	CodeReceived = 0x23
	CodeAccepted = 0x24
	CodeRejected = 0x25
	CodeReleased = 0x26
	CodeModified = 0x27
	CodeSource   = 0x28
	CodeTarget   = 0x29

	CodeDeleteOnClose             = 0x2b
	CodeDeleteOnNoLinks           = 0x2c
	CodeDeleteOnNoMessages        = 0x2d
	CodeDeleteOnNoLinksOrMessages = 0x2e

	CodeCoordinator        = 0x30
	CodeTransactionalState = 0x34

	CodeMechanisms = 0x40
	CodeInit       = 0x41
	CodeChallenge  = 0x42
	CodeResponse   = 0x43
	CodeOutcome    = 0x44

	CodeHeader                = 0x70
	CodeDeliveryAnnotations   = 0x71
	CodeMessageAnnotations    = 0x72
	CodeProperties            = 0x73
	CodeApplicationProperties = 0x74
	CodeData                  = 0x75
	CodeSequence              = 0x76
	CodeValue                 = 0x77
	CodeFooter                = 0x78
)

// Code returns the numeric descriptor of a symbolic one, or 0.
func Code(name wire.Symbol) uint64 { return codeByName[name] }

// codeByName is built once and only read.
var codeByName = func() map[wire.Symbol]uint64 {
	m := make(map[wire.Symbol]uint64, len(kinds))
	for code, k := range kinds {
		m[wire.Symbol("amqp:"+k.symbol)] = code
	}
	return m
}()

// Descriptor reads the code of the described value that follows.
func Descriptor(d *wire.Decoder) uint64 { return d.Descriptor(Code) }
