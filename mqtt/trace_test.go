package mqtt_test

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	diff "github.com/google/go-cmp/cmp"

	"sluice/mqtt"
	"sluice/mqtt/internal/packet"
)

var update = flag.Bool("update", false, "rewrite the traces with what the server does now")

// TestTraces plays the conversations in testdata/trace in virtual time. In a
// trace,
//
//	# ...      is a comment
//	C> ...     is what the client sends; packets joined by | go in one write
//	B> ...     is what the backend does
//	+90s       is time that passes
//	S> ...     is what the server sends
//	! ...      is what the backend is told
//
// and lines of the last two kinds are compared.
func TestTraces(t *testing.T) {
	files, err := filepath.Glob("testdata/trace/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no traces: ", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var got string
			synctest.Test(t, func(t *testing.T) { got = play(t, string(want)) })
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if d := diff.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); d != "" {
				t.Errorf("the conversation is another (-want +got):\n%s", d)
			}
		})
	}
}

// play runs a trace and returns it with the server's side as it is.
func play(t *testing.T, script string) string {
	s := &stage{}
	s.start(t)
	var out strings.Builder
	for line := range strings.Lines(script) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "S>") || strings.HasPrefix(line, "!") {
			continue
		}
		fmt.Fprintln(&out, line)
		s.act(t, line)
		synctest.Wait()
		out.WriteString(s.take())
	}
	s.stop()
	return out.String()
}

// A stage is a server with one client on a pipe, and a backend that does as it is
// told.
type stage struct {
	limits mqtt.Limits
	client net.Conn
	sends  chan []byte
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	lines   []string
	refuse  error
	present bool
	grant   []mqtt.QoS
	auto    bool
	conn    *mqtt.Conn
	pending []mqtt.Publish
}

func (s *stage) start(t *testing.T) {
	client, server := net.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	s.client, s.cancel, s.sends = client, cancel, make(chan []byte, 1000)
	s.wg.Go(func() {
		_ = (&mqtt.Server{Backend: s, Limits: s.limits}).ServeConn(ctx, server)
	})
	s.wg.Go(s.receive)
	s.wg.Go(func() {
		for b := range s.sends {
			_, _ = client.Write(b) // an error shows as EOF
		}
	})
}

func (s *stage) stop() {
	_ = s.client.Close()
	close(s.sends)
	s.cancel()
	s.wg.Wait()
}

func (s *stage) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, fmt.Sprintf(format, args...))
}

// take returns the lines since the last time. Those of different goroutines are
// put into an order.
func (s *stage) take() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	slices.SortStableFunc(s.lines, func(a, b string) int { return cmp.Compare(rank(a), rank(b)) })
	var out strings.Builder
	for _, l := range s.lines {
		fmt.Fprintln(&out, l)
	}
	s.lines = nil
	return out.String()
}

func rank(line string) int {
	for i, prefix := range []string{"! done", "! closed", "! will", "! ready", "S>"} {
		if strings.HasPrefix(line, prefix) {
			return 1 + i
		}
	}
	return 0
}

// receive notes the server's packets.
func (s *stage) receive() {
	for {
		h, body, err := readPacket(s.client)
		if err != nil {
			s.note("S> EOF")
			return
		}
		s.note("S> %s", packetText(h, body))
	}
}

// readPacket reads one packet.
func readPacket(r io.Reader) (packet.Header, []byte, error) {
	var b []byte
	for {
		b = append(b, 0)
		if _, err := io.ReadFull(r, b[len(b)-1:]); err != nil {
			return packet.Header{}, nil, err
		}
		h, err := packet.ParseHeader(b)
		if err != nil {
			return h, nil, err
		}
		if h.Size > 0 {
			body := make([]byte, h.Length)
			_, err := io.ReadFull(r, body)
			return h, body, err
		}
	}
}

func packetText(h packet.Header, body []byte) string {
	switch h.Type {
	case packet.CONNACK:
		present, code, err := packet.DecodeConnack(body)
		return withError(fmt.Sprintf("CONNACK %d session-present=%t", code, present), err)
	case packet.PUBLISH:
		p, err := packet.DecodePublish(h.Flags, body, "")
		return withError("PUBLISH "+messageText(string(p.Topic), p.Payload, p.QoS, p.ID, p.Dup, p.Retain), err)
	case packet.SUBACK:
		id, codes, err := packet.DecodeSuback(body)
		return withError(fmt.Sprintf("SUBACK %d %x", id, codes), err)
	case packet.PUBACK, packet.UNSUBACK:
		id, err := packet.DecodeID(body)
		return withError(fmt.Sprintf("%v %d", h.Type, id), err)
	}
	return withError(h.Type.String(), packet.DecodeEmpty(body))
}

func messageText(topic string, payload []byte, qos byte, id uint16, dup, retain bool) string {
	text := fmt.Sprintf("%s %s qos=%d", topic, payload, qos)
	if len(payload) > 40 {
		text = fmt.Sprintf("%s (%d bytes) qos=%d", topic, len(payload), qos)
	}
	if id != 0 {
		text += fmt.Sprintf(" id=%d", id)
	}
	if dup {
		text += " dup"
	}
	if retain {
		text += " retain"
	}
	return text
}

func withError(s string, err error) string {
	if err != nil {
		return fmt.Sprintf("%s: %v", s, err)
	}
	return s
}

// act does what a line says.
func (s *stage) act(t *testing.T, line string) {
	switch {
	case line == "C> EOF":
		_ = s.client.Close()
	case strings.HasPrefix(line, "C> "):
		var flight []byte
		for p := range strings.SplitSeq(line[3:], "|") {
			flight = append(flight, encode(t, strings.Fields(p))...)
		}
		s.sends <- flight
	case strings.HasPrefix(line, "B> "):
		s.direct(t, strings.Fields(line[3:]))
	case strings.HasPrefix(line, "+"):
		d, err := time.ParseDuration(line[1:])
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(d)
	case line != "" && !strings.HasPrefix(line, "#"):
		t.Fatalf("cannot read %q", line)
	}
}

// options are the words of a line that name something: id=7, retain.
type options map[string]string

func optionsOf(words []string) options {
	o := make(options)
	for _, w := range words {
		k, v, _ := strings.Cut(w, "=")
		o[k] = v
	}
	return o
}

func (o options) has(k string) bool { _, ok := o[k]; return ok }

func (o options) number(t *testing.T, k string) int {
	if !o.has(k) {
		return 0
	}
	return number(t, o[k])
}

func number(t *testing.T, s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// encode makes a packet from its words.
func encode(t *testing.T, words []string) []byte {
	o := optionsOf(words)
	switch words[0] {
	case "CONNECT":
		c := packet.Connect{ClientID: o["id"], CleanSession: o.has("clean"), KeepAlive: uint16(o.number(t, "keepalive")),
			HasUsername: o.has("user"), Username: o["user"]}
		if o.has("password") {
			c.Password = []byte(o["password"])
		}
		if topic, payload, ok := strings.Cut(o["will"], ":"); ok {
			c.Will = &packet.Will{Topic: topic, Payload: []byte(payload), QoS: byte(o.number(t, "will-qos"))}
		}
		return c.Append(nil)
	case "PUBLISH":
		p := packet.Publish{Payload: []byte(words[2]), QoS: byte(o.number(t, "qos")), ID: uint16(o.number(t, "id")), Dup: o.has("dup"), Retain: o.has("retain")}
		if o.has("size") {
			p.Payload = make([]byte, o.number(t, "size"))
		}
		b, err := packet.AppendPublish(nil, &p, words[1])
		if err != nil {
			t.Fatal(err)
		}
		return b
	case "PUBACK":
		return packet.AppendID(nil, packet.PUBACK, uint16(number(t, words[1])))
	case "SUBSCRIBE":
		var filters []packet.Filter
		for _, w := range words[2:] {
			topic, qos, _ := strings.Cut(w, ":")
			filters = append(filters, packet.Filter{Topic: topic, QoS: byte(number(t, qos))})
		}
		return packet.AppendSubscribe(nil, uint16(number(t, words[1])), filters)
	case "UNSUBSCRIBE":
		return packet.AppendUnsubscribe(nil, uint16(number(t, words[1])), words[2:])
	case "PINGREQ":
		return packet.AppendEmpty(nil, packet.PINGREQ)
	case "DISCONNECT":
		return packet.AppendEmpty(nil, packet.DISCONNECT)
	case "hex":
		b, err := hex.DecodeString(strings.Join(words[1:], ""))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	t.Fatalf("cannot encode %q", words)
	return nil
}

// direct makes the backend do something, or behave so from now on.
func (s *stage) direct(t *testing.T, words []string) {
	o := optionsOf(words)
	s.mu.Lock()
	conn := s.conn
	switch words[0] {
	case "refuse":
		s.refuse = &mqtt.ConnectError{Code: mqtt.ConnectCode(number(t, words[1]))}
	case "hang-up":
		s.refuse = errors.New("no")
	case "present":
		s.present = true
	case "auto":
		s.auto = true
	case "grant":
		s.grant = nil
		for _, w := range words[1:] {
			s.grant = append(s.grant, mqtt.QoS(number(t, w)))
		}
	}
	s.mu.Unlock()
	switch words[0] {
	case "ack":
		s.pending[number(t, words[1])-1].Ack(nil)
	case "fail":
		s.pending[number(t, words[1])-1].Ack(errors.New("disk is full"))
	case "publish":
		m := mqtt.Message{Topic: words[1], Payload: []byte(words[2]), QoS: mqtt.QoS(o.number(t, "qos")),
			Retain: o.has("retain"), Dup: o.has("dup"), PacketID: uint16(o.number(t, "id"))}
		id, err := conn.Publish(m, func(err error) { s.note("! done %s: %v", words[2], err) })
		s.note("! published %s id=%d: %v", words[2], id, err)
	case "close":
		conn.Close(errors.New(strings.Join(words[1:], " ")))
	case "stop":
		s.cancel()
	}
}

func (s *stage) Connect(_ context.Context, c *mqtt.Connect, conn *mqtt.Conn) (mqtt.Session, bool, error) {
	s.note("! connect %v", c)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse != nil {
		return nil, false, s.refuse
	}
	s.conn = conn
	return s, s.present, nil
}

func (s *stage) Publish(batch []mqtt.Publish) {
	for _, p := range batch {
		s.note("! publish %s", messageText(p.Topic, p.Payload, byte(p.QoS), p.PacketID, p.Dup, p.Retain))
		if s.auto {
			p.Ack(nil)
		} else {
			s.pending = append(s.pending, p)
		}
	}
	if len(batch) > 1 {
		s.note("! batch of %d", len(batch))
	}
}

func (s *stage) Subscribe(filters []mqtt.Filter) ([]mqtt.QoS, error) {
	s.note("! subscribe %v", filters)
	return s.grant, nil
}

func (s *stage) Unsubscribe(filters []string) error {
	s.note("! unsubscribe %v", filters)
	return nil
}

func (s *stage) Ready() { s.note("! ready") }

func (s *stage) Closed(reason error, will *mqtt.Message) {
	s.note("! closed: %v", reason)
	if will != nil {
		s.note("! will %s", messageText(will.Topic, will.Payload, byte(will.QoS), 0, will.Dup, will.Retain))
	}
}
