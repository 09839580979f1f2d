package iot

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

var equateEmpty = cmpopts.EquateEmpty()

func drawMessage(t *rapid.T) Message {
	m := Message{Body: rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "body")}
	for _, n := range rapid.SliceOfN(rapid.Byte(), 0, 8).Draw(t, "system") {
		m.System = append(m.System, SystemValue{SystemName(n), rapid.String().Draw(t, "value")})
	}
	for range rapid.IntRange(0, 8).Draw(t, "properties") {
		m.Properties = append(m.Properties, Property{rapid.String().Draw(t, "key"), rapid.String().Draw(t, "value")})
	}
	return m
}

func TestMessageSurvivesItsBinaryForm(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawMessage(t)
		prefix := rapid.SliceOf(rapid.Byte()).Draw(t, "prefix")
		b, err := want.AppendBinary(bytes.Clone(prefix))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(b, prefix) {
			t.Fatal("AppendBinary changed what stood before")
		}
		b = b[len(prefix):]
		var got Message
		if err := got.UnmarshalBinary(b); err != nil {
			t.Fatal(err)
		}
		clear(b) // the caller reuses its buffer
		if diff := cmp.Diff(want, got, equateEmpty); diff != "" {
			t.Fatalf("-want +got\n%s", diff)
		}
	})
}

// Messages that a Decoder has decoded are as they were written, whatever is done to
// those beside them.
func TestDecodedMessagesStandApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var d Decoder
		var all, want []Message
		for range rapid.IntRange(1, 40).Draw(t, "messages") {
			m := drawMessage(t)
			b, _ := m.AppendBinary(nil)
			got, err := d.Decode(b)
			if err != nil {
				t.Fatal(err)
			}
			for i := range rapid.IntRange(0, 4).Draw(t, "added") {
				for _, one := range []*Message{&m, &got} {
					one.System.Set(SystemName(100+i), "added")
					one.Properties.Set(string(rune('a'+i)), "added")
					one.Body = append(one.Body, 'x')
				}
			}
			all, want = append(all, got), append(want, m)
		}
		if diff := cmp.Diff(want, all, equateEmpty); diff != "" {
			t.Fatalf("-want +got\n%s", diff)
		}
	})
}

func TestUnmarshalBinaryRefusesWhatWasCut(t *testing.T) {
	m := sample()
	b, _ := m.AppendBinary(nil)
	header := len(b) - len(m.Body)
	for n := range header {
		kept := Message{Body: []byte("kept")}
		if err := kept.UnmarshalBinary(b[:n]); !errors.Is(err, ErrCorruptMessage) {
			t.Fatalf("cut at byte %d of %d: error %v, want ErrCorruptMessage", n, header, err)
		}
		if string(kept.Body) != "kept" {
			t.Fatalf("cut at byte %d: the message was changed in spite of the error", n)
		}
		var d Decoder
		if _, err := d.Decode(b[:n]); !errors.Is(err, ErrCorruptMessage) {
			t.Fatalf("cut at byte %d of %d, and decoded: error %v, want ErrCorruptMessage", n, header, err)
		}
	}
}

func TestUnmarshalBinaryRefusesLyingCounts(t *testing.T) {
	for name, b := range map[string][]byte{
		"nothing":             {},
		"another version":     {2, 0, 0},
		"2^63 properties":     {1, 0, 255, 255, 255, 255, 255, 255, 255, 255, 127},
		"a value of 2^63":     {1, 1, 1, 255, 255, 255, 255, 255, 255, 255, 255, 127},
		"a count of 11 bytes": {1, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1},
		"a padded count":      {1, 0x80, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var m Message
			if err := m.UnmarshalBinary(b); !errors.Is(err, ErrCorruptMessage) {
				t.Errorf("error %v, want ErrCorruptMessage", err)
			}
		})
	}
}

func FuzzMessageUnmarshalBinary(f *testing.F) {
	m := sample()
	b, _ := m.AppendBinary(nil)
	f.Add(b)
	f.Add([]byte{1, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		var m Message
		if m.UnmarshalBinary(b) != nil {
			return
		}
		again, _ := m.AppendBinary(nil)
		if !bytes.Equal(again, b) {
			t.Fatalf("%x was read, but is written as %x", b, again)
		}
	})
}

func sample() Message {
	return Message{
		System: System{
			{MessageID, "5b3c5bd5-3d42-4ef0-9a0f-7bd1f5ea9ac1"}, {ContentType, "application/json"},
			{ContentEncoding, "utf-8"}, {ConnectionDeviceID, "thermostat-17"},
		},
		Properties: Properties{{"alarm", "false"}, {"site", "north"}, {"schema", "3"}},
		Body:       bytes.Repeat([]byte("0123456789abcdef"), 16),
	}
}

// The header, the two lists and the body: a fifth allocation is a mistake.
func TestUnmarshalBinaryAllocatesFourTimes(t *testing.T) {
	m := sample()
	b, _ := m.AppendBinary(nil)
	if n := testing.AllocsPerRun(100, func() { _ = m.UnmarshalBinary(b) }); n > 4 {
		t.Errorf("%v allocations, want at most 4", n)
	}
	var d Decoder
	if n := testing.AllocsPerRun(1000, func() { _, _ = d.Decode(b) }); n > 0 { // rounded down
		t.Errorf("decoding one of many: %v allocations, want less than 1", n)
	}
	if n := testing.AllocsPerRun(100, func() { b, _ = m.AppendBinary(b[:0]) }); n > 0 {
		t.Errorf("AppendBinary into a large enough buffer: %v allocations, want none", n)
	}
}

func BenchmarkMessageBinary(b *testing.B) {
	m := sample()
	raw, _ := m.AppendBinary(nil)
	b.Run("append", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(raw)))
		for b.Loop() {
			raw, _ = m.AppendBinary(raw[:0])
		}
	})
	b.Run("unmarshal", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(raw)))
		var got Message
		for b.Loop() {
			if err := got.UnmarshalBinary(raw); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(raw)))
		var d Decoder
		for b.Loop() {
			if _, err := d.Decode(raw); err != nil {
				b.Fatal(err)
			}
		}
	})
}
