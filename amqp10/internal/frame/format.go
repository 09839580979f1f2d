package frame

import (
	"fmt"
	"strings"
	"time"

	"sluice/amqp10/internal/wire"
)

// Format renders one whole frame as a line of text: its channel, the
// performative with the fields that are present, and the size of a payload.
func Format(f []byte) string {
	if len(f) < HeaderSize {
		return fmt.Sprintf("%d bytes %x", len(f), f)
	}
	h, err := ParseHeader(f, uint32(len(f)), f[5])
	if err != nil || int(h.Size) != len(f) {
		return fmt.Sprintf("bad frame %x", f[:HeaderSize])
	}
	body := Body(f, h)
	if len(body) == 0 {
		return "heartbeat"
	}
	d := wire.NewDecoder(body)
	v := d.Value()
	if d.Err() != nil {
		return fmt.Sprintf("undecodable frame of %d bytes: %v", len(f), d.Err())
	}
	var s strings.Builder
	if h.Type == TypeAMQP {
		fmt.Fprintf(&s, "[%d] ", h.Channel)
	}
	write(&s, v)
	formatPayload(&s, d.Rest())
	return s.String()
}

// formatPayload writes the sections of a whole message, or else a size.
func formatPayload(s *strings.Builder, b []byte) {
	if len(b) == 0 {
		return
	}
	d := wire.NewDecoder(b)
	var sections []any
	for d.Len() > 0 && d.Err() == nil {
		sections = append(sections, d.Value())
	}
	if d.Err() != nil || len(b) > 1024 {
		fmt.Fprintf(s, " +%d bytes", len(b))
		return
	}
	for _, v := range sections {
		s.WriteString("\n        ")
		write(s, v)
	}
}

func write(s *strings.Builder, v any) {
	switch v := v.(type) {
	case nil:
		s.WriteString("null")
	case wire.Described:
		writeDescribed(s, v)
	case wire.Symbol:
		s.WriteString(":" + string(v))
	case string:
		fmt.Fprintf(s, "%q", v)
	case []byte:
		writeBinary(s, v)
	case time.Time:
		s.WriteString(v.Format(time.RFC3339Nano))
	case []any:
		writeSeq(s, '[', v, ']')
	case wire.Array:
		writeSeq(s, '<', v.Elems, '>')
	case wire.Map:
		writeMap(s, v)
	default:
		fmt.Fprint(s, v)
	}
}

func writeBinary(s *strings.Builder, b []byte) {
	for _, c := range b {
		if c < 0x20 || c > 0x7e {
			fmt.Fprintf(s, "0x%x", b)
			return
		}
	}
	fmt.Fprintf(s, "b%q", b)
}

func writeSeq(s *strings.Builder, open byte, v []any, end byte) {
	s.WriteByte(open)
	for i, e := range v {
		if i > 0 {
			s.WriteByte(' ')
		}
		write(s, e)
	}
	s.WriteByte(end)
}

func writeMap(s *strings.Builder, m wire.Map) {
	s.WriteByte('{')
	for i, e := range m {
		if i > 0 {
			s.WriteByte(' ')
		}
		write(s, e.Key)
		s.WriteByte('=')
		write(s, e.Value)
	}
	s.WriteByte('}')
}

// writeDescribed writes a composite type as its name and its fields by name.
func writeDescribed(s *strings.Builder, v wire.Described) {
	code, ok := v.Descriptor.(uint64)
	k, known := kinds[code]
	fields, isList := v.Value.([]any)
	if !ok || !known {
		write(s, v.Descriptor)
		s.WriteByte('@')
		write(s, v.Value)
		return
	}
	name, _, _ := strings.Cut(k.symbol, ":")
	s.WriteString(name)
	if !isList || code == CodeSequence {
		s.WriteByte(' ')
		write(s, v.Value)
		return
	}
	nested := code < CodeOpen || (code > CodeClose && code < CodeMechanisms)
	if nested {
		s.WriteByte('(')
	} else {
		s.WriteByte(' ')
	}
	writeFields(s, k.fields, fields)
	if nested {
		s.WriteByte(')')
	}
}

func writeFields(s *strings.Builder, names []string, fields []any) {
	sep := ""
	for i, f := range fields {
		if m, isMap := f.(wire.Map); f == nil || isMap && len(m) == 0 {
			continue // as good as absent
		}
		s.WriteString(sep)
		sep = " "
		if i < len(names) {
			s.WriteString(names[i])
			s.WriteByte('=')
		}
		write(s, f)
	}
}
