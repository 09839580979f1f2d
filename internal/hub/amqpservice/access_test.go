package amqpservice

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"sluice/amqp10"
	"sluice/internal/amqphead"
	"sluice/iot"
)

// reachable are nodes, by the names that cases give them.
var nodes = map[string]string{
	"notifications": "/messages/servicebound/filenotifications",
	"partition 1":   EventHub + "/ConsumerGroups/$default/Partitions/1",
	"partition 2":   "amqps://" + hubName + "/" + EventHub + "/consumergroups/%24Default/partitions/2/",
	"management":    "$management",
}

// reach returns which of the nodes may be attached to.
func (a *app) reach() map[string]bool {
	a.t.Helper()
	may := map[string]bool{}
	for name, address := range nodes {
		l, err := a.session.AttachReceiver(a.ctx, amqp10.ReceiverConfig{Source: &amqp10.Source{Address: address}})
		if err == nil {
			may[name] = true
			l.CloseWith(nil)
		}
	}
	return may
}

func TestA11_TokensAllowWhatTheyWereSignedFor(t *testing.T) {
	r := newRig(t)
	hour := time.Hour
	for _, c := range []struct {
		name, token string
		status      int32
		may         []string
	}{
		{"for the hub", token(t, "", "service", serviceKey, hour), 200, []string{"notifications", "partition 1", "partition 2", "management"}},
		{"for the messages", token(t, "messages", "service", serviceKey, hour), 200, []string{"notifications"}},
		{"for an Event Hub", eventHubToken(t, EventHub, hour), 200, []string{"partition 1", "partition 2", "management"}},
		{"for a partition", eventHubToken(t, EventHub+"/ConsumerGroups/$default/Partitions/1", hour), 200, []string{"partition 1"}},
		{"for management", eventHubToken(t, EventHub+"/$management", hour), 200, []string{"management"}},
		{"for a name that begins like another", eventHubToken(t, EventHub[:4], hour), 200, nil},
		{"that has expired", token(t, "", "service", serviceKey, -time.Second), 401, nil},
		{"with another policy's key", token(t, "", "service", deviceKey, hour), 401, nil},
		{"without the right", token(t, "", "device", deviceKey, hour), 401, nil},
		{"of no policy", token(t, "", "nobody", serviceKey, hour), 401, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := r.app(t)
			if may := a.reach(); len(may) != 0 {
				t.Fatalf("before the token, %v may be attached", may)
			}
			if status, text := a.put(c.token); status != c.status {
				t.Fatalf("the token is answered %d: %s", status, text)
			}
			may := a.reach()
			for _, name := range c.may {
				if !may[name] {
					t.Errorf("%s may not be attached", name)
				}
			}
			if len(may) != len(c.may) {
				t.Errorf("%v may be attached, want %v", may, c.may)
			}
		})
	}
}

func TestA11_ATokenOfAnotherHubIsRefused(t *testing.T) {
	r := newRig(t)
	r.serve(Options{Events: r.events, Policy: policyOf, Hosts: []string{"other.example"}})
	if status, text := r.app(t).put(token(t, "", "service", serviceKey, time.Hour)); status != 401 {
		t.Errorf("it is answered %d: %s", status, text)
	}
}

func TestTheHubKnowsItsNames(t *testing.T) {
	s := New(Options{Policy: policyOf, Hosts: []string{hubName, "10.0.0.7", "::1"}})
	for host, want := range map[string]bool{
		hubName: true, "HUB.example": true, hubName + ":5671": true, "10.0.0.7": true, "10.0.0.7:45671": true, "[::1]": true, "[::1]:5671": true, "::1": true,
		"": false, "other.example": false, "x." + hubName: false, hubName + ".": false, "10.0.0.70": false,
	} {
		if s.serves(host) != want {
			t.Errorf("%q is taken for another: %v", host, want)
		}
	}
}

func TestSASLPlain(t *testing.T) {
	r := newRig(t)
	good := token(t, "", "service", serviceKey, time.Hour)
	for _, c := range []struct {
		name, user, password string
		ok                   bool
	}{
		{"key", "service", serviceKey.Reveal(), true},
		{"second key", "service", "b3RoZXI=", true},
		{"token", "service@sas.root.hub", good, true},
		{"wrong key", "service", deviceKey.Reveal(), false},
		{"empty key", "service", "", false},
		{"empty key of a policy without a second", "device", "", false},
		{"policy without the right", "device", deviceKey.Reveal(), false},
		{"unknown policy", "nobody", serviceKey.Reveal(), false},
		{"token of another", "device@sas.root.hub", good, false},
		{"token that has expired", "service@sas.root.hub", token(t, "", "service", serviceKey, -time.Second), false},
		{"key where a token should be", "service@sas.root.hub", serviceKey.Reveal(), false},
		{"token where a key should be", "service", good, false},
		{"device", "pump@sas.hub", good, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn, err := r.dial(amqp10.LoginPlain(amqp10.Credentials{User: c.user, Password: c.password}))
			if (err == nil) != c.ok {
				t.Fatalf("logged in with %v, want %v", err, c.ok)
			}
			if c.ok && len(newApp(t, conn, err).reach()) != len(nodes) {
				t.Error("not everything may be attached")
			}
		})
	}
}

// expiring serves a connection in virtual time, where there is no database.
func expiring(t *testing.T, login *amqp10.Login) *app {
	t.Helper()
	service := New(Options{Hub: &rig{}, Policy: policyOf, Hosts: []string{hubName}})
	server := amqphead.New(noDevices{}, amqphead.Options{Service: service}).Server()
	near, far := net.Pipe()
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.ServeConn(context.Background(), far) // the client tells
	}()
	t.Cleanup(func() { <-served })
	ctx, cancel := context.WithTimeout(context.Background(), 24*time.Hour)
	t.Cleanup(cancel)
	conn, err := amqp10.NewConn(ctx, near, amqp10.ClientConfig{Login: login})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.CloseWith(nil); <-conn.Done() })
	session, err := conn.NewSession(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return &app{t: t, conn: conn, session: session, ctx: ctx}
}

func TestT6_LinksEndWithTheirToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := expiring(t, amqp10.LoginAnonymous())
		notifications := amqp10.ReceiverConfig{Source: &amqp10.Source{Address: nodes["notifications"]}}
		put := func(path string, valid time.Duration) {
			if status, text := a.put(token(t, path, "service", serviceKey, valid)); status != 200 {
				t.Fatalf("the token is answered %d: %s", status, text)
			}
		}
		begin := time.Now()
		put("messages", time.Minute)
		l := a.reader(notifications)
		time.Sleep(30 * time.Second)
		put("messages", time.Minute) // renewed
		if e := a.closed(l); e.Condition != amqp10.ErrUnauthorized {
			t.Errorf("the link ends with %v", e)
		}
		if lived := time.Since(begin); lived.Round(time.Second) != 90*time.Second {
			t.Errorf("the link lived for %v, want 90s", lived)
		}
		if e := a.refusal(notifications); e.Condition != amqp10.ErrUnauthorized {
			t.Errorf("another hears %v", e)
		}
		put("", time.Minute)
		put("messages/servicebound", time.Hour) // two tokens cover it
		l = a.reader(notifications)
		a.closed(l)
		if lived := time.Since(begin); lived.Round(time.Second) != 90*time.Second+time.Hour {
			t.Errorf("with two tokens the link lived until %v", lived)
		}
		<-a.conn.Done() // nobody has proved anything for a while
	})
}

func TestT6_LinksEndWithTheTokenOfSASL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		text := token(t, "", "service", serviceKey, time.Minute)
		a := expiring(t, amqp10.LoginPlain(amqp10.Credentials{User: "service@sas.root.hub", Password: text}))
		begin := time.Now()
		l := a.reader(amqp10.ReceiverConfig{Source: &amqp10.Source{Address: nodes["notifications"]}})
		a.closed(l)
		if lived := time.Since(begin); lived.Round(time.Second) != time.Minute {
			t.Errorf("the link lived for %v", lived)
		}
	})
}

func TestAConnectionHasOnlySoManyTokens(t *testing.T) {
	d := newDesk(New(Options{Policy: policyOf, Hosts: []string{hubName}}), nil)
	defer d.Closed(nil)
	var err error
	n := 0
	for ; err == nil && n <= 2*maxGrants; n++ {
		err = d.PutToken(parse(t, token(t, "a/"+time.Duration(n).String(), "service", serviceKey, time.Hour)))
	}
	if iot.KindOf(err) != iot.Throttled || n != maxGrants+1 {
		t.Errorf("token %d: %v", n, err)
	}
	if err := d.PutToken(parse(t, token(t, "a/0s", "service", serviceKey, time.Hour))); err != nil {
		t.Errorf("a token that replaces another: %v", err)
	}
}

func TestMessagesEventsIsRedirected(t *testing.T) {
	r := newRig(t)
	a := r.app(t)
	a.put(token(t, "messages/events", "service", serviceKey, time.Hour))
	for _, c := range []struct{ address, to string }{
		{"messages/events", ""},
		{"/messages/events/$management", "/$management"},
		{"amqps://" + hubName + "/messages/events/ConsumerGroups/reports/Partitions/3", "/ConsumerGroups/reports/Partitions/3"},
	} {
		e := a.refusal(amqp10.ReceiverConfig{Source: &amqp10.Source{Address: c.address}})
		port, _ := e.Info.Get("port")
		if e.Condition != amqp10.ErrLinkRedirect || e.Info.Text("hostname") != hubName || e.Info.Text("network-host") != hubName ||
			port != int32(5671) || e.Info.Text("address") != "amqps://"+hubName+":5671/"+EventHub+c.to {
			t.Errorf("%s is redirected by %v, %v", c.address, e, e.Info)
		}
	}
	if e := a.refusal(amqp10.ReceiverConfig{Source: &amqp10.Source{Address: "messages/eventsource"}}); e.Condition == amqp10.ErrLinkRedirect {
		t.Error("another address is redirected")
	}
}
