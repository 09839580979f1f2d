package frame

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/amqp10/internal/wire"
)

func body(t testing.TB, f []byte, typ uint8) wire.Decoder {
	t.Helper()
	h, err := ParseHeader(f, uint32(len(f)), typ)
	if err != nil || int(h.Size) != len(f) {
		t.Fatalf("frame %x: %+v, %v", f, h, err)
	}
	return wire.NewDecoder(Body(f, h))
}

// roundTrip encodes with write, decodes with read, and compares.
func roundTrip[T any](t *testing.T, code uint64, typ uint8, want T, write func(*wire.Encoder), read func(*wire.Decoder) T) []byte {
	t.Helper()
	var e wire.Encoder
	write(&e)
	d := body(t, e.B, typ)
	if got := Descriptor(&d); got != code {
		t.Errorf("%T: code %#x, want %#x", want, got, code)
	}
	got := read(&d)
	if d.Err() != nil || d.Len() != 0 {
		t.Errorf("%T: %v, %d bytes left", want, d.Err(), d.Len())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%T (-want +got):\n%s", want, diff)
	}
	return e.B
}

var (
	someError  = &Error{Condition: "amqp:not-found", Description: "no such node", Info: wire.Fields{{Key: "k", Value: int64(1)}}, Remote: true}
	someFields = wire.Fields{{Key: "product", Value: "test"}, {Key: "n", Value: uint32(7)}}
)

func TestPerformativesRoundTrip(t *testing.T) {
	open := Open{ContainerID: "c", Hostname: "h", MaxFrameSize: Some(uint32(65536)), ChannelMax: Some(uint16(15)),
		IdleTimeout: Some(uint32(240000)), Offered: []wire.Symbol{"a"}, Desired: []wire.Symbol{"b", "c"}, Properties: someFields}
	roundTrip(t, CodeOpen, TypeAMQP, open, open.Append, DecodeOpen)
	begin := BeginSession{RemoteChannel: Some(uint16(3)), NextOutgoingID: 1, IncomingWindow: 2, OutgoingWindow: 3,
		HandleMax: Some(uint32(63)), Properties: someFields}
	roundTrip(t, CodeBegin, TypeAMQP, begin, func(e *wire.Encoder) { begin.Append(e, 9) }, DecodeBegin)
	attach := Attach{Name: "l", Handle: 4, Role: RoleReceiver, SenderMode: Some(SendMixed), ReceiverMode: Some(ReceiveSecond),
		Source: &Source{Address: "q", Durable: 2, ExpiryPolicy: "never", Timeout: 9, Dynamic: true, NodeProperties: someFields, DistributionMode: "copy",
			Filter:         wire.Fields{{Key: "f", Value: wire.Described{Descriptor: wire.Symbol("apache.org:selector-filter:string"), Value: "a > 1"}}},
			DefaultOutcome: Outcome{Kind: KindModified, DeliveryFailed: true}, Outcomes: []wire.Symbol{"amqp:accepted:list"}, Capabilities: []wire.Symbol{"queue"}},
		Target:               &Target{Address: "t", Durable: 1, ExpiryPolicy: "session-end", Timeout: 1, NodeProperties: someFields, Capabilities: []wire.Symbol{"topic"}},
		InitialDeliveryCount: Some(uint32(5)), MaxMessageSize: 1 << 20, Offered: []wire.Symbol{"x"}, Desired: []wire.Symbol{"y"}, Properties: someFields}
	roundTrip(t, CodeAttach, TypeAMQP, attach, func(e *wire.Encoder) { attach.Append(e, 1) }, DecodeAttach)
	coordinator := Attach{Name: "tx", Target: &Target{Coordinator: true, Capabilities: []wire.Symbol{"amqp:local-transactions"}}}
	roundTrip(t, CodeAttach, TypeAMQP, coordinator, func(e *wire.Encoder) { coordinator.Append(e, 1) }, DecodeAttach)
	flow := Flow{NextIncomingID: Some(uint32(1)), IncomingWindow: 2, NextOutgoingID: 3, OutgoingWindow: 4, Handle: Some(uint32(0)),
		DeliveryCount: Some(uint32(6)), LinkCredit: Some(uint32(100)), Available: Some(uint32(8)), Drain: true, Echo: true}
	roundTrip(t, CodeFlow, TypeAMQP, flow, func(e *wire.Encoder) { flow.Append(e, 1) }, DecodeFlow)
	detach := Detach{Handle: 7, Closed: true, Error: someError}
	roundTrip(t, CodeDetach, TypeAMQP, detach, func(e *wire.Encoder) { detach.Append(e, 1) }, DecodeDetach)
	roundTrip(t, CodeEnd, TypeAMQP, someError, func(e *wire.Encoder) { AppendEnd(e, 1, someError) }, DecodeLast)
	roundTrip(t, CodeClose, TypeAMQP, (*Error)(nil), func(e *wire.Encoder) { AppendClose(e, nil) }, DecodeLast)
}

func TestDispositionsRoundTrip(t *testing.T) {
	for _, o := range []Outcome{
		{}, {Kind: KindAccepted}, {Kind: KindReleased}, {Kind: KindRejected}, {Kind: KindRejected, Error: someError},
		{Kind: KindModified, DeliveryFailed: true, UndeliverableHere: true, Annotations: someFields},
		{Kind: KindReceived, Section: 1, Offset: 2},
	} {
		p := Disposition{Role: RoleReceiver, First: 1, Last: Some(uint32(9)), Settled: true, State: o}
		roundTrip(t, CodeDisposition, TypeAMQP, p, func(e *wire.Encoder) { p.Append(e, 1) }, DecodeDisposition)
	}
}

func TestTransferKeepsItsPayload(t *testing.T) {
	x := Transfer{Handle: 1, DeliveryID: Some(uint32(2)), Tag: []byte{3}, Format: Some(uint32(0)), Settled: Some(false), More: true,
		ReceiverMode: Some(ReceiveFirst), State: Outcome{Kind: KindAccepted}, Resume: true, Aborted: true, Batchable: true}
	var e wire.Encoder
	start := x.Append(&e, 5)
	e.B = append(e.B, "payload"...)
	End(&e, start)
	d := body(t, e.B, TypeAMQP)
	if Descriptor(&d) != CodeTransfer {
		t.Fatal("not a transfer")
	}
	if diff := cmp.Diff(x, DecodeTransfer(&d)); diff != "" || string(d.Rest()) != "payload" {
		t.Errorf("payload %q, transfer (-want +got):\n%s", d.Rest(), diff)
	}
}

func TestSASLFramesRoundTrip(t *testing.T) {
	names := []wire.Symbol{"PLAIN", "ANONYMOUS"}
	roundTrip(t, CodeMechanisms, TypeSASL, names, func(e *wire.Encoder) { AppendMechanisms(e, names) }, DecodeMechanisms)
	init := Init{Mechanism: "PLAIN", Response: []byte("\x00u\x00p"), Hostname: "h"}
	roundTrip(t, CodeInit, TypeSASL, init, init.Append, DecodeInit)
	roundTrip(t, CodeResponse, TypeSASL, []byte("x"), func(e *wire.Encoder) { AppendStep(e, CodeResponse, []byte("x")) }, DecodeStep)
	roundTrip(t, CodeOutcome, TypeSASL, SASLSysTemp, func(e *wire.Encoder) { AppendOutcome(e, SASLSysTemp) }, DecodeOutcome)
}

func TestSymbolicDescriptorsAreUnderstood(t *testing.T) {
	for code, k := range kinds {
		var e wire.Encoder
		e.Value(wire.Described{Descriptor: wire.Symbol("amqp:" + k.symbol), Value: []any{}})
		d := wire.NewDecoder(e.B)
		if got := Descriptor(&d); got != code {
			t.Errorf("amqp:%s is %#x, want %#x", k.symbol, got, code)
		}
	}
}

func TestA1_FrameHeaders(t *testing.T) {
	for _, tt := range []struct {
		name, hex string
		want      error
	}{
		{"good", "00000008 02 00 0000", nil},
		{"size 7", "00000007 02 00 0000", ErrSize},
		{"size 0", "00000000 02 00 0000", ErrSize},
		{"size above the maximum", "00000201 02 00 0000", ErrTooBig},
		{"size 4 GiB", "ffffffff 02 00 0000", ErrTooBig},
		{"data offset 1", "00000010 01 00 0000", ErrOffset},
		{"data offset past the frame", "00000010 05 00 0000", ErrOffset},
		{"extended header", "00000010 04 00 0000", nil},
		{"SASL type", "00000008 02 01 0000", ErrType},
	} {
		b, err := hex.DecodeString(strings.ReplaceAll(tt.hex, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseHeader(b, MinMaxFrameSize, TypeAMQP); err != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

func TestFormatNamesFields(t *testing.T) {
	var e wire.Encoder
	a := Attach{Name: "l", Role: RoleReceiver, Source: &Source{Address: "q"}}
	a.Append(&e, 2)
	const want = `[2] attach name="l" handle=0 role=true source=source(address="q")`
	if got := Format(e.B); got != want {
		t.Errorf("Format = %s, want %s", got, want)
	}
	if got := Format([]byte{0, 0, 0, 8, 2, 0, 0, 0}); got != "heartbeat" {
		t.Errorf("Format = %s", got)
	}
}

// FuzzFrame_A16 decodes any frame as every performative.
func FuzzFrame_A16(f *testing.F) {
	var e wire.Encoder
	for _, write := range []func(){
		func() { (&Open{ContainerID: "c", Properties: someFields}).Append(&e) },
		func() { (&BeginSession{}).Append(&e, 1) },
		func() {
			(&Attach{Name: "n", Source: &Source{Filter: someFields, DefaultOutcome: Outcome{Kind: KindModified}}, Target: &Target{}}).Append(&e, 1)
		},
		func() { (&Flow{Handle: Some(uint32(1))}).Append(&e, 1) },
		func() { End(&e, (&Transfer{Tag: []byte("t")}).Append(&e, 1)) },
		func() {
			(&Disposition{State: Outcome{Kind: KindRejected, Error: someError}}).Append(&e, 1)
		},
		func() { (&Detach{Error: someError}).Append(&e, 1) },
		func() { (&Init{Mechanism: "PLAIN"}).Append(&e) },
	} {
		e.B = nil
		write()
		f.Add(e.B)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < HeaderSize {
			return
		}
		h, err := ParseHeader(b, uint32(len(b)), b[5])
		if err != nil {
			return
		}
		Format(b)
		decodeAny(Body(b, h))
	})
}

func decodeAny(b []byte) {
	d := wire.NewDecoder(b)
	switch Descriptor(&d) {
	case CodeOpen:
		DecodeOpen(&d)
	case CodeBegin:
		DecodeBegin(&d)
	case CodeAttach:
		DecodeAttach(&d)
	case CodeFlow:
		DecodeFlow(&d)
	case CodeTransfer:
		DecodeTransfer(&d)
	case CodeDisposition:
		DecodeDisposition(&d)
	case CodeDetach:
		DecodeDetach(&d)
	case CodeEnd, CodeClose:
		DecodeLast(&d)
	case CodeMechanisms:
		DecodeMechanisms(&d)
	case CodeInit:
		DecodeInit(&d)
	case CodeChallenge, CodeResponse:
		DecodeStep(&d)
	case CodeOutcome:
		DecodeOutcome(&d)
	}
}

// Azure's clients for Python take a frame for an array that is as long as the
// specification's list of fields.
func TestFramesHaveAllTheirFields(t *testing.T) {
	for code, write := range map[uint64]func(*wire.Encoder){
		CodeOpen:        (&Open{}).Append,
		CodeBegin:       func(e *wire.Encoder) { (&BeginSession{}).Append(e, 0) },
		CodeAttach:      func(e *wire.Encoder) { (&Attach{}).Append(e, 0) },
		CodeFlow:        func(e *wire.Encoder) { (&Flow{}).Append(e, 0) },
		CodeTransfer:    func(e *wire.Encoder) { End(e, (&Transfer{}).Append(e, 0)) },
		CodeDisposition: func(e *wire.Encoder) { (&Disposition{}).Append(e, 0) },
		CodeDetach:      func(e *wire.Encoder) { (&Detach{}).Append(e, 0) },
		CodeEnd:         func(e *wire.Encoder) { AppendEnd(e, 0, nil) },
		CodeClose:       func(e *wire.Encoder) { AppendClose(e, nil) },
	} {
		var e wire.Encoder
		write(&e)
		d := wire.NewDecoder(e.B[8:])
		v, _ := d.Value().(wire.Described)
		fields, _ := v.Value.([]any)
		if d.Err() != nil || len(fields) != len(kinds[code].fields) {
			t.Errorf("%s has %d fields of %d: % x", kinds[code].symbol, len(fields), len(kinds[code].fields), e.B)
		}
	}
}
