package interop

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"sluice/internal/hubevent"
	"sluice/internal/modbus/modbustest"
)

// translators are a module each, named for what it speaks.
var translators = []string{"ptm-mqtt", "ptm-modbus", "ptm-node"}

// translatorRoutes are those of docs/translators.md.
func translatorRoutes() map[string]string {
	routes := map[string]string{
		"leaves": "FROM /messages/* WHERE NOT IS_DEFINED($connectionModuleId) INTO $upstream",
		"cloud":  "FROM /messages/modules/itm/outputs/itmoutput INTO $upstream",
	}
	for _, t := range translators {
		routes["from-"+t] = fmt.Sprintf(`FROM /messages/modules/%s/outputs/* INTO BrokeredEndpoint("/modules/itm/inputs/itminput")`, t)
		routes["to-"+t] = fmt.Sprintf(`FROM /messages/modules/itm/outputs/itmdown WHERE moduleId = '%s' INTO BrokeredEndpoint("/modules/%s/inputs/leaf")`, t, t)
	}
	return routes
}

// translatorDeployment writes a deployment of the identity module and three
// translators.
func (s *site) translatorDeployment(field string) string {
	s.t.Helper()
	sluice, err := program()
	if err != nil {
		s.t.Fatal(err)
	}
	example, err := filepath.Abs("../../docs/examples/translator.js")
	if err != nil {
		s.t.Fatal(err)
	}
	libraries, err := filepath.Abs("node_modules")
	if err != nil {
		s.t.Fatal(err)
	}
	node := processOf(s.t, "node", example)
	node["env"] = map[string]any{"NODE_PATH": map[string]any{"value": libraries}}
	text, err := json.Marshal(map[string]any{"modulesContent": map[string]any{
		"$edgeAgent": map[string]any{"properties.desired": map[string]any{
			"schemaVersion": "1.1", "runtime": map[string]any{"type": "docker", "settings": map[string]any{}},
			"modules": map[string]any{
				"itm":        processOf(s.t, sluice, "module", "identity-translation"),
				"ptm-mqtt":   processOf(s.t, sluice, "module", "mqtt-bridge", "--listen", s.gatewayIP+":1883"),
				"ptm-modbus": processOf(s.t, sluice, "module", "modbus", "--config", field),
				"ptm-node":   node,
			},
		}},
		"$edgeHub": map[string]any{"properties.desired": map[string]any{"schemaVersion": "1.1", "routes": translatorRoutes()}},
	}})
	if err != nil {
		s.t.Fatal(err)
	}
	file := s.path("translators.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		s.t.Fatal(err)
	}
	return file
}

// heard waits for an event of a leaf.
func (s *site) heard(leaf, text string) {
	s.t.Helper()
	s.follow(leaf, func(e *hubevent.Event) bool { return !strings.Contains(e.Text(), text) })
}

// callUntil calls a method on a leaf until it answers so: its session at the hub
// begins some time after its first message.
func (s *site) callUntil(leaf, method, payload, want string) {
	s.t.Helper()
	path, err := program()
	if err != nil {
		s.t.Fatal(err)
	}
	var out []byte
	for late := time.Now().Add(2 * time.Minute); time.Now().Before(late); {
		cmd := exec.CommandContext(s.t.Context(), path, "method", "invoke", leaf, method,
			"--payload", payload, "--connect-timeout", "30s", "--hub-data", s.path("hub"))
		if out, err = cmd.CombinedOutput(); err == nil && strings.Contains(oneLine(out), want) {
			return
		}
	}
	s.t.Errorf("%s of %s answers %s", method, leaf, out)
}

// oneLine is JSON without white space between its parts, or text as it is.
func oneLine(text []byte) string {
	var b bytes.Buffer
	if json.Compact(&b, text) != nil {
		return string(text)
	}
	return b.String()
}

// Three translators at one gateway: the broker that the bridge carries, with
// mosquitto's clients; Modbus TCP; and one that is written in another language with
// Microsoft's SDK. Each of their devices is one at the hub, and is reached from there.
func TestTranslatorsOfThreeKinds(t *testing.T) {
	requireMosquitto(t)
	s := newSite(t)
	press := modbustest.New(t, map[byte]*modbustest.Unit{1: {
		Coils: map[uint16]bool{0: false}, Holding: map[uint16]uint16{0: 215},
	}})
	field := s.path("field.toml")
	description := fmt.Sprintf(`
[[devices]]
address = %q
[[devices.units]]
unit = 1
leaf = "press-1"
interval = "1s"
registers = [
  { name = "setpoint", kind = "holding", scale = 0.1, writable = true, min = 5, max = 30 },
  { name = "running", kind = "coil", writable = true },
]
`, press.Addr)
	if err := os.WriteFile(field, []byte(description), 0o600); err != nil {
		t.Fatal(err)
	}
	s.startGatewayWith("$edgeAgent")
	s.deploy("apply", s.translatorDeployment(field))
	s.provision("press-1\nlamp-1\nclient0\n")

	s.followLogs("ptm-mqtt").until("msg=ready", 1, time.Minute)
	s.publish("client0", `{"n": 1}`)
	s.heard("client0", `"n":1`)
	s.callListening("client0")
	s.killBridge("client0")

	s.heard("press-1", `{"setpoint":21.5,"running":false}`)
	s.callUntil("press-1", "write", `{"setpoint": 25, "running": true}`, `{"status":200,"payload":{"setpoint":25,"running":true}}`)
	s.heard("press-1", `{"setpoint":25,"running":true}`)
	press.Change(func(units map[byte]*modbustest.Unit) {
		if u := units[1]; u.Holding[0] != 250 || !u.Coils[0] {
			t.Errorf("the press has %+v", u)
		}
	})
	s.callUntil("press-1", "write", `{"setpoint": 31}`, "setpoint: 31 is more than 30")

	s.heard("lamp-1", `{"id":"lamp-1","on":false}`)
	s.callUntil("lamp-1", "switch", `{"on": true}`, `{"status":200,"payload":{"id":"lamp-1","on":true}}`)
	s.heard("lamp-1", `{"id":"lamp-1","on":true}`)
	logs := s.followLogs("ptm-node")
	s.sluice("twin", "update", "lamp-1", "--desired", `{"interval": 5}`, "--hub-data", s.path("hub"))
	logs.until(`lamp-1 is to be`, 1, time.Minute)
	s.sluice("c2d", "send", "lamp-1", "--data", "shine", "--hub-data", s.path("hub"))
	logs.until("lamp-1 is told: shine", 1, time.Minute)
	logs.until("lamp-1 is registered", 1, time.Minute)
}

// callListening calls a method on a machine that listens with mosquitto_sub at the
// bridge's own broker.
func (s *site) callListening(client string) {
	s.t.Helper()
	machine := launch(s.t, client, exec.Command("mosquitto_sub", "-h", s.gatewayIP, "-i", client, "-q", "1",
		"-t", "device/"+client+"/state", "-t", "device/"+client+"/method/+/+", "-F", "called %t %p"))
	// Who listens is told how the leaf is.
	machine.until("called device/"+client+"/state", 1, time.Minute)
	answered := make(chan error, 1)
	go func() { answered <- s.answer(machine, client) }()
	s.callUntil(client, "blink", `{"times":3}`, `"blinked":"`+client+`"`)
	if err := <-answered; err != nil {
		s.t.Error(err)
	}
}

// killBridge publishes numbers as a machine while the bridge's process is killed, and
// fails if one that was acknowledged is not at the hub, or is there before an earlier
// one.
func (s *site) killBridge(client string) {
	s.t.Helper()
	const count = 200
	machine := &machine{t: s.t, addr: "tcp://" + s.gatewayIP + ":1883", id: client}
	defer machine.leave()
	for n := range count {
		if n%80 == 40 {
			s.kill("ptm-mqtt")
		}
		machine.say("device/"+client+"/message", fmt.Sprintf(`{"kill": %d}`, n))
	}
	next := 0
	s.follow(client, func(e *hubevent.Event) bool {
		var body struct{ Kill *int }
		if err := json.Unmarshal([]byte(e.Text()), &body); err != nil || body.Kill == nil {
			return true // of before
		}
		if *body.Kill > next {
			s.t.Errorf("%d is at the hub before %d", *body.Kill, next)
		}
		next = max(next, *body.Kill+1)
		return next < count
	})
}

// kill kills a module's process.
func (s *site) kill(module string) {
	s.t.Helper()
	s.gateway.mu.Lock()
	defer s.gateway.mu.Unlock()
	for _, line := range slices.Backward(s.gateway.lines) {
		var pid int
		_, text, found := strings.Cut(line, `msg="module started" module=`+module+" pid=")
		if !found {
			continue
		}
		if _, err := fmt.Sscan(text, &pid); err != nil {
			s.t.Fatalf("%s: %v", line, err)
		}
		process, err := os.FindProcess(pid)
		if err == nil {
			err = process.Kill()
		}
		if err != nil {
			s.t.Fatal(err)
		}
		return
	}
	s.t.Fatalf("%s was not started", module)
}

// machine is a client of a broker that publishes again what was not acknowledged.
type machine struct {
	t        *testing.T
	addr, id string
	client   paho.Client // nil while there is no connection
}

// say publishes until the broker acknowledges it.
func (m *machine) say(topic, body string) {
	m.t.Helper()
	for late := time.Now().Add(2 * time.Minute); time.Now().Before(late); {
		if m.client == nil {
			o := paho.NewClientOptions().AddBroker(m.addr).SetClientID(m.id).SetAutoReconnect(false).SetConnectTimeout(10 * time.Second)
			m.client = paho.NewClient(o)
			if token := m.client.Connect(); !token.WaitTimeout(10*time.Second) || token.Error() != nil {
				m.leave()
				<-time.After(100 * time.Millisecond)
				continue
			}
		}
		token := m.client.Publish(topic, 1, false, body)
		if token.WaitTimeout(10*time.Second) && token.Error() == nil && m.client.IsConnectionOpen() {
			return
		}
		m.leave()
	}
	m.t.Fatalf("%s was never acknowledged", body)
}

// leave closes the connection.
func (m *machine) leave() {
	if m.client != nil {
		m.client.Disconnect(10)
		m.client = nil
	}
}
