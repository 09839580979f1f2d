package mqtthead_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"sluice/internal/iottest"
	"sluice/internal/mqtthead"
	"sluice/internal/transcript"
	"sluice/mqtt"
)

// TestTraces plays the conversations in testdata/trace, see [transcript.Play]. In them
//
//	C> ...     is what the client sends; packets joined by | go in one write
//	H> ...     is what the hub does, see [iottest.Hub.Direct]
//	S> ...     is what the client gets
//	! ...      is what the hub is asked
//
// C2> and S2> are another client.
// The packets are written and read by another implementation of MQTT.
func TestTraces(t *testing.T) {
	transcript.Play(t, func(t *testing.T, _ string) transcript.Stage { return newStage(t) })
}

// A stage is a head on a fake hub, and clients on pipes.
type stage struct {
	transcript.Notes
	t       *testing.T
	hub     *iottest.Hub
	server  *mqtt.Server
	clients map[string]*player
	ctx     context.Context
	cancel  context.CancelFunc
	wg      sync.WaitGroup
}

// A player is one client.
type player struct {
	net.Conn
	sends chan []byte
}

func newStage(t *testing.T) *stage {
	s := &stage{t: t, hub: iottest.NewHub(), clients: make(map[string]*player)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.hub.Note = s.Note
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

// Stop cuts the clients off and waits for their ends.
func (s *stage) Stop() {
	for _, c := range s.clients {
		_ = c.Close()
		close(c.sends)
	}
	s.cancel()
	s.wg.Wait()
}

// Take returns the lines since the last time: first what the hub was asked, then
// what each client got.
func (s *stage) Take() string {
	return s.TakeBy(func(line string) string { return line[:strings.IndexByte(line, ' ')] })
}

// receive notes what the client gets.
func (s *stage) receive(c *player, number string) {
	for {
		p, err := packets.ReadPacket(c)
		if err != nil {
			s.Note("S%s> EOF", number)
			return
		}
		s.Note("S%s> %s", number, packetText(p))
	}
}

func packetText(p packets.ControlPacket) string {
	switch p := p.(type) {
	case *packets.ConnackPacket:
		return fmt.Sprintf("CONNACK %d session-present=%t", p.ReturnCode, p.SessionPresent)
	case *packets.PublishPacket:
		text := fmt.Sprintf("PUBLISH %s %s qos=%d", p.TopicName, iottest.Body(p.Payload), p.Qos)
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

// Act does what a line says.
func (s *stage) Act(line string) {
	who, what, _ := strings.Cut(line, "> ")
	switch {
	case who == "H":
		s.hub.Direct(s.t, strings.Fields(what))
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
