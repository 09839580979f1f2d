package modbus

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Function is what is asked of a unit [AP 6].
type Function byte

// The functions.
const (
	ReadCoils            Function = 1
	ReadDiscreteInputs   Function = 2
	ReadHoldingRegisters Function = 3
	ReadInputRegisters   Function = 4
	WriteCoil            Function = 5
	WriteRegister        Function = 6
	WriteRegisters       Function = 16
)

// How much one request may read or write [AP 6.1, 6.3, 6.12].
const (
	MaxReadBits       = 2000
	MaxReadRegisters  = 125
	MaxWriteRegisters = 123
)

// Exception is a unit's answer that it does not do what was asked [AP 7].
type Exception byte

func (e Exception) Error() string {
	if text, ok := exceptions[e]; ok {
		return "modbus: " + text
	}
	return fmt.Sprintf("modbus: exception %d", byte(e))
}

var exceptions = map[Exception]string{
	1:  "the device does not know this function",
	2:  "the device has nothing at this address",
	3:  "the device does not take this value",
	4:  "the device failed",
	5:  "the device needs longer",
	6:  "the device is busy",
	8:  "the device's memory failed",
	10: "the device's gateway has no path to the unit",
	11: "the unit behind the device's gateway does not answer",
}

// ErrAnswer is wrapped by errors about an answer that cannot be one to what was
// asked.
var ErrAnswer = errors.New("modbus: not an answer to the question")

// request makes the PDU of a read, or of a write of one value.
func request(f Function, address, value uint16) []byte {
	b := []byte{byte(f)}
	b = binary.BigEndian.AppendUint16(b, address)
	return binary.BigEndian.AppendUint16(b, value)
}

// writeRequest makes the PDU of a write of several registers [AP 6.12].
func writeRequest(address uint16, values []uint16) []byte {
	b := request(WriteRegisters, address, uint16(len(values)))
	b = append(b, byte(2*len(values)))
	for _, v := range values {
		b = binary.BigEndian.AppendUint16(b, v)
	}
	return b
}

// answer takes the function code off a PDU that answers one, or returns the
// exception that it is.
func answer(asked, got []byte) ([]byte, error) {
	switch {
	case len(got) == 2 && got[0] == asked[0]|0x80:
		return nil, Exception(got[1])
	case len(got) < 2 || got[0] != asked[0]:
		return nil, fmt.Errorf("%w: function %d, asked for %d", ErrAnswer, first(got), asked[0])
	}
	return got[1:], nil
}

func first(b []byte) byte {
	if len(b) == 0 {
		return 0
	}
	return b[0]
}

// payload is what follows the byte count of an answer to a read.
func payload(body []byte, want int) ([]byte, error) {
	if len(body) != 1+want || int(body[0]) != want {
		return nil, fmt.Errorf("%w: %d bytes, not %d", ErrAnswer, len(body)-1, want)
	}
	return body[1:], nil
}

// bits reads the answer to a read of count bits, the first in the lowest bit of the
// first byte [AP 6.1].
func bits(body []byte, count int) ([]bool, error) {
	b, err := payload(body, (count+7)/8)
	if err != nil {
		return nil, err
	}
	list := make([]bool, count)
	for i := range list {
		list[i] = b[i/8]>>(i%8)&1 == 1
	}
	return list, nil
}

// registers reads the answer to a read of count registers [AP 6.3].
func registers(body []byte, count int) ([]uint16, error) {
	b, err := payload(body, 2*count)
	if err != nil {
		return nil, err
	}
	list := make([]uint16, count)
	for i := range list {
		list[i] = binary.BigEndian.Uint16(b[2*i:])
	}
	return list, nil
}

// echoed checks the answer to a write, which repeats address and value, or address
// and number of values.
func echoed(asked, body []byte) error {
	if len(body) != 4 || string(body) != string(asked[1:5]) {
		return fmt.Errorf("%w: a write is echoed as %x", ErrAnswer, body)
	}
	return nil
}
