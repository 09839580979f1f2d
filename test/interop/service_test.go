package interop

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/internal/hub/host"
	"sluice/internal/hub/storage"
	"sluice/internal/sas"
	"sluice/iot"
)

// A serviceHub is a hub in this process, with the standard ports.
type serviceHub struct{ *amqpHub }

func newServiceHub(t *testing.T, groups ...string) *serviceHub {
	t.Helper()
	return &serviceHub{newAMQPHub(t, func(c *host.Config) { c.MQTTPort, c.HTTPSPort, c.ConsumerGroups = 0, 0, groups })}
}

// script starts a script, which may take a minute.
func (h *serviceHub) script(t *testing.T, args ...string) *script {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	cmd := exec.CommandContext(ctx, "node", args...)
	cmd.Env = append(os.Environ(), "NODE_EXTRA_CA_CERTS="+h.root())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	complaints := &strings.Builder{}
	cmd.Stderr = complaints
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := &script{t: t, kill: cmd.Process.Kill, lines: bufio.NewScanner(out), in: json.NewEncoder(in)}
	s.lines.Buffer(nil, 4<<20)
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // killed, or has ended
		if t.Failed() {
			t.Logf("%s complained:\n%s", args[0], complaints)
		}
	})
	return s
}

// A script is one that prints JSON, a line at a time.
type script struct {
	t     *testing.T
	lines *bufio.Scanner
	in    *json.Encoder
	kill  func() error
}

// line is a line of a script; each kind has some of the fields.
type line struct {
	Hub *struct {
		Name         string
		CreatedOn    time.Time
		PartitionIDs []string
	}
	Partitions []struct {
		BeginningSequenceNumber    int64
		LastEnqueuedSequenceNumber int64
		LastEnqueuedOffset         string
		LastEnqueuedOnUtc          *time.Time
		IsEmpty                    bool
	}
	Event     *event
	Partition string
	Last      struct {
		SequenceNumber int64
		Offset         string
		EnqueuedOn     time.Time
	}
	Waiting     string
	Owns        string
	Closed      string
	Error       string
	Message     string
	ContentType string
	Feedback    []map[string]any
	Sent        string
	ID          string
	Ready       bool
	Got         *got
}

type event struct {
	Body             any
	Properties       map[string]any
	SequenceNumber   int64
	Offset           string
	EnqueuedTimeUtc  time.Time
	MessageID        string
	ContentType      string
	SystemProperties map[string]any
}

type got struct {
	MessageID, CorrelationID, To, Body, ContentType string
	ExpiryTimeUtc                                   any // text, or milliseconds
	Properties                                      map[string]string
}

// until returns the next line that is what is looked for.
func (s *script) until(what string, is func(*line) bool) *line {
	s.t.Helper()
	for s.lines.Scan() {
		var l line
		if err := json.Unmarshal(s.lines.Bytes(), &l); err != nil {
			s.t.Fatalf("%v: %s", err, s.lines.Bytes())
		}
		if is(&l) {
			return &l
		}
	}
	s.t.Fatalf("the script ended before %s: %v", what, s.lines.Err())
	return nil
}

// events returns the next n events, in the order of their sequence numbers.
func (s *script) events(n int) []*line {
	s.t.Helper()
	var all []*line
	for len(all) < n {
		all = append(all, s.until(fmt.Sprintf("event %d of %d", len(all)+1, n), func(l *line) bool { return l.Event != nil }))
	}
	return all
}

// add registers an identity with a key, and returns its connection string.
func (h *serviceHub) add(id iot.Identity) string {
	h.t.Helper()
	return h.register(id, iot.Authentication{Type: iot.AuthSAS})
}

// send stores numbered telemetry of an identity.
func (h *serviceHub) send(id iot.Identity, from, to int) {
	h.t.Helper()
	entry, ok := h.host.Registry().Get(id)
	if !ok {
		h.t.Fatalf("%v is not registered", id)
	}
	token, err := sas.Sign(entry.Auth.PrimaryKey, sas.Resource{Host: h.ip, Identity: id}, "", time.Now().Add(time.Hour))
	if err != nil {
		h.t.Fatal(err)
	}
	session, err := h.host.Hub().Connect(h.t.Context(), iot.Credentials{Identity: id, Token: token}, iot.Client{Protocol: "test"})
	if err != nil {
		h.t.Fatal(err)
	}
	defer session.Close() //nolint:errcheck // of a test
	var batch []iot.Message
	for n := from; n < to; n++ {
		m := iot.Message{Body: fmt.Appendf(nil, `{"n":%d}`, n)}
		m.System.Set(iot.MessageID, fmt.Sprint("m", n))
		m.System.Set(iot.ContentType, "application/json")
		m.System.Set(iot.ContentEncoding, "utf-8")
		m.System.Set(iot.ComponentName, "thermostat")
		m.Properties.Set("n", fmt.Sprint(n))
		batch = append(batch, m)
	}
	done := make(chan error, 1)
	session.Send(batch, func(err error) { done <- err })
	if err := <-done; err != nil {
		h.t.Fatal(err)
	}
}

func TestEventHubsSDKReadsALiveStream(t *testing.T) {
	h := newServiceHub(t)
	pump := iot.DeviceIdentity("pump")
	h.add(pump)
	h.send(pump, 0, 10)
	partition := h.host.Events().PartitionOf(pump)

	start := h.script(t, "js/readhub.js", h.host.EventsString(), `{"offset":"-1"}`)
	facts := start.until("what the hub is", func(l *line) bool { return l.Hub != nil })
	if facts.Hub.Name != "sluice-hub" || len(facts.Hub.PartitionIDs) != 4 || time.Since(facts.Hub.CreatedOn).Abs() > time.Minute {
		t.Errorf("the hub is %+v", facts.Hub)
	}
	if p := facts.Partitions[partition]; p.IsEmpty || p.BeginningSequenceNumber != 0 || p.LastEnqueuedSequenceNumber != 9 || p.LastEnqueuedOffset == "" {
		t.Errorf("the partition with events is %+v", p)
	}
	if p := facts.Partitions[(partition+1)%4]; !p.IsEmpty || p.LastEnqueuedSequenceNumber != -1 {
		t.Errorf("a partition without events is %+v", p)
	}
	seen := start.events(10)
	checkEvents(t, seen, 0)
	h.send(pump, 10, 15)
	checkEvents(t, start.events(5), 10)

	offset := h.script(t, "js/readhub.js", h.host.EventsString(), fmt.Sprintf(`{"offset":%q}`, seen[6].Event.Offset))
	checkEvents(t, offset.events(8), 7)
	sequence := h.script(t, "js/readhub.js", h.host.EventsString(), `{"sequenceNumber":3,"isInclusive":true}`)
	checkEvents(t, sequence.events(12), 3)
}

func checkEvents(t *testing.T, all []*line, first int) {
	t.Helper()
	for i, l := range all {
		e, n := l.Event, first+i
		if e.SequenceNumber != int64(n) || fmt.Sprint(e.Body) != fmt.Sprintf("map[n:%d]", n) || e.Properties["n"] != fmt.Sprint(n) ||
			e.MessageID != fmt.Sprint("m", n) || e.ContentType != "application/json" || time.Since(e.EnqueuedTimeUtc).Abs() > time.Minute {
			t.Errorf("event %d is %+v", n, e)
		}
		s := e.SystemProperties
		if s["iothub-connection-device-id"] != "pump" || s["iothub-message-source"] != "Telemetry" || s["dt-subject"] != "thermostat" ||
			s["iothub-connection-auth-method"] != `{"scope":"device","type":"sas","issuer":"iothub"}` || s["iothub-connection-auth-generation-id"] == "" {
			t.Errorf("the system properties of event %d are %v", n, s)
		}
		if l.Last.SequenceNumber < e.SequenceNumber || l.Last.Offset == "" {
			t.Errorf("with event %d, the last one is told to be %+v", n, l.Last)
		}
	}
}

func TestEventHubsSDKReadsWhatIsNewAndIsTakenOver(t *testing.T) {
	h := newServiceHub(t)
	pump := iot.DeviceIdentity("pump")
	h.add(pump)
	h.send(pump, 0, 10)
	partition := fmt.Sprint(h.host.Events().PartitionOf(pump))

	first := h.script(t, "js/readhub.js", h.host.EventsString(), `{"offset":"@latest"}`, "0", "1")
	waits := func(l *line) bool { return l.Waiting == partition }
	first.until("it waits", waits)
	h.send(pump, 10, 12)
	checkEvents(t, first.events(2), 10)

	second := h.script(t, "js/readhub.js", h.host.EventsString(), `{"sequenceNumber":11}`, "0", "2")
	gone := first.until("it is taken over", func(l *line) bool { return l.Error != "" })
	if gone.Error != "ReceiverDisconnectedError" {
		t.Errorf("the first reader hears %+v", gone)
	}
	second.until("it waits", waits)
	h.send(pump, 12, 14)
	checkEvents(t, second.events(2), 12)

	third := h.script(t, "js/readhub.js", h.host.EventsString(), `{"sequenceNumber":11}`, "0", "1")
	if refused := third.until("it is refused", func(l *line) bool { return l.Error != "" }); refused.Error != "ReceiverDisconnectedError" {
		t.Errorf("a reader of a lower level hears %+v", refused)
	}
}

// A command is what service.js is told to send.
type command struct {
	Device  string `json:"device"`
	Message struct {
		Body            string            `json:"body"`
		MessageID       string            `json:"messageId"`
		CorrelationID   string            `json:"correlationId,omitempty"`
		Ack             string            `json:"ack,omitempty"`
		ContentType     string            `json:"contentType,omitempty"`
		ContentEncoding string            `json:"contentEncoding,omitempty"`
		ExpiresIn       int               `json:"expiresIn,omitempty"`
		Properties      map[string]string `json:"properties,omitempty"`
	} `json:"message"`
}

func (s *script) command(device, id, do string) *line {
	s.t.Helper()
	c := command{Device: device}
	m := &c.Message
	m.Body, m.MessageID, m.CorrelationID, m.Ack = "close valve ✓", id, "c-"+id, "full"
	m.ContentType, m.ContentEncoding, m.ExpiresIn = "text/plain", "utf-8", 600
	m.Properties = map[string]string{"do": do, "größe": "5 €&="}
	if err := s.in.Encode(c); err != nil {
		s.t.Fatal(err)
	}
	return s.until("the outcome of "+id, func(l *line) bool { return l.Sent == id || l.ID == id })
}

func TestServiceSDKSendsCommandsAndHearsFeedback(t *testing.T) {
	h := newServiceHub(t)
	device := h.add(iot.DeviceIdentity("pump-7'(1)"))
	h.add(iot.DeviceIdentity("idle"))
	service := h.script(t, "js/service.js", h.host.ConnectionString(storage.ServicePolicy))
	service.until("it is ready", func(l *line) bool { return l.Ready })
	for _, protocol := range []string{"mqtt", "amqp"} {
		t.Run(protocol, func(t *testing.T) { commandsArrive(t, h, service, device, protocol) })
	}
	if l := service.command("nobody", "x1", "complete"); l.Error != "DeviceNotFoundError" {
		t.Errorf("a command for a device that there is not: %+v", l)
	}
	for n := range 50 {
		if l := service.command("idle", fmt.Sprint("q", n), "complete"); l.Error != "" {
			t.Fatalf("command %d of 50: %+v", n, l)
		}
	}
	if l := service.command("idle", "q50", "complete"); l.Error != "DeviceMaximumQueueDepthExceededError" {
		t.Errorf("a command for a full queue: %+v", l)
	}
}

func commandsArrive(t *testing.T, h *serviceHub, service *script, device, protocol string) {
	service.t = t
	defer func() { service.t = h.t }()
	listener := h.script(t, "js/listen.js", device, h.root(), protocol)
	listener.until("it is ready", func(l *line) bool { return l.Ready })
	outcomes := map[string]string{"complete": "Success"}
	if protocol == "amqp" {
		outcomes["reject"] = "Rejected"
	}
	for do, status := range outcomes {
		id := protocol + "-" + do
		if l := service.command("pump-7'(1)", id, do); l.Error != "" {
			t.Fatalf("the command: %+v", l)
		}
		g := listener.until("the command comes", func(l *line) bool { return l.Got != nil }).Got
		if g.MessageID != id || g.CorrelationID != "c-"+id || g.Body != "close valve ✓" ||
			g.Properties["größe"] != "5 €&=" || protocol == "amqp" && g.ContentType != "text/plain" {
			t.Errorf("the device has got %+v", g)
		}
		l := service.until("feedback", func(l *line) bool { return l.Feedback != nil })
		record := l.Feedback[0]
		if len(l.Feedback) != 1 || record["originalMessageId"] != id || record["deviceId"] != "pump-7'(1)" ||
			record["statusCode"] != status || l.ContentType != "application/vnd.microsoft.iothub.feedback.json" {
			t.Errorf("the feedback is %+v", l)
		}
	}
}

func TestAHubsOwnConnectionStringLeadsToItsEvents(t *testing.T) {
	h := newServiceHub(t)
	cs, err := sas.ParseConnectionString(h.host.ConnectionString(storage.ServicePolicy))
	if err != nil {
		t.Fatal(err)
	}
	l := h.script(t, "js/redirect.js", h.ip, cs.PolicyName, cs.Key.Reveal()).until("the redirect", func(l *line) bool { return l.Hub != nil })
	if l.Hub.Name != "sluice-hub" || l.Message != h.ip || l.Sent != "amqps://"+h.ip+":5671/sluice-hub/$management" {
		t.Errorf("it leads to %+v, %+v", l.Hub, l)
	}
}

func TestAConsumerThatIsKilledIsSucceededFromItsCheckpoints(t *testing.T) {
	h := newServiceHub(t, "reports")
	ids := []iot.Identity{iot.DeviceIdentity("pump"), iot.DeviceIdentity("valve"), iot.DeviceIdentity("fan"), iot.DeviceIdentity("lamp")}
	for _, id := range ids {
		h.add(id)
		h.send(id, 0, 20)
	}
	seen := map[string]int{} // how often, by device and message
	note := func(l *line) bool {
		if l.Event == nil {
			return false
		}
		seen[fmt.Sprint(l.Event.SystemProperties["iothub-connection-device-id"], " ", l.Event.MessageID)]++
		return true
	}
	file := filepath.Join(t.TempDir(), "checkpoints.json")
	first := h.script(t, "js/group.js", h.host.EventsString(), "reports", file)
	for range 50 {
		first.until("the first consumer reads", note)
	}
	second := h.script(t, "js/group.js", h.host.EventsString(), "reports", file)
	second.until("the second consumer gets a partition", func(l *line) bool { note(l); return l.Owns != "" })
	if err := first.kill(); err != nil {
		t.Fatal(err)
	}
	for first.lines.Scan() { // what it had said
		var l line
		if json.Unmarshal(first.lines.Bytes(), &l) == nil {
			note(&l)
		}
	}
	for _, id := range ids {
		h.send(id, 20, 30)
	}
	for len(seen) < 30*len(ids) {
		second.until(fmt.Sprintf("the second consumer reads the rest; %d of %d are read", len(seen), 30*len(ids)), note)
	}
	twice := 0
	for _, n := range seen {
		twice += n - 1
	}
	if twice > 4*10 {
		t.Errorf("%d events were read again, although there are checkpoints", twice)
	}
}

func TestServiceSDKsOverWebSockets(t *testing.T) {
	h := newServiceHub(t)
	pump := iot.DeviceIdentity("pump")
	h.add(pump)
	h.send(pump, 0, 10)
	t.Setenv("WEBSOCKET", "1")
	reader := h.script(t, "js/readhub.js", h.host.EventsString(), `{"offset":"-1"}`, "0", "1")
	checkEvents(t, reader.events(10), 0)
	service := h.script(t, "js/service.js", h.host.ConnectionString(storage.ServicePolicy))
	service.until("it is ready", func(l *line) bool { return l.Ready })
	if l := service.command("pump", "c1", "complete"); l.Error != "" || h.hub.CommandCount(pump) != 1 {
		t.Errorf("a command: %+v; %d wait", l, h.hub.CommandCount(pump))
	}
	t.Setenv("WEBSOCKET", "")
	h.script(t, "js/readhub.js", h.host.EventsString(), `{"offset":"-1"}`, "0", "2").events(10)
	if gone := reader.until("it is taken over", func(l *line) bool { return l.Error != "" }); gone.Error != "ReceiverDisconnectedError" {
		t.Errorf("a reader over a WebSocket, taken over by one over TCP, hears %+v", gone)
	}
}
