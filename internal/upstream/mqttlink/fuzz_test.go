package mqttlink

import (
	"encoding/json"
	"testing"

	paho "github.com/eclipse/paho.mqtt.golang"

	"sluice/internal/upstream/inbox"
	"sluice/iot"
)

// published is a publication without a connection.
type published struct {
	topic   string
	payload []byte
}

func (published) Duplicate() bool   { return true }
func (published) Qos() byte         { return 1 }
func (published) Retained() bool    { return false }
func (p published) Topic() string   { return p.topic }
func (published) MessageID() uint16 { return 1 }
func (p published) Payload() []byte { return p.payload }
func (published) Ack()              {}

// FuzzArrived is whatever a hub may publish: nothing of it may harm, and what is
// delivered has the bytes that came.
func FuzzArrived(f *testing.F) {
	for _, topic := range []string{
		"devices/leaf/messages/devicebound/%24.mid=1&a=b", "devices/leaf/messages/devicebound/%zz=&=",
		"$iothub/methods/POST/reboot/?$rid=1", "$iothub/methods/POST//?$rid=", "$iothub/methods/POST/?",
		"$iothub/twin/res/200/?$rid=1&$version=4", "$iothub/twin/res/x/?$rid=1", "$iothub/twin/res/",
		"$iothub/twin/PATCH/properties/desired/?$version=3", "$iothub/", "",
	} {
		f.Add(topic, []byte(`{"desired":{}}`))
	}
	f.Fuzz(func(t *testing.T, topic string, payload []byte) {
		s := newSession(&Config{Window: 1}, leaf, iot.Client{})
		s.reason = iot.ErrClosed // nothing is written
		s.commands = &commands{s: s, in: inbox.New(func(d iot.Delivery) {
			if string(d.Message.Body) != string(payload) || d.LockToken == "" {
				t.Errorf("delivery %+v", d)
			}
		})}
		s.commands.unsettled = map[string]paho.Message{}
		s.commands.in.Grant(1)
		s.invoke = func(c iot.MethodCall, reply func(iot.MethodResult)) {
			if string(c.Payload) != string(payload) {
				t.Errorf("call %+v", c)
			}
			reply(iot.MethodResult{})
		}
		s.desired = &desired{interest: &interest{}, changed: func(patch json.RawMessage) {
			if string(patch) != string(payload) {
				t.Errorf("patch %s", patch)
			}
		}}
		_, answers := s.expect()
		s.arrived(published{topic, payload})
		select {
		case a := <-answers:
			_ = s.refusal("twin", a)
		default:
		}
	})
}
