package mqtt_test

import (
	"context"
	"io"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"sluice/mqtt"
	"sluice/mqtt/internal/packet"
	"sluice/mqtt/mqttmem"
)

// FuzzM16_TwoClients lets two clients of one broker send anything, in pieces that
// take turns: a byte of lengths decides how much each sends next.
func FuzzM16_TwoClients(f *testing.F) {
	hello := func(id string) []byte {
		return (&packet.Connect{ClientID: id, Will: &packet.Will{Topic: "w", Payload: []byte("x"), QoS: 1}}).Append(nil)
	}
	subscribe := packet.AppendSubscribe(nil, 1, []packet.Filter{{Topic: "#", QoS: 1}, {Topic: "w", QoS: 0}})
	publish := publishPacket(f, "a/b", []byte("hello"), 1)
	f.Add(append(hello("a"), subscribe...), append(hello("b"), publish...), []byte{0xff, 0xff, 0xff})
	f.Add(append(hello("a"), publish...), append(hello("a"), subscribe...), []byte{0x81, 0x18, 0x42, 0xff})
	f.Add(append(hello("a"), packet.AppendID(nil, packet.PUBACK, 1)...), append(hello("b"), bytesOf(publish, 3)...), []byte{0x33})
	f.Fuzz(func(t *testing.T, a, b, turns []byte) {
		server := &mqtt.Server{Backend: &mqttmem.Broker{MaxQueue: 10}, Limits: mqtt.Limits{ConnectTimeout: 5 * time.Second}}
		var wg sync.WaitGroup
		send := [2]chan []byte{make(chan []byte), make(chan []byte)}
		for _, pieces := range send {
			client, conn := net.Pipe()
			wg.Go(func() { _ = server.ServeConn(context.Background(), conn) })
			wg.Go(func() { _, _ = io.Copy(io.Discard, client) })
			wg.Go(func() {
				defer client.Close()
				for p := range pieces {
					_, _ = client.Write(p)
				}
			})
		}
		left := [2][]byte{a, b}
		for i := 0; len(left[0])+len(left[1]) > 0; i++ {
			n := byte(0xff)
			if i < len(turns) {
				n = turns[i]
			}
			for c, k := range [2]int{int(n >> 4), int(n & 15)} {
				k = min(8*k+1, len(left[c]))
				if k > 0 {
					send[c] <- left[c][:k]
					left[c] = left[c][k:]
				}
			}
		}
		dbg := time.AfterFunc(2*time.Second, func() { b := make([]byte, 1<<20); panic(string(b[:runtime.Stack(b, true)])) })
		defer dbg.Stop()
		close(send[0])
		close(send[1])
		wg.Wait()
		if n := server.Stats.Panics.Load(); n > 0 {
			t.Errorf("%d panics", n)
		}
		if n := server.Stats.Open.Load(); n != 0 {
			t.Errorf("%d connections are counted as open", n)
		}
	})
}
