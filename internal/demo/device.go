package demo

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"math"
	"math/rand/v2"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"sluice/internal/sas"
	"sluice/iot"
)

// device simulates a machine: it measures something, sends it, and keeps what was not
// acknowledged to send it again, as any SDK does.
type device struct {
	id    string
	login func() (*paho.ClientOptions, error) // to the broker, of which topic is
	topic string
	every time.Duration // between messages
	limit int           // messages to send; 0 for no limit
	stays bool          // connected when all is said
	tally *tally

	next    int   // numbers up to this were handed out
	waiting []int // sent and not acknowledged, oldest first
}

// deviceWindow is how many messages may be unacknowledged.
const deviceWindow = 16

// reading is what a device sends.
type reading struct {
	Message     int     `json:"message"`
	Temperature float64 `json:"temperature"`
	Unit        string  `json:"unit"`
}

// run sends until the limit is reached and everything is acknowledged, or ctx
// ends.
func (d *device) run(ctx context.Context) {
	for tries := 0; ctx.Err() == nil && (d.stays || !d.finished()); tries++ {
		lost := make(chan struct{})
		client, err := d.connect(ctx, func() { close(lost) })
		if err != nil {
			pause(ctx, min(2*time.Second, 100*time.Millisecond<<min(tries, 5))/2+rand.N(100*time.Millisecond))
			continue
		}
		tries = 0
		d.talk(ctx, client, lost)
		client.Disconnect(50)
	}
}

func (d *device) finished() bool {
	return d.limit > 0 && d.next == d.limit && len(d.waiting) == 0
}

// hubLogin is how a device of IoT Hub logs in at its gateway.
func hubLogin(id string, key iot.Secret, broker string, conf *tls.Config) func() (*paho.ClientOptions, error) {
	return func() (*paho.ClientOptions, error) {
		token, err := sas.Sign(key, sas.Resource{Host: hostName, Identity: iot.DeviceIdentity(id)}, "", time.Now().Add(time.Hour))
		if err != nil {
			return nil, err
		}
		return paho.NewClientOptions().AddBroker(broker).SetTLSConfig(conf).
			SetUsername(hostName + "/" + id + "/?api-version=2021-04-12&DeviceClientType=sluice-demo").SetPassword(token), nil
	}
}

func (d *device) connect(ctx context.Context, lost func()) (paho.Client, error) {
	o, err := d.login()
	if err != nil {
		return nil, err
	}
	o.SetClientID(d.id).SetCleanSession(true).SetAutoReconnect(false).SetConnectRetry(false).
		SetConnectTimeout(5 * time.Second).SetKeepAlive(10 * time.Second).SetProtocolVersion(4).
		SetConnectionLostHandler(func(paho.Client, error) { lost() })
	client := paho.NewClient(o)
	connecting := client.Connect()
	select {
	case <-connecting.Done():
		return client, connecting.Error()
	case <-ctx.Done():
		client.Disconnect(0)
		return nil, ctx.Err()
	}
}

// talk sends over one connection until that is lost or all is said.
func (d *device) talk(ctx context.Context, client paho.Client, lost <-chan struct{}) {
	tick := time.NewTicker(d.every)
	defer tick.Stop()
	var tokens []paho.Token
	for _, n := range d.waiting {
		tokens = append(tokens, d.publish(client, n))
	}
	for d.stays || !d.finished() {
		var oldest <-chan struct{}
		if len(tokens) > 0 {
			oldest = tokens[0].Done()
		}
		select {
		case <-ctx.Done():
			return
		case <-lost:
			return
		case <-oldest:
			if tokens[0].Error() != nil {
				return
			}
			d.tally.acknowledge(d.id, d.waiting[0])
			d.waiting, tokens = d.waiting[1:], tokens[1:]
		case <-tick.C:
			if len(d.waiting) < deviceWindow && (d.limit == 0 || d.next < d.limit) {
				d.next = d.tally.next(d.id)
				d.waiting = append(d.waiting, d.next)
				tokens = append(tokens, d.publish(client, d.next))
			}
		}
	}
}

func (d *device) publish(client paho.Client, n int) paho.Token {
	body, err := json.Marshal(reading{Message: n, Temperature: 20 + 5*math.Sin(float64(n)/20), Unit: "C"})
	if err != nil {
		panic(err) // cannot happen: a struct of finite numbers
	}
	return client.Publish(d.topic, 1, false, body)
}

// pause waits for a while, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
