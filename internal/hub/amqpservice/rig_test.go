package amqpservice

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"sluice/amqp10"
	"sluice/internal/amqphead"
	"sluice/internal/dbtest"
	"sluice/internal/hub/commands"
	"sluice/internal/hub/eventlog"
	"sluice/internal/hub/files"
	"sluice/internal/hub/storage"
	"sluice/internal/sas"
	"sluice/iot"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const hubName = "hub.example"

// Keys of the policies; text and bytes of the base64 differ.
const (
	serviceKey = iot.Secret("c2VydmljZS1rZXktMTIzNDU2Nzg5MDEyMzQ1Njc4OTA=")
	deviceKey  = iot.Secret("ZGV2aWNlLWtleS0xMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")
)

func policyOf(name string) (storage.Policy, bool) {
	switch name {
	case "service":
		return storage.Policy{Name: name, Rights: storage.ServiceConnect, Primary: serviceKey, Secondary: "b3RoZXI="}, true
	case "device":
		return storage.Policy{Name: name, Rights: storage.DeviceConnect, Primary: deviceKey}, true
	}
	return storage.Policy{}, false
}

// A rig is a service with everything below it, in memory.
type rig struct {
	t        testing.TB
	events   *eventlog.Log
	commands *commands.Store
	service  *Service
	server   *amqp10.Server
	life     context.Context
	stop     context.CancelFunc
	served   chan struct{} // closed when the service has done with the latest connection
}

// The identities that a rig's hub has.
var (
	pump   = iot.DeviceIdentity("pump")
	filter = iot.ModuleIdentity("pump", "filter")
)

func newRig(t testing.TB) *rig {
	r := &rig{t: t}
	var err error
	r.commands, err = commands.Open(dbtest.Open(t, vfs.NewMem()), commands.Options{Generation: func(id iot.Identity) (string, bool) {
		return "g1", id == pump || id == filter
	}})
	if err != nil {
		t.Fatal(err)
	}
	r.events, err = eventlog.Open("events", eventlog.Options{Partitions: 4, FS: vfs.NewMem(), MinFree: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.events.Close(); err != nil {
			t.Error(err)
		}
	})
	r.serve(Options{
		Hub: r, Events: r.events, Policy: policyOf, Hosts: []string{hubName, "10.0.0.7"},
		Groups: []string{"reports"}, Created: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	})
	return r
}

func (r *rig) serve(opt Options) {
	r.service = New(opt)
	limits := amqp10.Limits{Write: 2 * time.Second}
	r.server = amqphead.New(noDevices{}, amqphead.Options{Service: r.service, Limits: limits}).Server()
	r.life, r.stop = context.WithCancel(context.Background())
	r.t.Cleanup(r.stop)
}

// noDevices is a hub that lets no device in.
type noDevices struct{}

func (noDevices) Connect(context.Context, iot.Credentials, iot.Client) (iot.Session, error) {
	return nil, iot.Errorf(iot.Unauthorized, "connect", iot.Identity{}, "no devices here")
}

func (r *rig) SendCommand(id iot.Identity, m iot.Message) error { return r.commands.Send(id, m) }

func (r *rig) Feedback() storage.Notices[storage.FeedbackRecord] {
	if r.commands == nil {
		return nil // for links that never ask for any
	}
	return r.commands.Feedback()
}

func (r *rig) FileNotifications() storage.Notices[files.Notification] { return nil }

// patience is how long a test waits for what should come at once.
func patience(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// dial opens a connection.
func (r *rig) dial(login *amqp10.Login) (*amqp10.Conn, error) {
	return r.dialWith(amqp10.ClientConfig{Hostname: hubName, Login: login})
}

func (r *rig) dialWith(k amqp10.ClientConfig) (*amqp10.Conn, error) {
	near, far := net.Pipe()
	served := make(chan struct{})
	r.served = served
	go func() {
		defer close(served)
		_ = r.server.ServeConn(r.life, far) // the client tells
	}()
	c, err := amqp10.NewConn(patience(r.t), near, k)
	r.t.Cleanup(func() {
		if c != nil {
			c.CloseWith(nil)
			<-c.Done()
		}
		<-served
	})
	return c, err
}

// An app is a connection of an application.
type app struct {
	t       testing.TB
	conn    *amqp10.Conn
	session *amqp10.Session
	ctx     context.Context
}

// app opens a connection that has proved nothing yet.
func (r *rig) app(t testing.TB) *app {
	t.Helper()
	c, err := r.dial(amqp10.LoginAnonymous())
	return newApp(t, c, err)
}

func newApp(t testing.TB, c *amqp10.Conn, err error) *app {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	a := &app{t: t, conn: c, ctx: patience(t)}
	if a.session, err = c.NewSession(a.ctx); err != nil {
		t.Fatal(err)
	}
	return a
}

// trusted opens a connection that has proved itself for everything.
func (r *rig) trusted(t testing.TB) *app {
	t.Helper()
	c, err := r.dial(withKey())
	return newApp(t, c, err)
}

func withKey() *amqp10.Login {
	return amqp10.LoginPlain(amqp10.Credentials{User: "service", Password: serviceKey.Reveal()})
}

// token signs a token of a policy as IoT Hub has it, for what is below the hub.
func token(t testing.TB, path, policy string, key iot.Secret, valid time.Duration) string {
	t.Helper()
	text, err := sas.Sign(key, sas.Resource{Host: hubName, Rest: path}, policy, time.Now().Add(valid))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// eventHubToken is one as Event Hubs has it: with a scheme, and signed with the text
// of the key.
func eventHubToken(t testing.TB, path string, valid time.Duration) string {
	t.Helper()
	text, err := sas.Sign(asText(serviceKey), sas.Resource{Host: "sb:", Rest: "/" + hubName + "/" + path}, "service", time.Now().Add(valid))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// put puts a token to $cbs, and returns the status and its description.
func (a *app) put(text string) (int32, string) {
	a.t.Helper()
	m := &amqp10.Message{Value: text, Properties: &amqp10.Properties{MessageID: "t1"}}
	m.ApplicationProperties.Set("operation", "put-token")
	m.ApplicationProperties.Set("type", "servicebus.windows.net:sastoken")
	m.ApplicationProperties.Set("name", "sb://"+hubName)
	answer := a.ask("$cbs", m)
	status, _ := answer.ApplicationProperties.Get("status-code")
	code, _ := status.(int32)
	return code, answer.ApplicationProperties.Text("status-description")
}

// ask sends a question to a node, and returns the answer.
func (a *app) ask(node string, m *amqp10.Message) *amqp10.Message {
	a.t.Helper()
	in, err := a.session.AttachReceiver(a.ctx, amqp10.ReceiverConfig{Source: &amqp10.Source{Address: node}, Target: &amqp10.Target{Address: "me"}, Window: 1})
	if err != nil {
		a.t.Fatal(err)
	}
	defer in.Close(a.ctx) //nolint:errcheck // of a test
	out := a.sender(node)
	defer out.Close(a.ctx) //nolint:errcheck // of a test
	if o, err := out.Deliver(a.ctx, amqp10.Outgoing{Message: m}); err != nil || o.Kind != amqp10.KindAccepted {
		a.t.Fatalf("the question to %s: %v, %v", node, o, err)
	}
	d, err := in.Receive(a.ctx)
	if err != nil {
		a.t.Fatal(err)
	}
	d.Accept()
	answer, err := d.Message()
	if err != nil || answer.Properties == nil || answer.Properties.CorrelationID != m.Properties.MessageID {
		a.t.Fatalf("the answer of %s: %+v, %v", node, answer, err)
	}
	return answer
}

func (a *app) sender(address string) *amqp10.Sender {
	a.t.Helper()
	s, err := a.session.AttachSender(a.ctx, amqp10.SenderConfig{Target: &amqp10.Target{Address: address}})
	if err != nil {
		a.t.Fatal(err)
	}
	return s
}

// refusal attaches a receiver, which must be refused.
func (a *app) refusal(k amqp10.ReceiverConfig) *amqp10.Error {
	a.t.Helper()
	_, err := a.session.AttachReceiver(a.ctx, k)
	var e *amqp10.Error
	if !errors.As(err, &e) || !e.Remote {
		a.t.Fatalf("attached to %v with %v; want a refusal", k.Source, err)
	}
	return e
}

// closed waits until the peer has closed a receiver.
func (a *app) closed(r *amqp10.Receiver) *amqp10.Error {
	a.t.Helper()
	for {
		d, err := r.Receive(a.ctx)
		if err == nil {
			d.Accept()
			continue
		}
		var e *amqp10.Error
		if !errors.As(err, &e) || !e.Remote {
			a.t.Fatalf("ended with %v; want the peer's error", err)
		}
		return e
	}
}

// store stores n events of a device, numbered from first in their bodies.
func (r *rig) store(id iot.Identity, first, n int) {
	r.t.Helper()
	var batch []iot.Message
	for i := range n {
		m := iot.Message{Body: fmt.Append(nil, first+i)}
		m.Stamp(id)
		batch = append(batch, m)
	}
	r.append(id, batch)
}

func (r *rig) append(id iot.Identity, batch []iot.Message) {
	r.t.Helper()
	done := make(chan error, 1)
	r.events.Append(id, batch, func(err error) { done <- err })
	if err := <-done; err != nil {
		r.t.Fatal(err)
	}
}

// partitionAddress is where the events of pump are read.
func (r *rig) partitionAddress(group string) string {
	return fmt.Sprintf("%s/ConsumerGroups/%s/Partitions/%d", EventHub, group, r.events.PartitionOf(pump))
}

// reading is how a reader is attached that begins at the position of a selector.
func (r *rig) reading(selector string, options ...func(*amqp10.ReceiverConfig)) amqp10.ReceiverConfig {
	k := amqp10.ReceiverConfig{Source: &amqp10.Source{Address: r.partitionAddress("$default")}}
	if selector != "" {
		k.Source.Filter = amqp10.Fields{{Key: selectorFilter, Value: amqp10.Described{Descriptor: uint64(0x468C00000004), Value: selector}}}
	}
	for _, o := range options {
		o(&k)
	}
	return k
}

func epoch(n int64) func(*amqp10.ReceiverConfig) {
	return func(k *amqp10.ReceiverConfig) { k.Properties.Set(epochProperty, n) }
}

func (a *app) reader(k amqp10.ReceiverConfig) *amqp10.Receiver {
	a.t.Helper()
	r, err := a.session.AttachReceiver(a.ctx, k)
	if err != nil {
		a.t.Fatal(err)
	}
	return r
}

// next receives n events, and returns them.
func (a *app) next(r *amqp10.Receiver, n int) []*amqp10.Message {
	a.t.Helper()
	var all []*amqp10.Message
	for len(all) < n {
		d, err := r.Receive(a.ctx)
		if err != nil {
			a.t.Fatalf("event %d of %d: %v", len(all)+1, n, err)
		}
		m, err := d.Message()
		if err != nil {
			a.t.Fatal(err)
		}
		all = append(all, m)
		d.Accept()
	}
	return all
}

// numbers are the bodies of events.
func numbers(all []*amqp10.Message) string {
	var list []string
	for _, m := range all {
		list = append(list, string(m.Data[0]))
	}
	return strings.Join(list, " ")
}

func parse(t testing.TB, text string) sas.Token {
	t.Helper()
	token, err := sas.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return token
}
