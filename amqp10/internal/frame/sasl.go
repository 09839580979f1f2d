package frame

import "sluice/amqp10/internal/wire"

// SASLCode is the result of an authentication [AMQP 5.3.3.6].
type SASLCode uint8

// Results of an authentication.
const (
	SASLOK      SASLCode = 0
	SASLAuth    SASLCode = 1 // wrong credentials
	SASLSys     SASLCode = 2 // a system error
	SASLSysPerm SASLCode = 3 // a system error that will not go away
	SASLSysTemp SASLCode = 4 // a system error that may go away
)

// AppendMechanisms appends a sasl-mechanisms frame [AMQP 5.3.3.1].
func AppendMechanisms(w *wire.Encoder, names []wire.Symbol) {
	start := Begin(w, TypeSASL, 0)
	c := w.Composite(CodeMechanisms)
	c.Symbols(names)
	c.End()
	End(w, start)
}

// DecodeMechanisms reads the names.
func DecodeMechanisms(d *wire.Decoder) (names []wire.Symbol) {
	c := d.Composite()
	if c.Must() {
		names = d.Symbols()
	}
	c.End()
	return names
}

// Init selects a mechanism [AMQP 5.3.3.2].
type Init struct {
	Mechanism wire.Symbol
	Response  []byte // nil when absent, which is not the same as empty
	Hostname  string
}

// Append appends the frame.
func (i *Init) Append(w *wire.Encoder) {
	start := Begin(w, TypeSASL, 0)
	c := w.Composite(CodeInit)
	c.Symbol(i.Mechanism)
	c.Binary(i.Response != nil, i.Response)
	c.Text(i.Hostname != "", i.Hostname)
	c.End()
	End(w, start)
}

// DecodeInit reads the fields.
func DecodeInit(d *wire.Decoder) (i Init) {
	c := d.Composite()
	if c.Must() {
		i.Mechanism = d.Symbol()
	}
	if c.Next() {
		i.Response = d.Binary()
	}
	if c.Next() {
		i.Hostname = d.Text()
	}
	c.End()
	return i
}

// AppendStep appends a sasl-challenge or a sasl-response [AMQP 5.3.3.3, 5.3.3.4].
func AppendStep(w *wire.Encoder, code uint64, b []byte) {
	start := Begin(w, TypeSASL, 0)
	c := w.Composite(code)
	c.Binary(true, b)
	c.End()
	End(w, start)
}

// DecodeStep reads the bytes of a challenge or a response.
func DecodeStep(d *wire.Decoder) (b []byte) {
	c := d.Composite()
	if c.Must() {
		b = d.Binary()
	}
	c.End()
	return b
}

// AppendOutcome appends a sasl-outcome [AMQP 5.3.3.5].
func AppendOutcome(w *wire.Encoder, code SASLCode) {
	start := Begin(w, TypeSASL, 0)
	c := w.Composite(CodeOutcome)
	c.Ubyte(true, uint8(code))
	c.End()
	End(w, start)
}

// DecodeOutcome reads the result.
func DecodeOutcome(d *wire.Decoder) (code SASLCode) {
	c := d.Composite()
	if c.Must() {
		code = SASLCode(atMost(d, d.Ubyte(), uint8(SASLSysTemp)))
	}
	c.End()
	return code
}
