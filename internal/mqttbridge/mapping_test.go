package mqttbridge

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/conffile"
	"sluice/iot"
)

func TestPublicationsBecomeMessages(t *testing.T) {
	p := &publication{topic: "plant/halle-3/press/7", payload: []byte(` {"serial":"A7","n":12.50,"on":true,"none":null,"deep":{"list":[1,{"x":"y"}]}}`), clientID: "c", username: "u"}
	for _, c := range []struct {
		name string
		how  Messages
		id   string
		body string
		prop string
		err  string
	}{
		{name: "raw", how: Messages{ID: "{unit}"}, id: "7", body: string(p.payload)},
		{name: "envelope", how: Messages{ID: "{unit}", Payload: "envelope"}, id: "7", body: `{"topic":"plant/halle-3/press/7","payload":` + string(p.payload)[1:] + `}`},
		{name: "a part", how: Messages{ID: "{unit}", Payload: "{json:deep.list.1}"}, id: "7", body: `{"x":"y"}`},
		{name: "levels in the id", how: Messages{ID: "{site}-{unit}"}, id: "halle-3-7", body: string(p.payload)},
		{name: "the id in the payload", how: Messages{ID: "{json:serial}"}, id: "A7", body: string(p.payload)},
		{name: "who published", how: Messages{ID: "{client_id}.{username}"}, id: "c.u", body: string(p.payload)},
		{name: "properties", how: Messages{ID: "{unit}", Properties: map[string]string{"a": "{site}/{json:deep.list.0}", "b": "{json:n} {json:on}", "c": "{topic}"}},
			id: "7", body: string(p.payload), prop: "a=halle-3/1 b=12.50 true c=plant/halle-3/press/7"},
		{name: "no such value", how: Messages{ID: "{json:nothing}"}, err: "the payload has no nothing"},
		{name: "no such place", how: Messages{ID: "{json:deep.list.2}"}, err: "the payload has no deep.list.2"},
		{name: "not a place", how: Messages{ID: "{json:deep.list.x}"}, err: "the payload has no deep.list.x"},
		{name: "not a single value", how: Messages{ID: "{json:deep}"}, err: "deep in the payload is not a single value"},
		{name: "null", how: Messages{ID: "{json:none}"}, err: "none in the payload is null"},
		{name: "beyond a value", how: Messages{ID: "{json:serial.x}"}, err: "the payload is not JSON"},
	} {
		c.how.Topic = "plant/{site}/press/{unit}"
		m, err := c.how.compile(true)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		id, got, err := m.message(p)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		var props []string
		for _, v := range got.Properties {
			props = append(props, v.Key+"="+v.Value)
		}
		if id != c.id || string(got.Body) != c.body || strings.Join(props, " ") != c.prop || err != nil {
			t.Errorf("%s: %q %s %q %v", c.name, id, got.Body, props, err)
		}
		if got.System.Get(iot.ContentType) != "application/json" {
			t.Errorf("%s: content type %s", c.name, got.System.Get(iot.ContentType))
		}
	}
}

func TestMistakesInTheConfigurationAreNamed(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"listen = '1883'", `listen is "1883"; it is an address and a port, such as "127.0.0.1:1883"`},
		{"listen = ':1'\nbroker = 'tcp://a:1'", "listen and broker are both set"},
		{"broker = 'a:1883'", "it is of the form tcp://host:1883"},
		{"broker = 'tcp://a:1'\npassword_file = 'x'", "are of the bridge's own broker, but broker is set"},
		{"username = 'x'", "are for another's broker, but broker is not set"},
		{"own_topics = 'user'", `own_topics is "user"; it is "username" or "client_id"`},
		{"own_topics = 'username'", "needs a password_file"},
		{"cert = 'x'", "cert and key belong together"},
		{"max_leaves = -1", "cannot be negative"},
		{"[[mesages]]", `line 1: unknown key "mesages"; did you mean "messages"?`},
		{"[[messages]]\ntopic = 'a/b'", `topic "a/b" needs a level {id}, or id must say where the leaf's id is`},
		{"[[messages]]\ntopic = 'a/{id}'\npayload = 'json'", `payload is "json"; it is raw, envelope, or {json:path} for a part`},
		{"[[messages]]\ntopic = 'a/{id}'\n[messages.properties]\nx = '{line}'", `properties: x: "{line}": there is no {line}; there are {id}, {topic}, {client_id}, {username} and {json:path}`},
		{"[[messages]]\ntopic = 'a/{id}'\nid = '{id'", "a brace is not closed"},
		{"broker = 'tcp://a:1'\n[[messages]]\ntopic = 'a'\nid = '{client_id}'", "another's broker does not say who published"},
		{"[topics]\ncommand = 'a/b'", `topics: command: topic "a/b" needs a level {id}`},
		{"[topics]\ncommand = 'a/{id}/+'", "is published to, and has a wildcard"},
		{"[topics]\ncommand = 'a/{id}/{x}'", "{x} is not known here; there are {id}"},
		{"[topics]\nmethod = '-'", "turned off together, or neither"},
		{"[[messages]]\ntopic = 'device/{id}/#'", `what is published to "device/{id}/command" would also be read as from a leaf, by "device/{id}/#"`},
	} {
		cfg := new(Config)
		err := conffile.TOML([]byte(c.text), cfg)
		if err == nil {
			err = cfg.complete()
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.text, err)
		}
	}
}

func TestTheExampleIsWhatNoConfigurationMeans(t *testing.T) {
	var example, empty Config
	if err := conffile.TOML([]byte(Example), &example); err != nil {
		t.Fatal(err)
	}
	if err := example.complete(); err != nil {
		t.Fatal(err)
	}
	if err := empty.complete(); err != nil {
		t.Fatal(err)
	}
	a, _ := example.compile(true)
	b, _ := empty.compile(true)
	if diff := cmp.Diff(a, b, cmp.AllowUnexported(mapping{}, messages{}, pattern{}, level{}, template{}, part{}, property{})); diff != "" {
		t.Error(diff)
	}
	if example.Listen != empty.Listen {
		t.Error(example.Listen)
	}
}

func TestTheEnvironmentIsAboveTheFile(t *testing.T) {
	file := t.TempDir() + "/bridge.json"
	if err := os.WriteFile(file, []byte(`{"broker": "tcp://a:1", "ca": "ca.pem"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SLUICE_MQTT_PASSWORD", "secret")
	t.Setenv("SLUICE_MQTT_BROKER", "tcp://b:1")
	c, err := Load(file, Config{})
	if err != nil || c.Password != "secret" || c.Broker != "tcp://b:1" || !strings.HasSuffix(c.CA, "/ca.pem") || !strings.HasPrefix(c.CA, "/") {
		t.Errorf("%+v %v", c, err)
	}
	if c, err = Load(file, Config{Broker: "tcp://c:1"}); err != nil || c.Broker != "tcp://c:1" {
		t.Errorf("%+v %v", c, err)
	}
}

// Whatever is published, a message has the payload, or a part of it, and its size is
// bounded by what came.
func FuzzMessage(f *testing.F) {
	f.Add("plant/a/press/7", []byte(`{"a":{"b":[1,"x"]}}`), "{site}-{json:a.b.1}", "{json:a}")
	f.Add("plant/a/press/7", []byte(`[[[`), "{unit}", "envelope")
	f.Fuzz(func(t *testing.T, topic string, payload []byte, id, how string) {
		c := Messages{Topic: "plant/{site}/press/{unit}", ID: id, Payload: how, Properties: map[string]string{"p": id}}
		m, err := c.compile(true)
		if err != nil || !m.topic.matches(topic) {
			return
		}
		_, got, err := m.message(&publication{topic: topic, payload: payload})
		if err != nil {
			return
		}
		if m.envelope && !json.Valid(got.Body) || len(got.Body) > 6*(len(payload)+len(topic))+64 {
			t.Errorf("%q of %q", got.Body, payload)
		}
	})
}

func BenchmarkMessage(b *testing.B) {
	payload := []byte(`{"temperature":21.5,"pressure":1.013,"valve":"open","deep":{"serial":"A7"}}`)
	for name, how := range map[string]Messages{
		"raw":      {Topic: "device/{id}/message"},
		"envelope": {Topic: "device/{id}/message", Payload: "envelope"},
		"mapped":   {Topic: "device/{unit}/message", ID: "{json:deep.serial}", Properties: map[string]string{"unit": "{unit}"}},
	} {
		b.Run(name, func(b *testing.B) {
			m, err := how.compile(true)
			if err != nil {
				b.Fatal(err)
			}
			p := &publication{topic: "device/pump-7/message", payload: payload}
			b.SetBytes(int64(len(payload)))
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := m.message(p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
