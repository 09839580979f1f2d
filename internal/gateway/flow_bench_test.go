package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"sluice/internal/sas"
	"sluice/internal/spool"
	"sluice/iot"
)

// A sink is a hub that takes everything and counts it.
type sink struct {
	*fakeParent
	got chan int // of each batch; nil if nobody wants to know
}

type sinkSession struct {
	iot.Session
	to *sink
}

func (s *sink) Connect(ctx context.Context, creds iot.Credentials, client iot.Client) (iot.Session, error) {
	session, err := s.fakeParent.Connect(ctx, creds, client)
	return sinkSession{session, s}, err
}

func (s sinkSession) Send(batch []iot.Message, done func(error)) {
	done(nil)
	if s.to.got != nil {
		s.to.got <- len(batch)
	}
}

// A stand is a running gateway on the machine's disk, with devices and a module, under
// a benchmark.
type stand struct {
	b       *testing.B
	gw      *Gateway
	hub     *sink
	devices []iot.Session
	module  iot.Session
}

func newStand(b *testing.B, devices int, online bool, routes string) *stand {
	filter := moduleOf("filter")
	regs := []iot.Registration{edgeDevice(), filter}
	for i := range devices {
		regs = append(regs, child(fmt.Sprint("d", i)))
	}
	s := &stand{b: b, hub: &sink{fakeParent: newFakeParent(regs...)}}
	dir := b.TempDir()
	store, err := spool.Open(filepath.Join(dir, "spool"), spool.Options{BallastBytes: -1, MinFree: -1})
	if err != nil {
		b.Fatal(err)
	}
	s.gw, err = New(Options{Device: "edge", HubHost: hubHost, Key: edgeKey, Parent: s.hub, Spool: store, Dir: dir, State: state(b), TTL: -1})
	if err != nil {
		b.Fatal(err)
	}
	r, err := s.gw.parseConfig(json.RawMessage(routes))
	if err != nil {
		b.Fatal(err)
	}
	s.gw.setRouting(r)
	if err := s.gw.scope.Refresh(b.Context()); err != nil {
		b.Fatal(err)
	}
	s.hub.away = !online
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { s.gw.Run(ctx) })
	b.Cleanup(func() {
		cancel()
		running.Wait()
		if err := store.Close(); err != nil {
			b.Error(err)
		}
	})
	if online && !s.gw.uplink.online.wait(b.Context()) {
		b.Fatal("not online")
	}
	s.module = s.connect(filter)
	for _, r := range regs[2:] {
		s.devices = append(s.devices, s.connect(r))
	}
	return s
}

func (s *stand) connect(r iot.Registration) iot.Session {
	token, err := sas.Sign(r.Auth.PrimaryKey, sas.Resource{Host: hubHost, Identity: r.Identity}, "", time.Now().Add(time.Hour))
	if err != nil {
		s.b.Fatal(err)
	}
	session, err := s.gw.Connect(s.b.Context(), iot.Credentials{Identity: r.Identity, Token: token}, iot.Client{})
	if err != nil {
		s.b.Fatal(err)
	}
	return session
}

// batch is what a head hands over at once.
const batch = 16

// load has all devices send n batches together, each with some on their way, and
// returns when all are acknowledged.
func (s *stand) load(n int) {
	var sending sync.WaitGroup
	for i, d := range s.devices {
		mine := n / len(s.devices)
		if i < n%len(s.devices) {
			mine++
		}
		sending.Go(func() { s.send(d, mine) })
	}
	sending.Wait()
}

// halfRandom returns n bytes that compress by about half, as telemetry does.
func halfRandom(n int) []byte {
	body := make([]byte, n)
	for i := range n / 2 {
		body[i] = byte(rand.Uint32())
	}
	return body
}

func (s *stand) send(d iot.Session, n int) {
	body := halfRandom(256)
	window := make(chan struct{}, 4)
	var out sync.WaitGroup
	for range n {
		window <- struct{}{}
		out.Add(1)
		messages := make([]iot.Message, batch)
		for i := range messages {
			messages[i].Body = body
		}
		d.Send(messages, func(err error) {
			if err != nil {
				s.b.Error(err)
			}
			<-window
			out.Done()
		})
	}
	out.Wait()
}

// BenchmarkUplink is telemetry of 16 devices, in batches of 16 messages of 256 bytes,
// to its acknowledgement: with the uplink cut, and with it up, where everything is
// also sent on and removed from the disk meanwhile. What was not sent on when the last
// was acknowledged is the backlog.
func BenchmarkUplink(b *testing.B) {
	for _, online := range []bool{false, true} {
		b.Run(map[bool]string{false: "cut", true: "up"}[online], func(b *testing.B) {
			s := newStand(b, 16, online, `{"routes":{"up":"FROM /messages/* INTO $upstream"}}`)
			b.ReportAllocs()
			b.SetBytes(batch * 256)
			b.ResetTimer()
			s.load(b.N)
			b.ReportMetric(float64(b.N*batch)/b.Elapsed().Seconds(), "msg/s")
			b.ReportMetric(float64(uint64(b.N*batch)-s.gw.counts.Delivered.Load()), "backlog")
		})
	}
}

// BenchmarkEndpoints is the same for messages that go to one endpoint, and to three: the
// hub and two inputs of a module. Waiting, nobody reads, and a backlog grows; read, all
// are delivered to the end, and the time is until the last one is.
func BenchmarkEndpoints(b *testing.B) {
	const one = `"up":"FROM /messages/* INTO $upstream"`
	const three = one + `,"a":"FROM /messages/* INTO BrokeredEndpoint(\"/modules/filter/inputs/a\")","b":"FROM /messages/* INTO BrokeredEndpoint(\"/modules/filter/inputs/b\")"`
	for _, read := range []bool{false, true} {
		for _, e := range []struct {
			n      int
			routes string
		}{{1, one}, {3, three}} {
			b.Run(fmt.Sprintf("%s/%d", map[bool]string{false: "waiting", true: "read"}[read], e.n), func(b *testing.B) {
				s := newStand(b, 16, read, `{"routes":{`+e.routes+`}}`)
				if read {
					s.listen()
				}
				b.ReportAllocs()
				b.SetBytes(batch * 256)
				b.ResetTimer()
				s.load(b.N)
				s.drained(read, uint64(b.N*batch), uint64(b.N*batch*(e.n-1)))
				b.ReportMetric(float64(b.N*batch)/b.Elapsed().Seconds(), "msg/s")
			})
		}
	}
}

// listen has the module complete whatever comes on its inputs, at once and in order.
func (s *stand) listen() {
	deliveries := make(chan iot.Delivery, 1024)
	sub, err := s.module.Inputs(func(d iot.Delivery) { deliveries <- d })
	if err != nil {
		s.b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var listening sync.WaitGroup
	listening.Go(func() {
		for {
			select {
			case d := <-deliveries:
				if err := s.module.Settle(ctx, d.LockToken, iot.Complete); err != nil && ctx.Err() == nil {
					s.b.Error(err)
				}
				sub.Grant(1)
			case <-ctx.Done():
				return
			}
		}
	})
	s.b.Cleanup(func() {
		sub.Close()
		cancel()
		listening.Wait()
	})
	sub.Grant(cap(deliveries))
}

// drained waits, if anybody reads, until the hub and the module have that many.
func (s *stand) drained(read bool, hub, module uint64) {
	counts := s.gw.Counts()
	for read && (counts.Delivered.Load() < hub || counts.DeliveredInputs.Load() < module) {
		time.Sleep(100 * time.Microsecond)
	}
}

// BenchmarkModuleRoundTrip is one message from a device by way of a module to the hub:
// stored twice, delivered twice, one after the other.
func BenchmarkModuleRoundTrip(b *testing.B) {
	s := newStand(b, 1, true, `{"routes":{
		"in":"FROM /messages/* WHERE NOT is_defined($connectionModuleId) INTO BrokeredEndpoint(\"/modules/filter/inputs/in\")",
		"up":"FROM /messages/modules/* INTO $upstream"}}`)
	s.hub.got = make(chan int, 1)
	deliveries := make(chan iot.Delivery, 64)
	sub, err := s.module.Inputs(func(d iot.Delivery) { deliveries <- d })
	if err != nil {
		b.Fatal(err)
	}
	sub.Grant(1 << 30)
	body := make([]byte, 256)
	stored := make(chan error, 1)
	b.ReportAllocs()
	for b.Loop() {
		s.devices[0].Send([]iot.Message{{Body: body}}, func(err error) { stored <- err })
		if err := <-stored; err != nil {
			b.Fatal(err)
		}
		d := <-deliveries
		s.module.Send([]iot.Message{{Body: d.Message.Body}}, func(err error) { stored <- err })
		if err := <-stored; err != nil {
			b.Fatal(err)
		}
		if err := s.module.Settle(b.Context(), d.LockToken, iot.Complete); err != nil {
			b.Fatal(err)
		}
		<-s.hub.got
	}
}
