package mqtthead_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"sluice/internal/mqtthead"
	"sluice/iot"
	"sluice/mqtt"
)

// A sinkHub accepts everything at once.
type sinkHub struct{}

func (sinkHub) Connect(_ context.Context, creds iot.Credentials, _ iot.Client) (iot.Session, error) {
	return sinkSession{id: creds.Identity}, nil
}

type sinkSession struct {
	iot.Session // what a sender of telemetry does not use
	id          iot.Identity
}

func (s sinkSession) Identity() iot.Identity               { return s.id }
func (sinkSession) Send(_ []iot.Message, done func(error)) { done(nil) }
func (sinkSession) Close() error                           { return nil }
func (sinkSession) Commands(func(iot.Delivery)) (iot.Subscription, error) {
	return sinkSubscription{}, nil
}

type sinkSubscription struct{}

func (sinkSubscription) Grant(int)   {}
func (sinkSubscription) Revoke() int { return 0 }
func (sinkSubscription) Close()      {}

// BenchmarkPublish is a device's telemetry from its bytes to its PUBACKs, in
// flights of 16 of 256 bytes over a loopback connection, without TLS and without
// a disk: the engine's and the head's part of the publish path.
func BenchmarkPublish(b *testing.B) {
	bag := "%24.mid=5f7a1c2e&%24.ct=application%2Fjson&%24.ce=utf-8&temperatureAlert=false"
	for _, test := range []struct{ name, first, second string }{
		{"no properties", "", ""},
		{"the same properties", bag, bag},
		{"other properties each", bag, strings.Replace(bag, "5f7a", "5f7b", 1)},
	} {
		b.Run(test.name, func(b *testing.B) {
			nc := benchServer(b)
			var flight bytes.Buffer
			for i := range 16 {
				topic := test.first
				if i%2 == 1 {
					topic = test.second
				}
				words := fmt.Sprintf("PUBLISH devices/dev1/messages/events/%s x qos=1 id=%d size=256", topic, i+1)
				flight.Write(encode(b, strings.Fields(words)))
			}
			acks := make([]byte, 16*4)
			b.ReportAllocs()
			b.SetBytes(16 * 256)
			for b.Loop() {
				if _, err := nc.Write(flight.Bytes()); err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(nc, acks); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)*16/b.Elapsed().Seconds(), "msgs/s")
		})
	}
}

// benchServer returns a connection with a session, whose server ends with b.
func benchServer(b *testing.B) net.Conn {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error)
	go func() { served <- (&mqtt.Server{Backend: mqtthead.New(sinkHub{}, mqtthead.Options{})}).Serve(ctx, l) }()
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = nc.Close()
		cancel()
		if err := <-served; err != nil {
			b.Error(err)
		}
	})
	if _, err := nc.Write(encode(b, strings.Fields(login))); err != nil {
		b.Fatal(err)
	}
	if _, err := io.ReadFull(nc, make([]byte, 4)); err != nil {
		b.Fatal(err)
	}
	return nc
}
