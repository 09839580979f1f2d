package interop

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/internal/hubevent"
)

// requireMosquitto skips the test where Debian's mosquitto, its clients or openssl
// are missing, or installs them if SLUICE_INSTALL=1 says so.
func requireMosquitto(t *testing.T) {
	t.Helper()
	missing := func() []string {
		var list []string
		for program, name := range map[string]string{"/usr/sbin/mosquitto": "mosquitto", "mosquitto_pub": "mosquitto-clients", "openssl": "openssl"} {
			if _, err := exec.LookPath(program); err != nil {
				list = append(list, name)
			}
		}
		return list
	}
	lacks := missing()
	if len(lacks) == 0 {
		return
	}
	if os.Getenv("SLUICE_INSTALL") != "1" {
		t.Skipf("missing: %s; install these packages, or set SLUICE_INSTALL=1", strings.Join(lacks, " "))
	}
	cmd := exec.CommandContext(t.Context(), "apt-get", append([]string{"install", "-y", "-qq", "--no-install-recommends"}, lacks...)...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	if out, err := cmd.CombinedOutput(); err != nil || len(missing()) > 0 {
		t.Fatalf("%s cannot be installed: %v\n%s", lacks, err, out)
	}
}

// The sample's own names.
const (
	itmName = "IdentityTranslationLite"
	ptmName = "ptm-mqtt"
)

// sampleRoutes are the sample's three, and one for the way down.
var sampleRoutes = map[string]string{
	"LeafDeviceMessagesToIoTHub":   "FROM /messages/* WHERE NOT IS_DEFINED($connectionModuleId) INTO $upstream",
	"IdentityTranslationToIoTHub":  "FROM /messages/modules/IdentityTranslationLite/outputs/itmoutput INTO $upstream",
	"PtmMqttToIdentityTranslation": `FROM /messages/modules/ptm-mqtt/outputs/ptm_output INTO BrokeredEndpoint("/modules/IdentityTranslationLite/inputs/itminput")`,
	"IdentityTranslationToPtmMqtt": `FROM /messages/modules/IdentityTranslationLite/outputs/itmdown WHERE moduleId = 'ptm-mqtt' INTO BrokeredEndpoint("/modules/ptm-mqtt/inputs/leaf")`,
}

// processOf is a module of a deployment that runs a program.
func processOf(t *testing.T, program string, args ...string) map[string]any {
	t.Helper()
	options, err := json.Marshal(map[string]any{"Cmd": args})
	if err != nil {
		t.Fatal(err)
	}
	return map[string]any{
		"type": "process", "status": "running", "restartPolicy": "always",
		"settings": map[string]any{"image": program, "createOptions": string(options)},
	}
}

// sampleDeployment writes a deployment with the sample's three modules.
func (s *site) sampleDeployment() string {
	s.t.Helper()
	sluice, err := program()
	if err != nil {
		s.t.Fatal(err)
	}
	conf := s.path("mosquitto.conf")
	if err := os.WriteFile(conf, []byte("listener 1883 "+s.gatewayIP+"\nallow_anonymous true\n"), 0o600); err != nil {
		s.t.Fatal(err)
	}
	text, err := json.Marshal(map[string]any{"modulesContent": map[string]any{
		"$edgeAgent": map[string]any{"properties.desired": map[string]any{
			"schemaVersion": "1.1", "runtime": map[string]any{"type": "docker", "settings": map[string]any{}},
			"modules": map[string]any{
				itmName:     processOf(s.t, sluice, "module", "identity-translation"),
				ptmName:     processOf(s.t, sluice, "module", "mqtt-bridge", "--broker", "tcp://"+s.gatewayIP+":1883"),
				"mosquitto": processOf(s.t, "/usr/sbin/mosquitto", "-c", conf),
			},
		}},
		"$edgeHub": map[string]any{"properties.desired": map[string]any{"schemaVersion": "1.1", "routes": sampleRoutes}},
	}})
	if err != nil {
		s.t.Fatal(err)
	}
	file := s.path("sample.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		s.t.Fatal(err)
	}
	return file
}

// provision starts the provisioning service with an allow list.
func (s *site) provision(list string) *running {
	s.t.Helper()
	file := s.path("leaves.txt")
	if err := os.WriteFile(file, []byte(list), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return s.start("provision", "msg=ready", "provision", "--allow", file, "--follow", "--hub-data", s.path("hub"), "--data", s.path("provision"))
}

// publish publishes as a machine that knows plain MQTT.
func (s *site) publish(client, body string) {
	s.t.Helper()
	s.untilBroker()
	output(s.t, exec.CommandContext(s.t.Context(), "mosquitto_pub", "-h", s.gatewayIP, "-i", client, "-q", "1", "-t", "device/"+client+"/message", "-m", body))
}

// untilBroker waits for mosquitto to accept connections.
func (s *site) untilBroker() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", s.gatewayIP+":1883")
		if err == nil {
			_ = conn.Close() // was only tried
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			s.t.Fatalf("mosquitto: %v", err)
		}
	}
}

// leaves runs a task of leaves.js.
func (s *site) leaves(into any, task ...string) {
	s.t.Helper()
	out := s.node(s.path("hub", "root.pem"), append([]string{"js/leaves.js", s.owner}, task...)...)
	if err := json.Unmarshal([]byte(out), into); err != nil {
		s.t.Fatalf("%v\n%s", err, out)
	}
}

type symmetricKey struct{ PrimaryKey, SecondaryKey string }

type shownLeaf struct {
	Scope   string
	Parents []string
	Status  string
	Keys    symmetricKey
}

// opensslHMAC computes what the key of a leaf must be.
func opensslHMAC(t *testing.T, key, leaf string) string {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(key)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "openssl", "dgst", "-sha256", "-mac", "HMAC", "-macopt", "hexkey:"+hex.EncodeToString(raw), "-binary")
	cmd.Stdin = strings.NewReader(leaf)
	return base64.StdEncoding.EncodeToString([]byte(output(t, cmd)))
}

// Microsoft's sample with its own modules' names and routes: clients of mosquitto
// that know nothing of IoT Hub become devices, those that are on the list; the official
// service SDK sees them, and calls a method on one.
func TestTheSamplesScenario(t *testing.T) {
	requireMosquitto(t)
	s := newSite(t)
	s.startGatewayWith("$edgeAgent")
	s.deploy("apply", s.sampleDeployment())
	bridge := s.followLogs(ptmName)
	bridge.until("connected to the broker", 1, time.Minute)

	// What comes before provisioning waits.
	clients := []string{"client0", "client1", "client3"}
	for _, c := range append(clients, "client2", "lient0") {
		s.publish(c, fmt.Sprintf(`{"client": %q, "n": 1}`, c))
	}
	p := s.provision("# the sample's\nclient0\nclient1\nglob:client[345]\n")
	for _, c := range clients {
		s.publish(c, fmt.Sprintf(`{"client": %q, "n": 2}`, c))
		s.follow(c, func(e *hubevent.Event) bool {
			return !strings.Contains(e.Text(), `"n":2`) && !strings.Contains(e.Text(), `"n": 2`)
		})
		s.inOrder(c)
	}
	p.until("msg=refused leaf=client2", 1, time.Minute)
	p.until("msg=refused leaf=lient0", 1, time.Minute)

	s.inScope(clients)
	s.callLeaf("client0")
	if err := p.end(os.Interrupt); err != nil {
		t.Errorf("provisioning, interrupted: %v", err)
	}
}

// inScope fails if the official SDK does not find the clients in the gateway's scope,
// with keys that openssl derives from the module's, or finds others.
func (s *site) inScope(clients []string) {
	s.t.Helper()
	var shown map[string]*shownLeaf
	s.leaves(&shown, append([]string{"show", "gateway", "client2", "lient0"}, clients...)...)
	var keys symmetricKey
	s.leaves(&keys, "keys", "gateway", itmName)
	scope := shown["gateway"].Scope
	for _, c := range clients {
		got := shown[c]
		if got == nil || got.Status != "enabled" || got.Scope != scope || !slices.Equal(got.Parents, []string{scope}) {
			s.t.Errorf("%s is %+v, and not in %s", c, got, scope)
			continue
		}
		if got.Keys.PrimaryKey != opensslHMAC(s.t, keys.PrimaryKey, c) || got.Keys.SecondaryKey != opensslHMAC(s.t, keys.SecondaryKey, c) {
			s.t.Errorf("openssl finds other keys for %s", c)
		}
	}
	if shown["client2"] != nil || shown["lient0"] != nil {
		s.t.Error("who is not on the list has a device")
	}
}

// inOrder fails if the hub's events of a client are not its two messages in order.
func (s *site) inOrder(client string) {
	s.t.Helper()
	var got []string
	s.follow(client, func(e *hubevent.Event) bool {
		var body struct {
			Client string
			N      int
		}
		if err := json.Unmarshal([]byte(e.Text()), &body); err != nil || body.Client != client {
			s.t.Errorf("%s has sent %s: %v", client, e.Text(), err)
		}
		got = append(got, fmt.Sprint(body.N))
		return body.N != 2
	})
	if want := []string{"1", "2"}; !slices.Equal(slices.Compact(got), want) {
		s.t.Errorf("%s: %v are at the hub, want %v", client, got, want)
	}
}

// callLeaf calls a method on a machine that answers with mosquitto's clients.
func (s *site) callLeaf(client string) {
	s.t.Helper()
	// What is retained comes once the subscriptions are there.
	output(s.t, exec.CommandContext(s.t.Context(), "mosquitto_pub", "-h", s.gatewayIP, "-q", "1", "-r", "-t", "awake", "-m", "now"))
	machine := launch(s.t, client, exec.Command("mosquitto_sub", "-h", s.gatewayIP, "-i", client, "-q", "1",
		"-t", "device/"+client+"/method/+/+", "-t", "awake", "-F", "called %t %p"))
	machine.until("called awake", 1, time.Minute)
	answered := make(chan error, 1)
	go func() { answered <- s.answer(machine, client) }()
	var got struct {
		Status  int
		Payload struct {
			Blinked string
			Asked   struct{ Times int }
		}
	}
	s.leaves(&got, "call", client, "blink", `{"times":3}`)
	if err := <-answered; err != nil {
		s.t.Error(err)
	}
	if got.Status != 207 || got.Payload.Blinked != client || got.Payload.Asked.Times != 3 {
		s.t.Errorf("the answer is %+v", got)
	}
}

// answer waits for a call and publishes its answer.
func (s *site) answer(machine *running, client string) error {
	late := time.After(time.Minute)
	for {
		machine.mu.Lock()
		lines, news := machine.lines, machine.news
		machine.mu.Unlock()
		for _, line := range lines {
			call, found := strings.CutPrefix(line, "called device/"+client+"/method/blink/")
			if !found {
				continue
			}
			id, payload, _ := strings.Cut(call, " ")
			out, err := exec.CommandContext(s.t.Context(), "mosquitto_pub", "-h", s.gatewayIP, "-q", "1", "-t", "device/"+client+"/method/res/"+id+"/207",
				"-m", fmt.Sprintf(`{"blinked": %q, "asked": %s}`, client, payload)).CombinedOutput()
			if err != nil {
				return fmt.Errorf("mosquitto_pub: %w: %s", err, out)
			}
			return nil
		}
		select {
		case <-news:
		case <-late:
			return fmt.Errorf("%s was not called", client)
		}
	}
}

// The demonstration judges itself.
func TestTheDemonstrationOfIdentityTranslation(t *testing.T) {
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	out := output(t, exec.CommandContext(ctx, path, "demo", "identity-translation", "--once"))
	if !strings.Contains(out, "PASS") {
		t.Errorf("it said\n%s", out)
	}
}
