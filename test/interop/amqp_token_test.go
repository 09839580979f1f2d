package interop

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"testing"
	"time"

	"sluice/amqp10"
	"sluice/internal/hub/host"
	"sluice/internal/hub/storage"
	"sluice/internal/sas"
	"sluice/iot"
)

// T6: two devices on one connection with short tokens, at a hub as it is run. One
// renews its token and stays, the other does not and loses its link, and no more.
func TestT6_TokensOnOneConnectionExpireEachForItself(t *testing.T) {
	const life = 4 * time.Second
	h, err := host.Open(host.Config{Dir: t.TempDir(), HostName: "localhost", MQTTPort: -1, AMQPPort: -1, HTTPSPort: -1})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	c := dialAMQP(t, h)
	ended := make(chan error, 1)
	for id, onClose := range map[string]func(error){"lapses": func(err error) { ended <- err }, "renews": nil} {
		c.register(id)
		c.put(id, life)
		s, err := c.sess.AttachSender(t.Context(), amqp10.SenderConfig{Target: &amqp10.Target{Address: "/devices/" + id + "/messages/events"}, OnClose: onClose})
		if err != nil {
			t.Fatal(err)
		}
		c.links[id] = s
		c.send(id)
	}
	c.put("renews", time.Hour)
	begin := time.Now()
	select {
	case err := <-ended:
		if !errors.Is(err, &amqp10.Error{Condition: amqp10.ErrUnauthorized}) {
			t.Errorf("the link ended with %v", err)
		}
		t.Logf("closed %v after the token was put, which was good for %v", time.Since(begin), life)
	case <-time.After(life + 10*time.Second):
		t.Fatal("the link is there ten seconds after its token has expired")
	}
	c.send("renews")
}

// amqpClient is one connection for several devices.
type amqpClient struct {
	t     *testing.T
	hub   *host.Host
	sess  *amqp10.Session
	to    *amqp10.Sender
	from  *amqp10.Receiver
	keys  map[string]iot.Secret
	links map[string]*amqp10.Sender
}

func dialAMQP(t *testing.T, h *host.Host) *amqpClient {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(h.RootPEM())
	conn, err := amqp10.Dial(t.Context(), h.AMQPAddr().String(), amqp10.ClientConfig{
		TLS: &tls.Config{RootCAs: roots, ServerName: "localhost"}, Login: amqp10.LoginMSSBCBS(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	c := &amqpClient{t: t, hub: h, keys: map[string]iot.Secret{}, links: map[string]*amqp10.Sender{}}
	if c.sess, err = conn.NewSession(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c.to, err = c.sess.AttachSender(t.Context(), amqp10.SenderConfig{Target: &amqp10.Target{Address: "$cbs"}}); err != nil {
		t.Fatal(err)
	}
	if c.from, err = c.sess.AttachReceiver(t.Context(), amqp10.ReceiverConfig{Source: &amqp10.Source{Address: "$cbs"}, Window: 5}); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *amqpClient) register(id string) {
	c.t.Helper()
	made, err := c.hub.Registry().Create(storage.Entry{Registration: iot.Registration{Identity: iot.DeviceIdentity(id), Enabled: true, Auth: bySAS}})
	if err != nil {
		c.t.Fatal(err)
	}
	c.keys[id] = made[0].Auth.PrimaryKey
}

// put puts a token for a device.
func (c *amqpClient) put(id string, life time.Duration) {
	c.t.Helper()
	token, err := sas.Sign(c.keys[id], sas.Resource{Host: "localhost", Identity: iot.DeviceIdentity(id)}, "", time.Now().Add(life))
	if err != nil {
		c.t.Fatal(err)
	}
	msg := &amqp10.Message{Value: token, Properties: &amqp10.Properties{MessageID: id}}
	msg.ApplicationProperties.Set("operation", "put-token")
	msg.ApplicationProperties.Set("type", "servicebus.windows.net:sastoken")
	msg.ApplicationProperties.Set("name", "localhost/devices/"+id)
	if _, err := c.to.Deliver(c.t.Context(), amqp10.Outgoing{Message: msg}); err != nil {
		c.t.Fatal(err)
	}
	d, err := c.from.Receive(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	d.Accept()
	answer, err := d.Message()
	if err != nil {
		c.t.Fatal(err)
	}
	if status, _ := answer.ApplicationProperties.Get("status-code"); status != int32(200) {
		c.t.Fatalf("the token of %s: %v", id, answer.ApplicationProperties)
	}
}

func (c *amqpClient) send(id string) {
	c.t.Helper()
	out, err := c.links[id].Deliver(c.t.Context(), amqp10.Outgoing{Message: amqp10.NewMessage([]byte("x"))})
	if err != nil || out.Kind != amqp10.KindAccepted {
		c.t.Errorf("telemetry of %s: %v, %v", id, out, err)
	}
}
