package mqtthead_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
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

	"github.com/eclipse/paho.mqtt.golang/packets"
	diff "github.com/google/go-cmp/cmp"

	"sluice/internal/mqtthead"
	"sluice/iot"
	"sluice/mqtt"
)

var update = flag.Bool("update", false, "rewrite the traces with what the head does now")

// TestTraces plays the conversations in testdata/trace in virtual time. In a
// trace,
//
//	# ...      is a comment
//	C> ...     is what the client sends; packets joined by | go in one write
//	H> ...     is what the hub does
//	+90s       is time that passes
//	S> ...     is what the client gets
//	! ...      is what the hub is asked
//
// and lines of the last two kinds are compared. C2> and S2> are another client.
// The packets are written and read by another implementation of MQTT.
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

// play runs a trace and returns it with the head's side as it is.
func play(t *testing.T, script string) string {
	s := newStage(t)
	var out strings.Builder
	for line := range strings.Lines(script) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "S") || strings.HasPrefix(line, "!") {
			continue
		}
		fmt.Fprintln(&out, line)
		s.act(line)
		synctest.Wait()
		out.WriteString(s.take())
	}
	s.stop()
	return out.String()
}

// A stage is a head on a fake hub, and clients on pipes.
type stage struct {
	t       *testing.T
	hub     *fakeHub
	server  *mqtt.Server
	clients map[string]*player
	ctx     context.Context
	cancel  context.CancelFunc
	wg      sync.WaitGroup

	mu    sync.Mutex
	lines []string
}

// A player is one client.
type player struct {
	net.Conn
	sends chan []byte
}

func newStage(t *testing.T) *stage {
	s := &stage{t: t, hub: newFakeHub(), clients: make(map[string]*player)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.hub.note = s.note
	s.server = &mqtt.Server{Backend: mqtthead.New(s.hub, mqtthead.Options{})}
	return s
}

// client returns a client by its number, and dials it the first time.
func (s *stage) client(number string) *player {
	if c := s.clients[number]; c != nil {
		return c
	}
	near, far := net.Pipe()
	c := &player{near, make(chan []byte, 100)}
	s.clients[number] = c
	s.wg.Go(func() { _ = s.server.ServeConn(s.ctx, far) }) // the reason shows in what the client gets
	s.wg.Go(func() { s.receive(c, number) })
	s.wg.Go(func() {
		for b := range c.sends {
			_, _ = c.Write(b) // an error shows as EOF
		}
	})
	return c
}

func (s *stage) stop() {
	for _, c := range s.clients {
		_ = c.Close()
		close(c.sends)
	}
	s.cancel()
	s.wg.Wait()
}

func (s *stage) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, fmt.Sprintf(format, args...))
}

// take returns the lines since the last time: first what the hub was asked, then
// what each client got.
func (s *stage) take() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	slices.SortStableFunc(s.lines, func(a, b string) int {
		return cmp.Compare(a[:strings.IndexByte(a, ' ')], b[:strings.IndexByte(b, ' ')])
	})
	var out strings.Builder
	for _, l := range s.lines {
		fmt.Fprintln(&out, l)
	}
	s.lines = nil
	return out.String()
}

// receive notes what the client gets.
func (s *stage) receive(c *player, number string) {
	for {
		p, err := packets.ReadPacket(c)
		if err != nil {
			s.note("S%s> EOF", number)
			return
		}
		s.note("S%s> %s", number, packetText(p))
	}
}

func packetText(p packets.ControlPacket) string {
	switch p := p.(type) {
	case *packets.ConnackPacket:
		return fmt.Sprintf("CONNACK %d session-present=%t", p.ReturnCode, p.SessionPresent)
	case *packets.PublishPacket:
		text := fmt.Sprintf("PUBLISH %s %s qos=%d", p.TopicName, bodyText(p.Payload), p.Qos)
		if p.MessageID != 0 {
			text += fmt.Sprintf(" id=%d", p.MessageID)
		}
		if p.Dup {
			text += " dup"
		}
		if p.Retain {
			text += " retain"
		}
		return text
	case *packets.SubackPacket:
		return fmt.Sprintf("SUBACK %d %x", p.MessageID, p.ReturnCodes)
	case *packets.PubackPacket:
		return fmt.Sprintf("PUBACK %d", p.MessageID)
	case *packets.UnsubackPacket:
		return fmt.Sprintf("UNSUBACK %d", p.MessageID)
	case *packets.PingrespPacket:
		return "PINGRESP"
	}
	return fmt.Sprintf("unexpected %v", p)
}

// act does what a line says.
func (s *stage) act(line string) {
	who, what, _ := strings.Cut(line, "> ")
	switch {
	case line == "" || line[0] == '#':
	case line[0] == '+':
		d, err := time.ParseDuration(line[1:])
		if err != nil {
			s.t.Fatal(err)
		}
		time.Sleep(d)
	case who == "H":
		s.direct(strings.Fields(what))
	case line[0] == 'C' && what == "EOF":
		_ = s.client(who[1:]).Close()
	case line[0] == 'C':
		var flight []byte
		for p := range strings.SplitSeq(what, "|") {
			flight = append(flight, encode(s.t, strings.Fields(p))...)
		}
		s.client(who[1:]).sends <- flight
	default:
		s.t.Fatalf("cannot read %q", line)
	}
}

// options are the words of a line that name something: id=7, clean.
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

func (o options) number(t testing.TB, k string) int {
	if !o.has(k) {
		return 0
	}
	return number(t, o[k])
}

func number(t testing.TB, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// encode makes a packet from its words.
func encode(t testing.TB, words []string) []byte {
	t.Helper()
	p := newPacket(t, words)
	var b bytes.Buffer
	if err := p.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func newPacket(t testing.TB, words []string) packets.ControlPacket {
	t.Helper()
	o := optionsOf(words[1:])
	switch words[0] {
	case "CONNECT":
		return newConnect(t, o)
	case "PUBLISH":
		p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
		p.TopicName, p.Payload = words[1], payloadOf(words[2])
		if o.has("size") {
			p.Payload = make([]byte, o.number(t, "size"))
		}
		p.Qos, p.MessageID, p.Retain, p.Dup = byte(o.number(t, "qos")), uint16(o.number(t, "id")), o.has("retain"), o.has("dup")
		return p
	case "PUBACK":
		p := packets.NewControlPacket(packets.Puback).(*packets.PubackPacket)
		p.MessageID = uint16(number(t, words[1]))
		return p
	case "SUBSCRIBE":
		p := packets.NewControlPacket(packets.Subscribe).(*packets.SubscribePacket)
		p.MessageID = uint16(number(t, words[1]))
		for _, w := range words[2:] {
			topic, qos, _ := strings.Cut(w, ":")
			p.Topics, p.Qoss = append(p.Topics, topic), append(p.Qoss, byte(number(t, qos)))
		}
		return p
	case "UNSUBSCRIBE":
		p := packets.NewControlPacket(packets.Unsubscribe).(*packets.UnsubscribePacket)
		p.MessageID, p.Topics = uint16(number(t, words[1])), words[2:]
		return p
	case "PINGREQ":
		return packets.NewControlPacket(packets.Pingreq)
	case "DISCONNECT":
		return packets.NewControlPacket(packets.Disconnect)
	}
	t.Fatalf("cannot encode %q", words)
	return nil
}

// payloadOf reads a payload: - is none, _ is a space.
func payloadOf(word string) []byte {
	switch word {
	case "-":
		return nil
	case "_":
		return []byte(" ")
	}
	return []byte(word)
}

func newConnect(t testing.TB, o options) *packets.ConnectPacket {
	p := packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket)
	p.ProtocolName, p.ProtocolVersion = "MQTT", 4
	p.ClientIdentifier, p.CleanSession, p.Keepalive = o["id"], o.has("clean"), uint16(o.number(t, "keepalive"))
	p.UsernameFlag, p.PasswordFlag = o.has("user"), o.has("password")
	if user, password := o["user"], o["password"]; o.has("user") {
		p.Username, p.Password = user, []byte(password)
	}
	if topic, payload, ok := strings.Cut(o["will"], ":"); ok {
		p.WillFlag, p.WillTopic, p.WillMessage, p.WillQos = true, topic, []byte(payload), byte(o.number(t, "will-qos"))
		if o.has("will-size") {
			p.WillMessage = make([]byte, o.number(t, "will-size"))
		}
	}
	return p
}

// direct makes the hub do something, or behave so from now on.
func (s *stage) direct(words []string) {
	h, arguments := s.hub, words[1:]
	switch words[0] {
	case "hold":
		h.hold = true
	case "safe":
		h.release(nil)
	case "lost":
		h.release(kindNamed(s.t, arguments[0]))
	case "refuse":
		err := kindNamed(s.t, arguments[0])
		h.judging = func(iot.Credentials) error { return err }
	case "accept":
		h.judging = nil
	case "refuse-send":
		h.refusal = kindNamed(s.t, arguments[0])
	case "forbid":
		h.closed[arguments[0]] = kindNamed(s.t, arguments[1])
	case "fail-twin":
		h.twinErr = kindNamed(s.t, arguments[0])
	case "end":
		reason := map[string]error{"taken-over": iot.ErrTakenOver, "disabled": iot.ErrDisabled, "removed": iot.ErrRemoved,
			"expired": iot.ErrTokenExpired, "closed": iot.ErrClosed}[arguments[1]]
		h.end(identity(s.t, arguments[0]), reason)
	default:
		s.deliver(words[0], h.session(identity(s.t, arguments[0])), arguments[1:])
	}
}

// deliver makes the hub hand something to a session.
func (s *stage) deliver(what string, to *fakeSession, words []string) {
	switch what {
	case "command", "input":
		d := iot.Delivery{LockToken: words[0], Message: iot.Message{Body: []byte(words[1])}, Repeat: slices.Contains(words, "repeat")}
		for _, w := range words[2:] {
			k, v, ok := strings.Cut(w, "=")
			if name, system := iot.ParseSystemName(strings.TrimPrefix(k, "$")); system && k[0] == '$' {
				d.Message.System.Set(name, v)
			} else if ok {
				d.Message.Properties.Set(k, v)
			}
		}
		to.flow.push(d)
	case "method":
		call := iot.MethodCall{Name: words[0]}
		if len(words) > 1 {
			call.Payload = json.RawMessage(words[1])
		}
		to.methods(call, func(r iot.MethodResult) { s.note("! answer %d %s", r.Status, r.Payload) })
	case "desired":
		to.desired(json.RawMessage(words[0]))
	default:
		s.t.Fatalf("the hub cannot %s", what)
	}
}

func identity(t testing.TB, text string) iot.Identity {
	t.Helper()
	id, err := iot.ParseIdentity(text)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// kinds are all kinds of failure, by their names in traces.
var kinds = map[string]iot.Kind{
	"internal": iot.Internal, "invalid": iot.Invalid, "unauthorized": iot.Unauthorized, "forbidden": iot.Forbidden,
	"not-found": iot.NotFound, "conflict": iot.Conflict, "precondition-failed": iot.PreconditionFailed,
	"too-large": iot.TooLarge, "throttled": iot.Throttled, "unavailable": iot.Unavailable, "timeout": iot.Timeout,
}

func kindNamed(t testing.TB, name string) error {
	t.Helper()
	kind, ok := kinds[name]
	if !ok {
		t.Fatalf("no kind %s", name)
	}
	return iot.Errorf(kind, "test", iot.Identity{}, "because the test says so")
}
