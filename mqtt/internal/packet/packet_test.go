package packet

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// decode reads one whole packet and returns what it holds, as text.
func decode(b []byte) (string, error) {
	h, err := ParseHeader(b)
	if err != nil {
		return "", err
	}
	if h.Size == 0 || len(b) != h.Size+h.Length {
		return "", Errorf("", "packet is not whole")
	}
	return decodeBody(h, b[h.Size:])
}

func decodeBody(h Header, body []byte) (s string, err error) {
	switch h.Type {
	case CONNECT:
		c, err := DecodeConnect(body)
		if err != nil {
			return "", err
		}
		s = fmt.Sprintf("id=%q clean=%t keepalive=%d user=%t %q password=%q", c.ClientID, c.CleanSession, c.KeepAlive, c.HasUsername, c.Username, c.Password)
		if c.Will != nil {
			s += fmt.Sprintf(" will=%q %q qos=%d retain=%t", c.Will.Topic, c.Will.Payload, c.Will.QoS, c.Will.Retain)
		}
		return s, nil
	case CONNACK:
		present, code, err := DecodeConnack(body)
		return fmt.Sprintf("%d present=%t", code, present), err
	case PUBLISH:
		p, err := DecodePublish(h.Flags, body, "")
		return fmt.Sprintf("%q %q qos=%d id=%d dup=%t retain=%t", p.Topic, p.Payload, p.QoS, p.ID, p.Dup, p.Retain), err
	case PUBACK, PUBREC, PUBREL, PUBCOMP, UNSUBACK:
		id, err := DecodeID(body)
		return fmt.Sprintf("%d", id), err
	case SUBSCRIBE:
		id, filters, extra, err := DecodeSubscribe(body, 3)
		return fmt.Sprintf("%d %v extra=%d", id, filters, extra), err
	case SUBACK:
		id, codes, err := DecodeSuback(body)
		return fmt.Sprintf("%d %x", id, codes), err
	case UNSUBSCRIBE:
		id, filters, err := DecodeUnsubscribe(body, 3)
		return fmt.Sprintf("%d %q", id, filters), err
	}
	return "", DecodeEmpty(body)
}

// unhex reads hexadecimal digits; a quoted part stands for its bytes.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	var out []byte
	for i, part := range strings.Split(s, "'") {
		if i%2 == 1 {
			out = append(out, part...)
			continue
		}
		b, err := hex.DecodeString(strings.ReplaceAll(part, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, b...)
	}
	return out
}

var valid = []struct {
	name, bytes, want string
}{
	{"CONNECT, least", "10 0c 0004'MQTT'04 02 0000 0000", `id="" clean=true keepalive=0 user=false "" password=""`},
	{"CONNECT, all fields", "10 25 0004'MQTT'04 f6 003c 0004'dev1' 0005'w/t/x' 0003'bye' 0002'us' 0003'pwd'",
		`id="dev1" clean=true keepalive=60 user=true "us" password="pwd" will="w/t/x" "bye" qos=2 retain=true`},
	{"CONNECT, empty password", "10 12 0004'MQTT'04 c0 ffff 0001'd' 0001'u' 0000", `id="d" clean=false keepalive=65535 user=true "u" password=""`},
	{"CONNECT, empty will payload", "10 12 0004'MQTT'04 06 0001 0000 0002'ab' 0000", `id="" clean=true keepalive=1 user=false "" password="" will="ab" "" qos=0 retain=false`},
	{"CONNACK", "20 02 01 00", "0 present=true"},
	{"CONNACK, refused", "20 02 00 05", "5 present=false"},
	{"PUBLISH, QoS 0", "30 07 0003'a/b''hi'", `"a/b" "hi" qos=0 id=0 dup=false retain=false`},
	{"PUBLISH, QoS 1, DUP, RETAIN", "3b 07 0003'a/b' 000a", `"a/b" "" qos=1 id=10 dup=true retain=true`},
	{"PUBLISH, QoS 2", "34 06 0001't' ffff'x'", `"t" "x" qos=2 id=65535 dup=false retain=false`},
	{"PUBLISH, BOM is kept", "30 06 0004 efbbbf'a'", `"\ufeffa" "" qos=0 id=0 dup=false retain=false`},
	{"PUBACK", "40 02 1234", "4660"},
	{"PUBREC", "50 02 0001", "1"},
	{"PUBREL", "62 02 0001", "1"},
	{"PUBCOMP", "70 02 0001", "1"},
	{"SUBSCRIBE", "82 0d 0007 0003'a/#'01 0002'+/'02", "7 [{a/# 1} {+/ 2}] extra=0"},
	{"SUBSCRIBE, more than asked for", "82 12 0007 0001'a'00 0001'b'01 0001'c'02 0001'd'00", "7 [{a 0} {b 1} {c 2}] extra=1"},
	{"SUBACK", "90 05 0007 000180", "7 000180"},
	{"UNSUBSCRIBE", "a2 09 0001 0001'a' 0002'b/'", `1 ["a" "b/"]`},
	{"UNSUBACK", "b0 02 0001", "1"},
	{"PINGREQ", "c0 00", ""},
	{"PINGRESP", "d0 00", ""},
	{"DISCONNECT", "e0 00", ""},
}

func TestDecode(t *testing.T) {
	for _, tt := range valid {
		t.Run(tt.name, func(t *testing.T) {
			got, err := decode(unhex(t, tt.bytes))
			if err != nil || got != tt.want {
				t.Errorf("got  %s, %v\nwant %s", got, err, tt.want)
			}
		})
	}
}

// What is cut short must be an error and not a shorter packet, nor a panic. A
// PUBLISH has a payload of any length, so only its head counts.
func TestM3_PacketsCutAtEveryByte(t *testing.T) {
	for _, tt := range valid {
		b := unhex(t, tt.bytes)
		h, err := ParseHeader(b)
		if err != nil {
			t.Fatal(err)
		}
		for n := range len(b) {
			if _, err := decode(b[:n]); err == nil {
				t.Errorf("%s: %x of %x is taken for a packet", tt.name, b[:n], b)
			}
		}
		needed := h.Length
		if h.Type == PUBLISH {
			p, err := DecodePublish(h.Flags, b[h.Size:], "")
			if err != nil {
				t.Fatal(err)
			}
			needed -= len(p.Payload)
		}
		for n := range needed {
			got, err := decodeBody(h, b[h.Size:h.Size+n])
			atBoundary := h.Type == SUBSCRIBE || h.Type == UNSUBSCRIBE || h.Type == SUBACK
			if err == nil && !atBoundary {
				t.Errorf("%s: body %x of %x is taken for %s", tt.name, b[h.Size:h.Size+n], b[h.Size:], got)
			}
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	for _, tt := range []struct {
		name, bytes, clause string
	}{
		{"M4 length of five bytes", "30 ffffffff7f", ""},
		{"M4 length not in its shortest form", "30 8500 0003'a/b'", ""},
		{"M4 zero length in four bytes", "c0 80808000", ""},
		{"M4 longer than the data", "40 03 0001", ""},
		{"reserved type 0", "00 00", ""},
		{"reserved type 15", "f0 00", ""},
		{"PINGREQ with flags", "c1 00", "MQTT-2.2.2-2"},
		{"SUBSCRIBE without its flags", "80 06 0001 0001'a'00", "MQTT-2.2.2-2"},
		{"M6 wrong protocol name", "10 0e 0006'MQIsdp'03 02 0000 0000", "MQTT-3.1.2-1"},
		{"M6 reserved connect flag", "10 0d 0004'MQTT'04 03 0000 0001'd'", "MQTT-3.1.2-3"},
		{"M6 password without user", "10 10 0004'MQTT'04 42 0000 0001'd' 0001'p'", "MQTT-3.1.2-22"},
		{"M6 will QoS 3", "10 13 0004'MQTT'04 1e 0000 0001'd' 0001't' 0001'p'", "MQTT-3.1.2-14"},
		{"M6 will QoS without will", "10 0d 0004'MQTT'04 0a 0000 0001'd'", "MQTT-3.1.2-13"},
		{"M6 will retain without will", "10 0d 0004'MQTT'04 22 0000 0001'd'", "MQTT-3.1.2-15"},
		{"CONNECT with more than its fields", "10 0e 0004'MQTT'04 02 0000 0001'd' 00", ""},
		{"M15 NUL in the client id", "10 0e 0004'MQTT'04 02 0000 0002'd'00", "MQTT-1.5.3-2"},
		{"M7 NUL in a topic", "30 05 0003'a'00'b'", "MQTT-1.5.3-2"},
		{"M7 lone surrogate", "30 05 0003 eda080", "MQTT-1.5.3-1"},
		{"M7 overlong UTF-8", "30 04 0002 c0af", "MQTT-1.5.3-1"},
		{"M8 packet id 0 in PUBLISH", "32 05 0001't' 0000", "MQTT-2.3.1-1"},
		{"M8 packet id 0 in PUBACK", "40 02 0000", "MQTT-2.3.1-1"},
		{"M8 packet id 0 in SUBSCRIBE", "82 06 0000 0001'a'00", "MQTT-2.3.1-1"},
		{"M10 QoS 3", "36 05 0001't' 0001", "MQTT-3.3.1-4"},
		{"QoS 0 with DUP", "38 03 0001't'", "MQTT-3.3.1-2"},
		{"SUBSCRIBE without a filter", "82 02 0001", "MQTT-3.8.3-3"},
		{"SUBSCRIBE to QoS 3", "82 06 0001 0001'a'03", "MQTT-3.8.3-4"},
		{"SUBSCRIBE with reserved bits", "82 06 0001 0001'a'11", "MQTT-3.8.3-4"},
		{"UNSUBSCRIBE without a filter", "a2 02 0001", "MQTT-3.10.3-2"},
		{"UNSUBSCRIBE with too many", "a2 0e 0001 0001'a' 0001'b' 0001'c' 0001'd'", ""},
		{"PUBACK with more than its identifier", "40 03 0001 00", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := decode(unhex(t, tt.bytes))
			var e *Error
			if !errors.As(err, &e) || e.Clause != tt.clause {
				t.Fatalf("got %q, %v; want clause %q", got, err, tt.clause)
			}
			if !errors.Is(err, net.ErrClosed) {
				t.Errorf("%v does not say that it ends the connection", err)
			}
		})
	}
}

func TestM6_LevelsAreToldApart(t *testing.T) {
	for _, level := range []string{"00", "03", "05", "ff"} {
		// What follows the level is not looked at: it is another version's.
		if _, err := DecodeConnect(unhex(t, "0004'MQTT'"+level)); err != ErrLevel {
			t.Errorf("level %s: %v", level, err)
		}
	}
}

// A header that is not complete is not an error, and one that is has been read to
// its last byte.
func TestParseHeader(t *testing.T) {
	for _, length := range []int{0, 1, 127, 128, 16383, 16384, 2097151, 2097152, MaxLength} {
		b := appendHeader(nil, PUBLISH, 2, length)
		want := Header{Type: PUBLISH, Flags: 2, Length: length, Size: len(b)}
		if got, err := ParseHeader(append(b, 0xff)); err != nil || got != want {
			t.Errorf("%x: got %+v, %v; want %+v", b, got, err, want)
		}
		for n := range len(b) {
			if got, err := ParseHeader(b[:n]); err != nil || got.Size != 0 {
				t.Errorf("%x of %x: got %+v, %v", b[:n], b, got, err)
			}
		}
	}
}

// A known topic only saves work: what differs from it is read as ever.
func TestDecodePublishWithKnownTopic(t *testing.T) {
	body := unhex(t, "0003'a/b'0001'payload'")
	for _, known := range []string{"", "a/b", "a/", "a/bc", "a/c", "a/b\x00\x01payload"} {
		p, err := DecodePublish(2, body, known)
		want := Publish{Topic: []byte("a/b"), Payload: []byte("payload"), ID: 1, QoS: 1}
		if diff := cmp.Diff(want, p); err != nil || diff != "" {
			t.Errorf("known %q: %v\n%s", known, err, diff)
		}
	}
}

func TestAppendPublishRefusesWhatDoesNotFit(t *testing.T) {
	b := []byte("before")
	got, err := AppendPublish(b, &Publish{}, strings.Repeat("x", 65536))
	if err == nil || !bytes.Equal(got, b) {
		t.Errorf("got %q, %v", got, err)
	}
}

// reencode encodes a packet from what was decoded.
func reencode(h Header, body []byte) ([]byte, error) {
	switch h.Type {
	case CONNECT:
		c, err := DecodeConnect(body)
		if err != nil {
			return nil, err
		}
		return c.Append(nil), nil
	case CONNACK:
		present, code, err := DecodeConnack(body)
		return AppendConnack(nil, present, code), err
	case PUBLISH:
		p, err := DecodePublish(h.Flags, body, "")
		if err != nil {
			return nil, err
		}
		return AppendPublish(nil, &p, p.Topic)
	case PUBACK, PUBREC, PUBREL, PUBCOMP, UNSUBACK:
		id, err := DecodeID(body)
		return AppendID(nil, h.Type, id), err
	case SUBSCRIBE:
		id, filters, _, err := DecodeSubscribe(body, len(body))
		return AppendSubscribe(nil, id, filters), err
	case SUBACK:
		id, codes, err := DecodeSuback(body)
		return AppendSuback(nil, id, codes), err
	case UNSUBSCRIBE:
		id, filters, err := DecodeUnsubscribe(body, len(body))
		return AppendUnsubscribe(nil, id, filters), err
	}
	return AppendEmpty(nil, h.Type), DecodeEmpty(body)
}

func TestEncodeIsTheReverseOfDecode(t *testing.T) {
	for _, tt := range valid {
		b := unhex(t, tt.bytes)
		h, err := ParseHeader(b)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := reencode(h, b[h.Size:]); err != nil || !bytes.Equal(got, b) {
			t.Errorf("%s: got %x, %v; want %x", tt.name, got, err, b)
		}
	}
}

// Whatever is taken for a packet is encoded to the same bytes: there are no two
// ways to say the same.
func FuzzM16_Packet(f *testing.F) {
	for _, tt := range valid {
		f.Add(unhex(f, tt.bytes))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ParseHeader(b)
		if err != nil || h.Size == 0 || len(b) < h.Size+h.Length {
			return
		}
		b = b[:h.Size+h.Length]
		got, err := reencode(h, b[h.Size:])
		if err != nil {
			return
		}
		if !bytes.Equal(got, b) {
			t.Errorf("%x is encoded as %x", b, got)
		}
	})
}

func BenchmarkDecodePublish(b *testing.B) {
	topic := "devices/press-7/messages/events/%24.mid=0815&%24.ct=application%2Fjson"
	p, err := AppendPublish(nil, &Publish{QoS: 1, ID: 1, Payload: make([]byte, 256)}, topic)
	if err != nil {
		b.Fatal(err)
	}
	for _, known := range []string{"", topic} {
		b.Run(fmt.Sprintf("known topic=%t", known != ""), func(b *testing.B) {
			b.SetBytes(int64(len(p)))
			b.ReportAllocs()
			for b.Loop() {
				h, err := ParseHeader(p)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := DecodePublish(h.Flags, p[h.Size:], known); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
