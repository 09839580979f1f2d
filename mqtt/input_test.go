package mqtt_test

import (
	"bytes"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"sluice/mqtt"
	"sluice/mqtt/internal/packet"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// claims is a fixed header that announces 240 MB.
func claims(first byte) []byte { return []byte{first, 0x80, 0x80, 0xb9, 0x72} }

func TestM1_ClaimsOfLengthCostNothing(t *testing.T) {
	k := new(keeper)
	server := &mqtt.Server{Backend: k}
	flags := [16]byte{6: 2, 8: 2, 10: 2}
	var before, after runtime.MemStats
	var wires []*wire
	for range 14 {
		wires = append(wires, dial(t, server))
	}
	runtime.ReadMemStats(&before)
	for i, w := range wires {
		w.send(claims(byte(i+1)<<4 | flags[i+1]))
		w.wantEOF()
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 1<<20 {
		t.Errorf("14 claims of 240 MB cost %d bytes, want at most 1 MiB", grown)
	}
}

// What is allowed to be long is believed only as it arrives.
func TestM1_BuffersGrowWithTheBytesThatArrive(t *testing.T) {
	w := connect(t, &mqtt.Server{Backend: new(keeper)})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	w.send([]byte{0x30, 0x80, 0x80, 0x10}) // 262144 bytes
	w.send(make([]byte, 20_000))
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 128<<10 {
		t.Errorf("a packet of which 20 kB arrived cost %d bytes", grown)
	}
}

func TestM3_ConnectionsCutAtEveryByte(t *testing.T) {
	conversation := (&packet.Connect{ClientID: "dev1", CleanSession: true, HasUsername: true, Username: "u",
		Password: []byte("p"), Will: &packet.Will{Topic: "w", Payload: []byte("x"), QoS: 1}}).Append(nil)
	conversation = append(conversation, publishPacket(t, "a/b", []byte("payload"), 7)...)
	conversation = packet.AppendSubscribe(conversation, 8, []packet.Filter{{Topic: "a/#", QoS: 1}, {Topic: "+", QoS: 2}})
	conversation = packet.AppendUnsubscribe(conversation, 9, []string{"a/#"})
	conversation = packet.AppendID(conversation, packet.PUBACK, 3)
	conversation = packet.AppendEmpty(conversation, packet.PINGREQ)
	conversation = packet.AppendEmpty(conversation, packet.DISCONNECT)
	server := &mqtt.Server{Backend: new(keeper)}
	for n := range conversation {
		w := dial(t, server)
		go func() { _, _ = w.Write(conversation[:n]); _ = w.Close() }()
		w.wantEOF()
	}
	waitFor(t, "connections to end", func() bool { return server.Stats.Open.Load() == 0 })
	if p := server.Stats.Panics.Load(); p != 0 {
		t.Errorf("%d panics", p)
	}
}

// waitFor waits until something is so, for five seconds at most.
func waitFor(t testing.TB, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !so(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func TestFirstPacketsThatAreRefused(t *testing.T) {
	for _, tt := range []struct {
		name, bytes, answer string
	}{
		{"M4 length of five bytes", "10 ff ff ff ff 7f", ""},
		{"M4 length not in its shortest form", "10 8c 00", ""},
		{"M4 longer than allowed before the login", "10 81 a0 04", ""},
		{"M6 level 0", "10 0d 0004 4d515454 00 02 0000 0001 64", "20020001"},
		{"M6 level 3", "10 0d 0004 4d515454 03 02 0000 0001 64", "20020001"},
		{"M6 level 5", "10 0d 0004 4d515454 05 02 0000 0001 64", "20020001"},
		{"M6 level 255", "10 0d 0004 4d515454 ff 02 0000 0001 64", "20020001"},
		{"M6 protocol name", "10 0d 0004 4d515458 04 02 0000 0001 64", ""},
		{"M6 reserved flag", "10 0d 0004 4d515454 04 03 0000 0001 64", ""},
		{"M6 password without user", "10 10 0004 4d515454 04 42 0000 0001 64 0001 70", ""},
		{"M6 will QoS 3", "10 13 0004 4d515454 04 1e 0000 0001 64 0001 74 0001 70", ""},
		{"M12 will topic with a wildcard", "10 13 0004 4d515454 04 06 0000 0001 64 0001 23 0001 70", ""},
		{"M15 empty client id of a kept session", "10 0c 0004 4d515454 04 00 0000 0000", "20020002"},
		{"M15 client id with NUL", "10 0d 0004 4d515454 04 02 0000 0001 00", ""},
		{"PINGREQ first", "c0 00", ""},
		{"an HTTP request", hex.EncodeToString([]byte("GET / HTTP/1.1\r\n\r\n")), ""},
		{"a TLS hello without TLS", "16 03 01 00 50", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := new(keeper)
			w := dial(t, &mqtt.Server{Backend: k})
			w.send(unhex(t, tt.bytes))
			if got := hex.EncodeToString(w.wantEOF()); got != tt.answer {
				t.Errorf("answer %s, want %q", got, tt.answer)
			}
			if len(k.conns) > 0 {
				t.Error("the backend was asked")
			}
		})
	}
}

func TestPacketsThatEndAConnection(t *testing.T) {
	slashes := strings.Repeat("/", 65400)
	raw := func(topic string) string { return hex.EncodeToString(publishPacket(t, topic, nil, 1)) }
	for _, tt := range []struct {
		name, bytes, clause string
	}{
		{"M6 second CONNECT", "10 0c 0004 4d515454 04 02 0000 0000", "MQTT-3.1.0-2"},
		{"M7 topic empty", raw(""), "MQTT-3.3.2-2"},
		{"M7 topic with +", raw("a/+"), "MQTT-3.3.2-2"},
		{"M7 topic with #", raw("#"), "MQTT-3.3.2-2"},
		{"M7 topic with NUL", raw("a\x00b"), "MQTT-1.5.3-2"},
		{"M7 topic with a lone surrogate", raw("\xed\xa0\x80"), "MQTT-1.5.3-1"},
		{"M7 topic in overlong UTF-8", raw("\xc0\xaf"), "MQTT-1.5.3-1"},
		{"M7 topic of 65,400 slashes", raw(slashes), ""},
		{"M7 filter of 65,400 slashes", hex.EncodeToString(packet.AppendSubscribe(nil, 1, []packet.Filter{{Topic: slashes}})), ""},
		{"filter not valid", hex.EncodeToString(packet.AppendSubscribe(nil, 1, []packet.Filter{{Topic: "a/#/b"}})), "MQTT-4.7.1-1"},
		{"filter to remove not valid", hex.EncodeToString(packet.AppendUnsubscribe(nil, 1, []string{"a#"})), "MQTT-4.7.1-1"},
		{"M8 PUBLISH with identifier 0", "32 05 0001 74 0000", "MQTT-2.3.1-1"},
		{"M8 PUBACK with identifier 0", "40 02 0000", "MQTT-2.3.1-1"},
		{"M8 PUBREC", "50 02 0001", ""},
		{"M8 PUBREL", "62 02 0001", ""},
		{"M8 PUBCOMP", "70 02 0001", ""},
		{"M9 CONNACK", "20 02 00 00", ""},
		{"M9 SUBACK", "90 03 0001 00", ""},
		{"M9 UNSUBACK", "b0 02 0001", ""},
		{"M9 PINGRESP", "d0 00", ""},
		{"M10 QoS 2", "34 05 0001 74 0001", ""},
		{"M10 QoS 3", "36 05 0001 74 0001", "MQTT-3.3.1-4"},
		{"M4 longer than allowed", "30 84 80 14", ""},
		{"DISCONNECT with a body", "e0 01 00", ""},
		{"reserved type", "f0 00", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := new(keeper)
			server := &mqtt.Server{Backend: k}
			w := connect(t, server)
			w.send(unhex(t, tt.bytes))
			if got := w.wantEOF(); len(got) > 0 {
				t.Errorf("answered with %x", got)
			}
			waitFor(t, "the session to be told", func() bool { return len(k.reasons()) == 1 })
			var e *mqtt.ProtocolError
			if !errors.As(k.reasons()[0], &e) || e.Clause != tt.clause {
				t.Errorf("reason %v, want clause %q", k.reasons()[0], tt.clause)
			}
			if len(k.kept()) > 0 {
				t.Error("something was stored")
			}
			waitFor(t, "the count", func() bool { return server.Stats.ProtocolErrors.Load() == 1 })
		})
	}
}

// What is odd and allowed reaches the backend, whose matter it is.
func TestM7_LongTopicsAreTheBackends(t *testing.T) {
	for _, topic := range []string{strings.Repeat("x", 65535), "/", "$SYS/x", " ", "\ufeff"} {
		k := new(keeper)
		w := connect(t, &mqtt.Server{Backend: k})
		w.send(publishPacket(t, topic, nil, 1))
		w.want("PUBACK 1")
		if got := k.kept()[0].Topic; got != topic {
			t.Errorf("topic of %d bytes arrived as %.40q", len(topic), got)
		}
	}
}

func TestM8_UnknownAcknowledgementsAreIgnored(t *testing.T) {
	w := connect(t, &mqtt.Server{Backend: new(keeper)})
	w.send(bytesOf([]byte{0x40, 2, 0x12, 0x34}, 100_000))
	w.ping()
}

func TestM11_SubscriptionsAreLimited(t *testing.T) {
	var largest int
	k := &keeper{onSubscribe: func(f []mqtt.Filter) { largest = max(largest, len(f)) }}
	w := connect(t, &mqtt.Server{Backend: k})
	var filters []packet.Filter
	for i := range 10_000 {
		filters = append(filters, packet.Filter{Topic: fmt.Sprint("f/", i)})
	}
	subscribe := func(filters []packet.Filter, granted int) {
		t.Helper()
		w.send(packet.AppendSubscribe(nil, 1, filters))
		want := append(make([]byte, granted), bytes.Repeat([]byte{0x80}, len(filters)-granted)...)
		w.want(fmt.Sprintf("SUBACK 1 %x", want))
	}
	subscribe(filters, 64)
	for i := 64; i < 512; i += 64 {
		subscribe(filters[i:i+64], 64)
	}
	subscribe(filters[512:522], 0)
	subscribe(filters[:64], 64) // again
	w.send(packet.AppendUnsubscribe(nil, 2, []string{"f/0"}))
	w.want("UNSUBACK 2")
	subscribe(filters[512:522], 1)
	if largest > 64 {
		t.Errorf("the session was given %d filters at once", largest)
	}
}

func TestM13_PayloadsAtTheLimit(t *testing.T) {
	const limit = 256 << 10
	long := strings.Repeat("x", 60_000)
	for _, tt := range []struct {
		name   string
		topic  string
		size   int
		stored bool
	}{
		{"at the limit", "t", limit, true},
		{"at the limit with a topic of 60 kB", long, limit, true},
		{"one above", "t", limit + 1, false},
		{"one above with a topic of 60 kB", long, limit + 1, false},
		{"longer than any topic can explain", "t", limit + 70_000, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := new(keeper)
			w := connect(t, &mqtt.Server{Backend: k})
			payload := bytes.Repeat([]byte{1, 2, 3, 4, 5, 6, 7}, tt.size/7+1)[:tt.size]
			w.send(publishPacket(t, tt.topic, payload, 1))
			if !tt.stored {
				if got := w.wantEOF(); len(got) > 0 || len(k.kept()) > 0 {
					t.Errorf("answered %x, stored %d", got, len(k.kept()))
				}
				return
			}
			w.want("PUBACK 1")
			if got := k.kept()[0]; !bytes.Equal(got.Payload, payload) || got.Topic != tt.topic {
				t.Errorf("stored %d bytes under %.40q, not what was sent", len(got.Payload), got.Topic)
			}
			w.ping()
		})
	}
}

func TestM14_HoweverBytesArrive(t *testing.T) {
	var flight []byte
	for i := range 1000 {
		flight = append(flight, publishPacket(t, "t", fmt.Append(nil, i), uint16(i+1))...)
	}
	hello := (&packet.Connect{ClientID: "dev1", CleanSession: true}).Append(nil)
	serverTLS, clientTLS := certificate(t)
	for _, tt := range []struct {
		name string
		send func(t *testing.T, addr net.Addr) net.Conn
		tls  *tls.Config
	}{
		{"one byte in each segment", func(t *testing.T, addr net.Addr) net.Conn {
			nc := dialTCP(t, addr)
			go func() {
				for _, b := range append(hello, flight...) {
					_, _ = nc.Write([]byte{b})
				}
			}()
			return nc
		}, nil},
		{"all in one segment, before CONNACK", func(t *testing.T, addr net.Addr) net.Conn {
			nc := dialTCP(t, addr)
			go func() { _, _ = nc.Write(append(hello, flight...)) }()
			return nc
		}, nil},
		{"in the flight of the TLS Finished", func(t *testing.T, addr net.Addr) net.Conn {
			nc := tls.Client(&corked{Conn: dialTCP(t, addr)}, clientTLS)
			go func() { _, _ = nc.Write(append(hello, flight...)) }()
			return nc
		}, serverTLS},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := new(keeper)
			addr := serve(t, &mqtt.Server{Backend: k, TLS: tt.tls})
			w := &wire{tt.send(t, addr), t}
			w.want("CONNACK 0 session-present=false")
			for i := range 1000 {
				w.want(fmt.Sprintf("PUBACK %d", i+1))
			}
			for i, p := range k.kept() {
				if string(p.Payload) != fmt.Sprint(i) {
					t.Fatalf("publication %d is %q", i, p.Payload)
				}
			}
		})
	}
}

func dialTCP(t testing.TB, addr net.Addr) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	return nc
}

// corked holds back the client's second flight, which has the TLS Finished, and
// sends it together with the first application data.
type corked struct {
	net.Conn
	writes int
	held   []byte
}

func (c *corked) Write(b []byte) (int, error) {
	c.writes++
	if c.writes == 2 {
		c.held = append(c.held, b...)
		return len(b), nil
	}
	all := append(c.held, b...)
	c.held = nil
	_, err := c.Conn.Write(all)
	return len(b), err
}

func TestM15_ClientIdentifiersAreTheBackends(t *testing.T) {
	for _, id := range []string{strings.Repeat("x", 65535), "#", "+", "/", "../"} {
		var got string
		k := &keeper{onConnect: func(c *mqtt.Connect, _ *mqtt.Conn) error {
			got = c.ClientID
			return &mqtt.ConnectError{Code: mqtt.CodeIdentifierRejected}
		}}
		server := &mqtt.Server{Backend: k}
		w := dial(t, server)
		w.send((&packet.Connect{ClientID: id, CleanSession: true}).Append(nil))
		w.want("CONNACK 2 session-present=false")
		w.wantEOF()
		if got != id {
			t.Errorf("client id of %d bytes arrived as %.40q", len(id), got)
		}
	}
}
