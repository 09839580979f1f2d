package mqtthead

import (
	"fmt"
	"testing"

	"sluice/iot"
	"sluice/mqtt"
)

// A keptSession keeps what it is sent, and never calls back.
type keptSession struct {
	iot.Session
	got []iot.Message
}

func (k *keptSession) Send(batch []iot.Message, _ func(error)) { k.got = append(k.got, batch...) }

// A hub owns what it is sent, and stamps it: what it does to one message must not
// show in another that came with the same topic.
func TestMessagesOfABatchShareNothing(t *testing.T) {
	const bag = "devices/dev1/messages/events/%24.mid=m&a=1&b=2"
	hub := &keptSession{}
	s := &session{id: iot.DeviceIdentity("dev1"), hub: hub}
	var batch []mqtt.Publish
	for i := range 8 {
		batch = append(batch, mqtt.Publish{Message: mqtt.Message{Topic: bag, Payload: []byte{byte(i)}, Retain: i == 4}})
	}
	s.Publish(batch)
	if len(hub.got) != len(batch) {
		t.Fatalf("%d of %d were sent", len(hub.got), len(batch))
	}
	for i := range hub.got {
		m := &hub.got[i]
		m.Stamp(iot.DeviceIdentity(fmt.Sprint("stamp", i)))
		m.System.Set(iot.MessageID, fmt.Sprint("id", i))
		m.Properties.Set("a", fmt.Sprint("a", i))
		m.Properties.Set(fmt.Sprint("new", i), "")
	}
	for i := range hub.got {
		m := &hub.got[i]
		a, _ := m.Properties.Get("a")
		b, _ := m.Properties.Get("b")
		_, own := m.Properties.Get(fmt.Sprint("new", i))
		retain, _ := m.Properties.Get("mqtt-retain")
		want := 3
		if i == 4 {
			want = 4
		}
		if a != fmt.Sprint("a", i) || b != "2" || !own || len(m.Properties) != want || m.System.Get(iot.MessageID) != fmt.Sprint("id", i) ||
			m.Sender().Device != fmt.Sprint("stamp", i) || m.Body[0] != byte(i) || (retain == "true") != (i == 4) {
			t.Errorf("message %d is %+v", i, m)
		}
	}
}

// M13: a payload that fits alone may not fit with the properties that the message
// before it had.
func TestM13_ARepeatedTopicCountsToo(t *testing.T) {
	const bag = "devices/dev1/messages/events/a=1"
	hub := &keptSession{}
	s := &session{id: iot.DeviceIdentity("dev1"), hub: hub}
	events := collection{}
	first := mqtt.Publish{Message: mqtt.Message{Topic: bag, Payload: []byte("x")}}
	large := mqtt.Publish{Message: mqtt.Message{Topic: bag, Payload: make([]byte, iot.MaxMessageSize-1)}}
	if err := s.operation(&first, &events); err != nil {
		t.Fatal(err)
	}
	if events.repeat(&large) {
		t.Error("taken, though it is over the limit")
	}
	if err := s.operation(&large, &events); iot.KindOf(err) != iot.TooLarge {
		t.Errorf("got %v", err)
	}
}
