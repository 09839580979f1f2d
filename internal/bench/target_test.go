package bench

import (
	"bytes"
	"testing"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"sluice/internal/sas"
)

func TestTemplates(t *testing.T) {
	l, err := Templates{ClientID: "c{n}", Username: "u{n}{n}", Password: "p", Topic: "t/{n}/x"}.Login(7)
	if want := (Login{ClientID: "c7", Username: "u77", Password: "p", Topic: "t/7/x"}); err != nil || l != want {
		t.Errorf("got %+v, %v; want %+v", l, err, want)
	}
	l, err = Templates{}.Login(3)
	if want := (Login{ClientID: "sluice-bench-3", Topic: "sluice-bench/3"}); err != nil || l != want {
		t.Errorf("got %+v, %v; want %+v", l, err, want)
	}
}

func TestConnectionStringsMakeLogins(t *testing.T) {
	key := sas.NewKey().Reveal()
	for _, test := range []struct{ text, id, user, topic, resource string }{
		{"HostName=Hub.local;DeviceId=dev-{n};SharedAccessKey=" + key, "dev-4",
			"Hub.local/dev-4/?api-version=2021-04-12&DeviceClientType=sluice-bench", "devices/dev-4/messages/events/", "hub.local/devices/dev-4"},
		{"HostName=hub;DeviceId=edge;ModuleId=m{n};SharedAccessKey=" + key, "edge/m4",
			"hub/edge/m4/?api-version=2021-04-12&DeviceClientType=sluice-bench", "devices/edge/modules/m4/messages/events/", "hub/devices/edge/modules/m4"},
	} {
		l, err := Templates{ConnectionString: test.text}.Login(4)
		if err != nil {
			t.Fatal(err)
		}
		if l.ClientID != test.id || l.Username != test.user || l.Topic != test.topic {
			t.Errorf("got %+v", l)
		}
		token, err := sas.Parse(l.Password)
		if err != nil || token.Resource.String() != test.resource {
			t.Errorf("token for %v, %v; want %s", token.Resource, err, test.resource)
		}
	}
	for _, text := range []string{"x", "HostName=hub;SharedAccessKeyName=p;SharedAccessKey=" + key, "HostName=hub;DeviceId=d;SharedAccessKey=!"} {
		if l, err := (Templates{ConnectionString: text}).Login(0); err == nil {
			t.Errorf("%q: %+v", text, l)
		}
	}
}

// Another implementation reads what is written.
func TestPacketsAreMQTT(t *testing.T) {
	for _, l := range []Login{{ClientID: "c"}, {ClientID: "c", Username: "u"}, {ClientID: "c", Username: "u", Password: string(make([]byte, 300))}} {
		p, err := packets.ReadPacket(bytes.NewReader(appendConnect(nil, &l, 60)))
		c, ok := p.(*packets.ConnectPacket)
		if err != nil || !ok || c.Validate() != packets.Accepted || c.ClientIdentifier != l.ClientID || c.Username != l.Username ||
			string(c.Password) != l.Password || c.Keepalive != 60 || !c.CleanSession {
			t.Errorf("CONNECT of %+v is read as %v, %v", l, p, err)
		}
	}
	for _, size := range []int{0, 100, 200, 20_000} {
		b, id := newPublish("a/b", payload(size))
		b[id], b[id+1] = 1, 2
		p, err := packets.ReadPacket(bytes.NewReader(b))
		if m, ok := p.(*packets.PublishPacket); err != nil || !ok || m.Qos != 1 || m.MessageID != 0x102 || m.TopicName != "a/b" || len(m.Payload) != size {
			t.Errorf("PUBLISH of %d bytes is read as %v, %v", size, p, err)
		}
	}
}

// FuzzCutPacket reads what a server may send.
func FuzzCutPacket(f *testing.F) {
	f.Add([]byte{0x40, 2, 0, 1, 0x40, 2, 0, 2})
	f.Add([]byte{0xd0, 0})
	f.Add([]byte{0x30, 0x80, 0x80, 0x80, 0x80, 1})
	f.Add([]byte{0x30, 0xff, 0x7f})
	f.Fuzz(func(t *testing.T, b []byte) {
		all := b
		for {
			kind, body, rest, err := cutPacket(b)
			if err != nil || rest == nil {
				return
			}
			if kind != b[0]&0xf0 || len(body)+len(rest) >= len(b) {
				t.Fatalf("%x: %x is cut into %x and %x", all, b, body, rest)
			}
			b = rest
		}
	})
}
