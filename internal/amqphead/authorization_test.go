package amqphead_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"sluice/amqp10"
	"sluice/internal/amqphead"
	"sluice/internal/auth"
	"sluice/internal/iottest"
	"sluice/internal/sas"
	"sluice/internal/transcript"
	"sluice/iot"
)

// A directory is registered identities, each with a key made of its name.
type directory map[iot.Identity]iot.Registration

func (d directory) Registration(id iot.Identity) (iot.Registration, bool) {
	r, ok := d[id]
	return r, ok
}

func (d directory) EdgeDevice(scope string) (iot.Registration, bool) {
	for _, r := range d {
		if r.Edge && r.Scope == scope {
			return r, true
		}
	}
	return iot.Registration{}, false
}

func (d directory) add(id, scope string, parents ...string) {
	at, _ := iot.ParseIdentity(id)
	d[at] = iot.Registration{Identity: at, Enabled: true, Edge: strings.HasPrefix(id, "gw") && !at.IsModule(), Scope: scope,
		ParentScopes: parents, Auth: iot.Authentication{Type: iot.AuthSAS, PrimaryKey: keyOf(id, 1), SecondaryKey: keyOf(id, 2)}}
}

func keyOf(id string, n int) iot.Secret {
	key, err := sas.DeriveKey("a2V5", fmt.Sprint(id, n))
	if err != nil {
		panic(err)
	}
	return key
}

// newDirectory holds the identities of Z1: devices A and B, modules of A, a gateway
// with a leaf, a gateway below it with its leaf.
func newDirectory() directory {
	d := directory{}
	d.add("A", "")
	d.add("B", "")
	d.add("A/m1", "")
	d.add("A/m2", "")
	d.add("gw", "scope-gw")
	d.add("gw/$edgeHub", "")
	d.add("leaf", "", "scope-gw")
	d.add("gw2", "scope-gw2", "scope-gw")
	d.add("gw2/$edgeHub", "")
	d.add("leaf2", "", "scope-gw2")
	return d
}

// judged returns a hub that decides as hubs do.
func judged() *iottest.Hub {
	h := iottest.NewHub()
	a := &auth.Authenticator{Directory: newDirectory(), Hosts: []string{hubName}}
	h.Judge = func(_ context.Context, c iot.Credentials) error {
		_, err := a.Authenticate(c)
		return err
	}
	return h
}

// sign signs a token for resource with the key of a signer.
func sign(t testing.TB, signer string, resource sas.Resource) string {
	t.Helper()
	text, err := sas.Sign(keyOf(signer, 1), resource, "", time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// serve connects a client to a head on h.
func serve(t testing.TB, h iot.Hub, login *amqp10.Login) *amqp10.Conn {
	t.Helper()
	near, far := net.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	server := amqphead.New(h, amqphead.Options{}).Server()
	go func() {
		defer close(done)
		_ = server.ServeConn(ctx, far) // shows in what the client gets
	}()
	t.Cleanup(func() { cancel(); <-done })
	conn, err := amqp10.NewConn(t.Context(), near, amqp10.ClientConfig{Login: login, Limits: amqp10.Limits{Links: 60_000}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// A desk puts tokens.
type desk struct {
	t    testing.TB
	sess *amqp10.Session
	to   *amqp10.Sender
	from *amqp10.Receiver
	n    uint64
}

func newDesk(t testing.TB, conn *amqp10.Conn) *desk {
	t.Helper()
	sess, err := conn.NewSession(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{t: t, sess: sess}
	if d.to, err = sess.AttachSender(t.Context(), amqp10.SenderConfig{Target: &amqp10.Target{Address: "$cbs"}}); err != nil {
		t.Fatal(err)
	}
	if d.from, err = sess.AttachReceiver(t.Context(), amqp10.ReceiverConfig{Source: &amqp10.Source{Address: "$cbs"}, Window: 10}); err != nil {
		t.Fatal(err)
	}
	return d
}

// put puts a token and returns the status of the answer.
func (d *desk) put(token, name string) int32 {
	d.t.Helper()
	d.n++
	msg := &amqp10.Message{Value: token, Properties: &amqp10.Properties{MessageID: d.n}}
	msg.ApplicationProperties.Set("operation", "put-token")
	msg.ApplicationProperties.Set("type", "azure-devices.net:sastoken")
	msg.ApplicationProperties.Set("name", name)
	if _, err := d.to.Deliver(d.t.Context(), amqp10.Outgoing{Message: msg}); err != nil {
		d.t.Fatal(err)
	}
	in, err := d.from.Receive(d.t.Context())
	if err != nil {
		d.t.Fatal(err)
	}
	answer, err := in.Message()
	if err != nil || answer.Properties.CorrelationID != d.n {
		d.t.Fatalf("answer %+v, %v; want one to %d", answer, err, d.n)
	}
	in.Accept()
	status, _ := answer.ApplicationProperties.Get("status-code")
	return status.(int32)
}

// attach attaches a link and reports whether that was allowed.
func (d *desk) attach(role amqp10.Role, address, chain string) bool {
	d.t.Helper()
	var properties amqp10.Fields
	if chain != "" {
		properties.Set("com.microsoft:auth-chain", chain)
	}
	if role == amqp10.RoleReceiver {
		r, err := d.sess.AttachReceiver(d.t.Context(), amqp10.ReceiverConfig{Source: &amqp10.Source{Address: address}, Properties: properties})
		if err == nil {
			_ = r.Close(d.t.Context()) // the connection may have gone
		}
		return err == nil
	}
	s, err := d.sess.AttachSender(d.t.Context(), amqp10.SenderConfig{Target: &amqp10.Target{Address: address}, Properties: properties})
	if err == nil {
		_ = s.Close(d.t.Context()) // the connection may have gone
	}
	return err == nil
}

func pathOf(id string) string {
	at, err := iot.ParseIdentity(id)
	if err != nil {
		panic(err)
	}
	if at.IsModule() {
		return "devices/" + at.Device + "/modules/" + at.Module
	}
	return "devices/" + at.Device
}

// TestZ1_EveryIdentityOnEveryTarget compares what each identity may attach with its
// own token, and, for the gateways, on behalf of others, with a reviewed table.
func TestZ1_EveryIdentityOnEveryTarget(t *testing.T) {
	const file = "testdata/Z1.txt"
	actors := []string{"A", "B", "A/m1", "A/m2", "leaf", "gw", "gw/$edgeHub", "gw2", "gw2/$edgeHub", "leaf2", "stranger"}
	links := []struct {
		letter  string
		role    amqp10.Role
		address string
	}{
		{"t", amqp10.RoleSender, "/messages/events"},
		{"c", amqp10.RoleReceiver, "/messages/devicebound"},
		{"i", amqp10.RoleReceiver, "/messages/events"},
		{"m", amqp10.RoleReceiver, "/methods/devicebound"},
		{"a", amqp10.RoleSender, "/methods/devicebound"},
		{"w", amqp10.RoleReceiver, "/twin"},
		{"q", amqp10.RoleSender, "/twin"},
		{"x", amqp10.RoleSender, "/messages/devicebound"},
	}
	var out strings.Builder
	fmt.Fprintln(&out, "Links that a token of the row's identity opens for the column's, and those that it")
	fmt.Fprintln(&out, "opens on behalf of it: t telemetry, c commands, i inputs, m methods, a their answers,")
	fmt.Fprintln(&out, "w twin, q its requests, x sending commands.")
	for _, actor := range actors {
		fmt.Fprintf(&out, "\n%s\n", actor)
		for _, target := range actors {
			var got [2]string
			for way := range got {
				d := newDesk(t, serve(t, judged(), amqp10.LoginAnonymous()))
				d.put(sign(t, actor, sas.Resource{Host: hubName, Identity: iottest.Identity(t, actor)}), hubName+"/"+pathOf(actor))
				chain := ""
				if way == 1 {
					chain = chainOf(target, iottest.Identity(t, actor).Device)
				}
				for _, l := range links {
					if d.attach(l.role, "/"+pathOf(target)+l.address, chain) {
						got[way] += l.letter
					}
				}
			}
			if got[0]+got[1] != "" {
				fmt.Fprintf(&out, "  %-14s own %-8s on behalf %s\n", target, got[0], got[1])
			}
		}
	}
	transcript.Compare(t, file, strings.ReplaceAll(out.String(), " \n", "\n"))
}

// chainOf is the chain that a gateway claims for what is below it.
func chainOf(target, actor string) string {
	if target == "leaf2" && actor == "gw" {
		return "leaf2;gw2;gw"
	}
	return target + ";" + actor
}

func TestS7_TokensOnCBS(t *testing.T) {
	good := sign(t, "A", sas.Resource{Host: hubName, Identity: iot.DeviceIdentity("A")})
	audience := hubName + "/devices/A"
	secondary, err := sas.Sign(keyOf("A", 2), sas.Resource{Host: hubName, Identity: iot.DeviceIdentity("A")}, "", time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, token, audience string
		want                  int32
	}{
		{"good", good, audience, 200},
		{"secondary key", secondary, audience, 200},
		{"audience url-encoded", good, "hub.azure-devices.net%2Fdevices%2FA", 200},
		{"audience of another", good, hubName + "/devices/B", 401},
		{"audience in other letters", good, hubName + "/devices/a", 401},
		{"audience that is longer", good, hubName + "/devices/A1", 401},
		{"audience of its module", good, hubName + "/devices/A/modules/m1", 401},
		{"no audience", good, "", 401},
		{"key of another", sign(t, "B", sas.Resource{Host: hubName, Identity: iot.DeviceIdentity("A")}), audience, 401},
		{"host of another", sign(t, "A", sas.Resource{Host: "other.azure-devices.net", Identity: iot.DeviceIdentity("A")}), audience, 401},
		{"of a service", sign(t, "A", sas.Resource{Host: hubName}), hubName, 401},
		{"repeated field", good + "&se=99999999999", audience, 401},
		{"missing field", strings.Split(good, "&sig=")[0], audience, 401},
		{"empty", "", audience, 401},
		{"large", good + strings.Repeat("A", 10_000), audience, 401},
		{"S10 module by its own key", sign(t, "A/m1", sas.Resource{Host: hubName, Identity: iot.ModuleIdentity("A", "m1")}), audience + "/modules/m1", 200},
		{"S10 module by its device's key", sign(t, "A", sas.Resource{Host: hubName, Identity: iot.ModuleIdentity("A", "m1")}), audience + "/modules/m1", 200},
		{"S10 device by its module's key", sign(t, "A/m1", sas.Resource{Host: hubName, Identity: iot.DeviceIdentity("A")}), audience, 401},
		{"S10 gateway for another", sign(t, "gw/$edgeHub", sas.Resource{Host: hubName, Identity: iot.ModuleIdentity("gw", "$edgeHub")}), hubName + "/devices/leaf", 200},
		{"S10 module for another", sign(t, "A/m1", sas.Resource{Host: hubName, Identity: iot.ModuleIdentity("A", "m1")}), audience, 401},
		{"S10 leaf by its gateway's key", sign(t, "gw", sas.Resource{Host: hubName, Identity: iot.DeviceIdentity("leaf")}), hubName + "/devices/leaf", 401},
		{"S10 leaf by the key of $edgeHub", sign(t, "gw/$edgeHub", sas.Resource{Host: hubName, Identity: iot.DeviceIdentity("leaf")}), hubName + "/devices/leaf", 401},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDesk(t, serve(t, judged(), amqp10.LoginAnonymous()))
			if got := d.put(tt.token, tt.audience); got != tt.want {
				t.Errorf("status %d, want %d", got, tt.want)
			}
		})
	}
	t.Run("every bit flipped", func(t *testing.T) {
		d := newDesk(t, serve(t, judged(), amqp10.LoginAnonymous()))
		same, err := sas.Parse(good)
		if err != nil {
			t.Fatal(err)
		}
		for i := range len(good) * 8 {
			b := []byte(good)
			b[i/8] ^= 1 << (i % 8)
			if !utf8.Valid(b) {
				continue // cannot be a string
			}
			if token, err := sas.Parse(string(b)); err == nil && token.Shared(same) {
				continue // %2F and %2f of the signature are the same
			}
			if got := d.put(string(b), audience); got == 200 {
				t.Errorf("byte %d, bit %d: accepted %q", i/8, i%8, b)
			}
		}
	})
}

// edgeHub's client puts the token of $edgeHub once for each identity, under the
// audience of that: it opens links on behalf of that one, and of no other.
func TestZ1_AGatewaysTokenPutForAnother(t *testing.T) {
	for _, tt := range []struct {
		actor, target, attach string
		want                  bool
	}{
		{"gw/$edgeHub", "leaf", "leaf", true},
		{"gw/$edgeHub", "leaf2", "leaf2", true}, // below the gateway below it
		{"gw/$edgeHub", "A", "A", false},
		{"gw/$edgeHub", "leaf", "leaf2", false}, // nothing was put for that one
		{"gw2/$edgeHub", "leaf", "leaf", false},
	} {
		t.Run(tt.actor+" for "+tt.target+" attaches "+tt.attach, func(t *testing.T) {
			d := newDesk(t, serve(t, judged(), amqp10.LoginAnonymous()))
			actor := iottest.Identity(t, tt.actor)
			token := sign(t, tt.actor, sas.Resource{Host: hubName, Identity: actor})
			for range 2 { // the second renews
				if got := d.put(token, hubName+"/"+pathOf(tt.target)); got != 200 {
					t.Fatalf("status %d", got)
				}
				got := d.attach(amqp10.RoleSender, "/"+pathOf(tt.attach)+"/messages/events", chainOf(tt.attach, actor.Device))
				if got != tt.want {
					t.Errorf("attached: %v, want %v", got, tt.want)
				}
			}
		})
	}
}
