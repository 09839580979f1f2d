package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/upstream"
	"sluice/iot"
)

const minimal = `
hostname = "gateway.local"
[provisioning]
source = "manual"
connection_string = "HostName=hub.local;DeviceId=edge1;SharedAccessKey=c2VjcmV0"
`

func TestMinimalConfigurationHasDefaults(t *testing.T) {
	got, err := Parse([]byte(minimal), "/etc/sluice")
	if err != nil {
		t.Fatal(err)
	}
	want := &Config{
		HostName: "gateway.local", HubHostName: "hub.local",
		Device: iot.DeviceIdentity("edge1"), DeviceKey: "c2VjcmV0",
		DataDir: "/var/lib/sluice", LogLevel: "info",
		Listen:  Listen{MQTT: 8883, AMQP: 5671, HTTPS: 443},
		Hub:     Hub{Protocol: upstream.AMQP, AMQPPort: 5671, MQTTPort: 8883, HTTPSPort: 443, ScopeRefresh: 5 * time.Minute},
		Storage: Storage{MinFree: 64 << 20, TimeToLive: 2 * time.Hour},
		Metrics: Metrics{Address: "127.0.0.1:9600", Identities: 1000},
		Limits:  Limits{FailedLogins: 20, FailedLoginRate: 1, Hops: 16},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestConfigurationOfIoTEdgeIsAccepted(t *testing.T) {
	got, err := Parse([]byte(`
hostname = "gateway.local"
trust_bundle_cert = "file:///etc/aziot/certs/root.pem"
[provisioning]
source = "manual"
iothub_hostname = "hub.local"
device_id = "edge1"
[provisioning.authentication]
method = "sas"
device_id_pk = { value = "c2VjcmV0" }
[edge_ca]
cert = "file:///etc/aziot/certs/ca.pem"
pk = "file:///etc/aziot/private/ca.pem"
[agent]
name = "edgeAgent"
type = "docker"
[agent.config]
image = "mcr.microsoft.com/azureiotedge-agent:1.5"
[moby_runtime]
uri = "unix:///var/run/docker.sock"
`), "/etc/sluice")
	if err != nil {
		t.Fatal(err)
	}
	if got.Device.Device != "edge1" || got.DeviceKey != "c2VjcmV0" || got.EdgeCA.Key != "/etc/aziot/private/ca.pem" {
		t.Errorf("got %+v", got)
	}
	if diff := cmp.Diff([]string{"agent", "moby_runtime"}, got.Ignored); diff != "" {
		t.Errorf("keys without effect: -want +got\n%s", diff)
	}
}

func TestProtocolIsOursOrThatOfIoTEdge(t *testing.T) {
	for _, tt := range []struct {
		text, want string
	}{
		{"", "amqp"},
		{"[agent.env]\nUpstreamProtocol = \"AmqpWs\"\n", "amqp-ws"},
		{"[agent.env]\nUpstreamProtocol = \"Mqtt\"\n[sluice.hub]\nupstream_protocol = \"amqp\"\n", "amqp"},
		{"[sluice.hub]\nupstream_protocol = \"MqttWs\"\n", "mqtt-ws"},
		{"[sluice.hub]\nupstream_protocol = \"http\"\n", "sluice.hub.upstream_protocol"},
		{"[agent.env]\nUpstreamProtocol = \"Amqp_Tcp\"\n", "agent.env.UpstreamProtocol"},
	} {
		got, err := Parse([]byte(minimal+tt.text), "/etc/sluice")
		if err != nil && !strings.Contains(err.Error(), tt.want) || err == nil && string(got.Hub.Protocol) != tt.want {
			t.Errorf("%q: %v, want %s", tt.text, err, tt.want)
		}
	}
}

func TestRelativePathsAreRelativeToTheFile(t *testing.T) {
	got, err := Parse([]byte(minimal+"[sluice]\ndata_dir = \"data\"\n[sluice.hub]\nca = \"file:///abs/root.pem\"\n"), "/etc/sluice")
	if err != nil {
		t.Fatal(err)
	}
	if got.DataDir != "/etc/sluice/data" || got.Hub.CA != "/abs/root.pem" {
		t.Errorf("data %q, ca %q", got.DataDir, got.Hub.CA)
	}
}

func TestKeyFromFile(t *testing.T) {
	dir := t.TempDir()
	raw := []byte("0123456789abcdef0123456789abcdef")
	if err := os.WriteFile(filepath.Join(dir, "key"), raw, 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := Parse([]byte(`
hostname = "g"
[provisioning]
source = "manual"
iothub_hostname = "hub.local"
device_id = "edge1"
[provisioning.authentication]
method = "sas"
device_id_pk = { uri = "key" }
`), dir)
	if err != nil {
		t.Fatal(err)
	}
	if want := iot.Secret("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="); got.DeviceKey != want {
		t.Errorf("key %q, want %q", got.DeviceKey.Reveal(), want.Reveal())
	}
}

func TestL7_WrongConfigurationSaysWhatToWrite(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"typing error", strings.Replace(minimal, "hostname", "hostnam", 1), `line 2: unknown key "hostnam"; did you mean "hostname"?`},
		{"wrong table", minimal + "mqtt_port = 1883\n", `line 6: unknown key "provisioning.mqtt_port"; did you mean "sluice.`},
		{"wrong type", minimal + "[sluice.listen]\nmqtt_port = \"8883\"\n", "line 7:"},
		{"broken TOML", "hostname = \n", "line 1:"},
		{"no host name", strings.Replace(minimal, "hostname = \"gateway.local\"", "", 1), "hostname is missing; write hostname ="},
		{"a URL for a host name", strings.Replace(minimal, "gateway.local", "https://gateway", 1), "without scheme or port"},
		{"no provisioning", `hostname = "g"`, "provisioning.source is missing; write [provisioning]"},
		{"dps", strings.Replace(minimal, "manual", "dps", 1), `"dps" is not supported; write source = "manual"`},
		{"connection string of the service", strings.Replace(minimal, "DeviceId=edge1", "SharedAccessKeyName=iothubowner", 1), "not that of a device"},
		{"connection string without a key", strings.Replace(minimal, ";SharedAccessKey=c2VjcmV0", "", 1), "connection_string: SharedAccessKey: key is not base64"},
		{"certificate without its key", minimal + "[edge_ca]\ncert = \"a.pem\"\n", "edge_ca.cert is set and edge_ca.pk is not"},
		{"a port that is none", minimal + "[sluice.listen]\nmqtt_port = 70000\n", "sluice.listen.mqtt_port is 70000"},
		{"a path that is a URL", minimal + "[sluice.hub]\nca = \"https://x/root.pem\"\n", "write a path, or file:///path"},
		{"a scope that is looked at all the time", minimal + "[sluice.hub]\nscope_refresh_secs = 1\n", "scope_refresh_secs is 1"},
		{"time to live of nothing", minimal + "[sluice.storage]\ntime_to_live_secs = 0\n", "time_to_live_secs is 0"},
		{"log level", minimal + "[sluice]\nlog_level = \"loud\"\n", `log_level is "loud"; write debug`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse([]byte(tt.text), "/etc/sluice")
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v\nwant %q in it", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "c2VjcmV0") {
				t.Errorf("S12 the error repeats the key: %v", err)
			}
		})
	}
}

func TestAllProblemsAreReportedTogether(t *testing.T) {
	_, err := Parse([]byte("[edge_ca]\npk = \"k\"\n[sluice]\nlog_level = \"x\"\n"), "/")
	if err == nil || strings.Count(err.Error(), "\n") < 3 {
		t.Errorf("error %v, want four lines", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(minimal))
	f.Fuzz(func(t *testing.T, data []byte) {
		if c, err := Parse(data, "/"); err == nil && c.HostName == "" {
			t.Error("accepted without a host name")
		}
	})
}
