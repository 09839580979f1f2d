//go:build unix

package robust

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/internal/sas"
	"sluice/internal/service"
	"sluice/iot"
	"sluice/test/robust/ledger"
)

const (
	moduleName = "gateway/filter"
	// moduleInput is where messages of some devices have to arrive. The module says
	// something of its own for each, which has to arrive at the hub.
	moduleInput = "filter/in"
)

// throughModule are the routes: devices whose names begin with "through" to the
// module, others and the module to the hub.
const throughModule = `{
	"in": "FROM /messages/* WHERE starts_with($connectionDeviceId, 'through') INTO BrokeredEndpoint(\"/modules/filter/inputs/in\")",
	"out": "FROM /messages/modules/filter/outputs/out INTO $upstream",
	"up": "FROM /messages/* WHERE NOT is_defined($connectionModuleId) AND NOT starts_with($connectionDeviceId, 'through') INTO $upstream"
}`

// deploy gives the gateway routes, and waits until they are in force.
func (s *site) deploy(routes string) {
	s.t.Helper()
	client, err := service.New(s.owner, service.Options{Roots: s.roots, Address: s.far, Port: portOf(s.https.to)})
	s.must(err)
	defer client.Close()
	desired := json.RawMessage(fmt.Sprintf(`{"schemaVersion":"1.1","routes":%s,"storeAndForwardConfiguration":{"timeToLiveSecs":-1}}`, routes))
	var change service.TwinChange
	change.Properties = &service.TwinProperties{Desired: desired}
	_, err = client.UpdateTwin(s.t.Context(), iot.ModuleIdentity("gateway", iot.EdgeHubModule), change, "")
	s.must(err)
	s.gateway.until(patience, "deployment applied")
}

// A module takes what devices send and says something about each: only when that was
// acknowledged it acknowledges what it took. It forgets everything when it is killed.
type module struct {
	*device // of whose name it sends
	judge   *judge
	taken   *ledger.Writer // what it received

	mu   sync.Mutex
	conn *connection
	stop func()
}

// startModule runs the module until its stop.
func (s *site) startModule() *module {
	m := &module{device: s.newDevice(moduleName, s.keys[moduleName]), judge: s.judge, taken: s.openLedger("filter-in")}
	m.device.ledger, m.device.rng = s.openLedger("filter"), rand.New(rand.NewPCG(s.seed, 1000))
	ctx, cancel := context.WithCancel(s.t.Context())
	var running sync.WaitGroup
	running.Go(func() { m.run(ctx) })
	m.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
	})
	s.t.Cleanup(m.stop)
	return m
}

// kill ends the module in the middle of what it does. It starts again by itself.
func (m *module) kill() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.conn != nil {
		_ = m.conn.Close() // that is the point
	}
}

func (m *module) run(ctx context.Context) {
	for ctx.Err() == nil {
		c, err := m.dial(ctx)
		if err != nil {
			pause(ctx, time.Duration(20+m.rng.IntN(100))*time.Millisecond)
			continue
		}
		m.mu.Lock()
		m.conn = c
		m.mu.Unlock()
		done := context.AfterFunc(ctx, func() { _ = c.Close() })
		m.work(c)
		done()
		_ = c.Close() // has ended
		m.giveUp()
	}
}

func (m *module) dial(ctx context.Context) (*connection, error) {
	id := iot.ModuleIdentity("gateway", "filter")
	token, err := sas.Sign(m.key, sas.Resource{Host: m.hub, Identity: id}, "", time.Now().Add(time.Hour))
	if err != nil {
		return nil, err
	}
	c, err := dialMQTT(ctx, m.addr, m.tls, dialect{
		clientID: moduleName, password: token, clean: true,
		user: m.hub + "/" + moduleName + "/?api-version=2021-04-12&DeviceClientType=robust",
	})
	if err != nil {
		return nil, err
	}
	if _, err := c.Write(subscribe(1, "devices/gateway/modules/filter/inputs/#")); err != nil {
		_ = c.Close() // it is broken
		return nil, err
	}
	return c, nil
}

// work takes inputs and says outputs, until the connection ends.
func (m *module) work(c *connection) {
	var inputs []uint16 // packets taken and not acknowledged, in the order of waiting
	for {
		var in [][]byte
		var acked int
		for first := true; first || c.in.Buffered() > 0; first = false {
			kind, body, err := readPacket(c.in)
			switch {
			case err != nil:
				return
			case kind == typePublish:
				in = append(in, body)
			case kind == typePuback:
				acked++
			}
		}
		if acked > len(inputs) {
			m.t.Errorf("%s: %d PUBACKs for %d messages", m.id, acked, len(inputs))
			return
		}
		out := m.said(inputs[:acked])
		inputs = inputs[acked:]
		more, ids := m.take(in)
		inputs = append(inputs, ids...)
		if _, err := c.Write(append(out, more...)); err != nil {
			return
		}
	}
}

// said notes that the first outputs that wait were acknowledged, and returns the
// acknowledgements of what they were about.
func (m *module) said(inputs []uint16) (out []byte) {
	events := make([]ledger.Event, len(inputs))
	acked := make([]answered, len(inputs))
	for i, id := range inputs {
		events[i] = ledger.Event{Kind: ledger.Acknowledged, Sender: m.id, Seq: m.waiting[i]}
		acked[i].seq = m.waiting[i]
		out = append(out, packet(typePuback<<4, binary.BigEndian.AppendUint16(nil, id))...)
	}
	m.record(events...)
	m.waiting = m.waiting[len(inputs):]
	m.device.mu.Lock()
	defer m.device.mu.Unlock()
	m.acked = append(m.acked, acked...)
	return out
}

// take notes inputs and makes an output of each.
func (m *module) take(in [][]byte) (out []byte, ids []uint16) {
	var received, sent []ledger.Event
	for _, packet := range in {
		topic, id, body := splitPublish(packet)
		sender, seq, _ := ledger.ReadBody(body)
		received = append(received, ledger.Event{
			Time: time.Now(), Kind: ledger.Received, Sender: sender, Seq: seq, Hash: ledger.Hash(body), Endpoints: []string{moduleInput}, As: senderOf(topic),
		})
		m.next++
		m.waiting = append(m.waiting, m.next)
		say := ledger.Body(m.id, m.next, m.size)
		sent = append(sent, ledger.Event{Kind: ledger.Sent, Sender: m.id, Seq: m.next, Hash: ledger.Hash(say), Endpoints: []string{endpoint}})
		out = append(out, publish("devices/gateway/modules/filter/messages/events/%24.on=out", 1, packetID(m.next), say, false)...)
		ids = append(ids, id)
	}
	if len(received) == 0 {
		return nil, nil
	}
	if err := m.taken.Record(received...); err != nil {
		m.t.Errorf("%s: %v", m.id, err)
	}
	m.record(sent...)
	m.judge.note(received)
	return out, ids
}

// splitPublish takes apart a PUBLISH at QoS 1.
func splitPublish(packet []byte) (topic string, id uint16, body []byte) {
	n := 2 + int(binary.BigEndian.Uint16(packet))
	return string(packet[2:n]), binary.BigEndian.Uint16(packet[n:]), packet[n+2:]
}

// senderOf is the device that the gateway says an input is from.
func senderOf(topic string) string {
	for _, key := range []string{"$.cdid=", "%24.cdid="} {
		if _, rest, ok := strings.Cut(topic, key); ok {
			sender, _, _ := strings.Cut(rest, "&")
			return sender
		}
	}
	return ""
}

// through names n devices whose messages go to the module.
func through(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("through-%02d", i+1)
	}
	return ids
}

// newModuleSite is a site with routes, devices of both kinds, and a module.
func newModuleSite(t *testing.T, direct, byModule int) (*site, *module) {
	s := newSite(t, append(fleet(direct), through(byModule)...))
	s.deploy(throughModule)
	for _, d := range s.devices {
		d.every = 100 * time.Millisecond
		if strings.HasPrefix(d.id, "through") {
			d.endpoint, d.window = moduleInput, 4
		}
	}
	return s, s.startModule()
}

// end waits until the module has all that it is to have, and has said what it says.
func (m *module) end(s *site) {
	s.t.Helper()
	var devices []*device
	for _, d := range s.devices {
		if d.endpoint == moduleInput {
			devices = append(devices, d)
		}
	}
	s.judge.await(devices)
	eventually(s.t, patience, "the module has nothing more to do", func() bool {
		before := m.acknowledged()
		wait(500 * time.Millisecond)
		return m.acknowledged() == before
	})
	m.stop()
	s.devices = append(s.devices, m.device)
}
