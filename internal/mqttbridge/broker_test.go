package mqttbridge

import (
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"sluice/iot"
	"sluice/translator"
	"sluice/translator/translatortest"
)

// The sample's own devices: they publish to device/{id}/message and know no more.
func TestDevicesOfTheSampleBecomeLeaves(t *testing.T) {
	t.Parallel()
	r := start(t, "")
	d := r.device("any")
	d.say("device/pump-7/message", `{"rpm": 900}`)
	d.say("device/pump-8/message", "plain text")
	d.wait(d.Publish("device/pump-9/message", 0, false, `{"qos": 0}`))
	for leaf, want := range map[string]string{"pump-7": `{"rpm": 900}`, "pump-8": "plain text", "pump-9": `{"qos": 0}`} {
		m := r.Find(leaf, "", nil)
		json := m.System.Get(iot.ContentType) == "application/json" && m.System.Get(iot.ContentEncoding) == "utf-8"
		if string(m.Body) != want || json != strings.HasPrefix(want, "{") {
			t.Errorf("%s: %s %v", leaf, m.Body, m.System)
		}
	}
	r.Capabilities("pump-7", translator.Capabilities{})
	if n := r.b.Stats.Leaves.Load(); n != 3 {
		t.Errorf("%d leaves", n)
	}
}

func TestNoAcknowledgementBeforeTheGatewayHasTheMessage(t *testing.T) {
	t.Parallel()
	r := start(t, "")
	r.Hold()
	d := r.device("a")
	token := d.Publish("device/a/message", 1, false, "1")
	until(t, "the message to be on its way", func() bool { return r.Held() > 0 })
	select {
	case <-token.Done():
		t.Error("acknowledged while the gateway has nothing")
	default:
	}
	r.Cut(false) // what was on its way is lost
	until(t, "the message to be on its way again", func() bool { return r.Held() > 0 })
	r.Release()
	d.wait(token)
	r.Find("a", "", nil)
}

func TestBothWaysThroughTheBridge(t *testing.T) {
	t.Parallel()
	r := start(t, "")
	d := r.device("valve-1")
	d.listen("device/valve-1/#")
	r.Capabilities("valve-1", translator.Capabilities{Methods: true, Desired: true, Commands: true})

	var answering sync.WaitGroup
	answering.Go(func() {
		q := d.hear("device/valve-1/method/open/")
		rid := q.Topic()[strings.LastIndexByte(q.Topic(), '/')+1:]
		d.say("device/valve-1/method/res/"+rid+"/200", `{"was":`+string(q.Payload())+`}`)
	})
	if status, answer := r.Call("valve-1", "open", `{"by":3}`); status != 200 || answer != `{"was":{"by":3}}` {
		t.Errorf("%d %s", status, answer)
	}
	answering.Wait()

	var settling sync.WaitGroup
	settling.Go(func() {
		if c := d.hear("device/valve-1/command"); string(c.Payload()) != "close" {
			t.Errorf("command %s", c.Payload())
		}
	})
	if got := r.Command("valve-1", "close"); got != iot.Complete {
		t.Errorf("settled %v", got)
	}
	settling.Wait()

	r.Desire("valve-1", `{"rate":5,"deep":{"a":1,"b":2},"$version":1}`, true)
	if m := d.hear("device/valve-1/twin/desired"); string(m.Payload()) != `{"rate":5,"deep":{"a":1,"b":2},"$version":1}` || !m.Retained() {
		t.Errorf("desired %s, retained %v", m.Payload(), m.Retained())
	}
	r.Desire("valve-1", `{"rate":null,"deep":{"b":null,"c":{"d":3,"e":null}},"$version":2}`, false)
	if m := d.hear("device/valve-1/twin/desired"); string(m.Payload()) != `{"$version":2,"deep":{"a":1,"c":{"d":3}}}` {
		t.Errorf("desired %s", m.Payload())
	}
	d.say("device/valve-1/twin/reported", `{"rate":5}`)
	if m := r.Find("valve-1", "LeafReported", nil); string(m.Body) != `{"rate":5}` {
		t.Errorf("reported %s", m.Body)
	}
	r.Tell("valve-1", "registered", "")
	if m := d.hear("device/valve-1/state"); string(m.Payload()) != `{"reason":"","state":"registered"}` {
		t.Errorf("state %s", m.Payload())
	}
}

func TestTheGatewayKnowsWhoListens(t *testing.T) {
	t.Parallel()
	r := start(t, "")
	d := r.device("a")
	d.listen("device/a/command")
	r.Capabilities("a", translator.Capabilities{Commands: true}) // it never published
	d.listen("device/+/method/+/+", "other/#")
	r.Capabilities("a", translator.Capabilities{Commands: true, Methods: true})
	second := r.device("b")
	second.listen("device/a/twin/desired")
	r.Capabilities("a", translator.Capabilities{Commands: true, Methods: true, Desired: true})
	d.wait(d.Unsubscribe("device/+/method/+/+"))
	r.Capabilities("a", translator.Capabilities{Commands: true, Desired: true})
	d.Disconnect(50)
	r.Capabilities("a", translator.Capabilities{Desired: true})
	second.Disconnect(50)
	r.Capabilities("a", translator.Capabilities{})

	if status, answer := r.Call("a", "open", ""); status != 404 || !strings.Contains(answer, "nobody subscribed") {
		t.Errorf("a method for nobody: %d %s", status, answer)
	}
}

func TestALateListenerGetsDesiredProperties(t *testing.T) {
	t.Parallel()
	r := start(t, "")
	first := r.device("a")
	first.listen("device/a/twin/desired")
	r.Desire("a", `{"rate":5,"$version":1}`, true)
	first.hear("device/a/twin/desired")
	second := r.device("b")
	second.listen("device/a/twin/desired")
	if m := second.hear("device/a/twin/desired"); string(m.Payload()) != `{"rate":5,"$version":1}` {
		t.Errorf("desired %s", m.Payload())
	}
}

// A patch of properties that the bridge never saw whole makes it ask for all.
func TestAPatchOfTheUnknownIsAskedAbout(t *testing.T) {
	t.Parallel()
	r := start(t, "")
	d := r.device("a")
	d.listen("device/a/twin/desired")
	r.Capabilities("a", translator.Capabilities{Desired: true})
	r.Desire("a", `{"rate":5,"$version":7}`, false)
	r.Wait("a second greeting", func(list []iot.Message) bool {
		n := 0
		for _, m := range list {
			if kind, _ := m.Properties.Get("itmtype"); kind == "LeafHello" {
				n++
			}
		}
		return n == 2
	})
	r.Desire("a", `{"rate":5,"other":1,"$version":7}`, true)
	if m := d.hear("device/a/twin/desired"); !strings.Contains(string(m.Payload()), "other") {
		t.Errorf("desired %s", m.Payload())
	}
}

func TestHostileTopicsAreRefusedAndOthersGoOn(t *testing.T) {
	t.Parallel()
	r := start(t, "")
	d := r.device("x")
	hostile := []string{
		"device//message", "device/a/b/message", "device/../message", "device/./message", "device/$edgeHub/message",
		"device/EDGE-1/message", "device/a%2Fb/message", "device/%61/message", "device/a?b/message", "device/ü/message",
		"device/ｐump/message", "device/a b/message", "device/a\u200b/message", "device/" + strings.Repeat("a", 129) + "/message",
		"device/a/messages", "device/a", "/device/a/message", "device/a/message/", "other",
		"device/a/twin/reported/x", "device/a/method/res/1", "device/a/method/res/x/200", "device/a/method/res/1/ok",
		"device/" + strings.Repeat("/", 120) + "/message",
	}
	for _, topic := range hostile {
		d.say(topic, `{"evil":true}`) // acknowledged: nobody will ever take it
	}
	d.say("device/a/twin/reported", "[1]")
	d.say("device/a/twin/reported", "")
	d.say("device/a/message", "good")
	m := r.Find("a", "", nil)
	if string(m.Body) != "good" {
		t.Errorf("%s", m.Body)
	}
	for _, m := range r.Messages() {
		if id, _ := m.Properties.Get("leafDeviceId"); id != "a" {
			t.Errorf("a message of %q arrived", id)
		}
	}
	if got, want := r.b.Stats.Refused.Load(), int64(len(hostile)+2); got != want {
		t.Errorf("%d were counted, not %d", got, want)
	}
}

// What MQTT does not allow at all costs the connection, and no other's.
func TestWildcardsInATopicEndThatConnectionAlone(t *testing.T) {
	t.Parallel()
	r := start(t, "")
	good := r.device("good")
	for _, topic := range []string{"device/+/message", "device/#", "device/\xff/message", "device/a\x00/message"} {
		c, err := net.Dial("tcp", r.addr)
		if err != nil {
			t.Fatal(err)
		}
		connect := []byte{0x10, 13, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 60, 0, 1, 'z'}
		publish := append([]byte{0x30, byte(len(topic) + 3), 0, byte(len(topic))}, topic+"x"...)
		if _, err := c.Write(append(connect, publish...)); err != nil {
			t.Fatal(err)
		}
		if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		if answer, err := io.ReadAll(c); err != nil && !errors.Is(err, net.ErrClosed) && !strings.Contains(err.Error(), "reset") || len(answer) > 4 {
			t.Errorf("%q: %x %v", topic, answer, err)
		}
		_ = c.Close()
	}
	good.say("device/a/message", "1")
	r.Find("a", "", nil)
}

// One device that sends as fast as it can while the gateway is away is slowed; the
// bridge holds no more of it than its connection may have, and serves others.
func TestASlowGatewaySlowsTheSender(t *testing.T) {
	t.Parallel()
	r := start(t, "")
	r.Hold()
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	payload := strings.Repeat("x", 1000)
	topic := "device/fast/message"
	packet := append([]byte{0x30, byte((2+len(topic)+len(payload))&0x7f | 0x80), byte((2 + len(topic) + len(payload)) >> 7), 0, byte(len(topic))}, topic+payload...)
	if _, err := c.Write([]byte{0x10, 16, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 0, 0, 4, 'f', 'a', 's', 't'}); err != nil {
		t.Fatal(err)
	}
	written := 0
	flood := slices.Repeat(packet, 64)
	for written < 1<<30 { // until TCP takes no more
		if err := c.SetWriteDeadline(time.Now().Add(2 * time.Second)); err != nil {
			t.Fatal(err)
		}
		n, err := c.Write(flood)
		written += n
		if err != nil {
			break
		}
	}
	if written > 64<<20 {
		t.Errorf("%d MB were taken while the gateway took nothing", written>>20)
	}
	if r.b.in.holds(brokerLimits.MaxInbound+1, brokerLimits.MaxInboundBytes+2*len(packet)) {
		t.Error("more waits than a connection may have unacknowledged")
	}
	other := r.device("other").Publish("device/other/message", 1, false, "1")
	r.Release()
	if !other.WaitTimeout(patience) {
		t.Error("the other device waits")
	}
	r.Find("other", "", nil)
}

func TestWhoIsKeptToItsOwnTopics(t *testing.T) {
	t.Parallel()
	file := t.TempDir() + "/passwords"
	salt := []byte("123456789012")
	sum := sha512.Sum512(append([]byte("secret"), salt...))
	hash := base64.StdEncoding.EncodeToString
	text := fmt.Sprintf("pump-7:$6$%s$%s\n", hash(salt), hash(sum[:]))
	text += "pump-8:$7$101$" + hash(salt) + "$" + hash(pbkdf2Of("other", salt, 101)) + "\n"
	text += fmt.Sprintf("$edgeHub:$6$%s$%s\n", hash(salt), hash(sum[:]))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r := start(t, "password_file = '"+file+"'\nown_topics = 'username'")
	login := func(user, password string) func(*paho.ClientOptions) {
		return func(o *paho.ClientOptions) { o.SetUsername(user).SetPassword(password) }
	}
	for _, c := range [][2]string{{"pump-7", "wrong"}, {"pump-7", ""}, {"nobody", "secret"}, {"", ""}, {"$edgeHub", "secret"}} {
		o := paho.NewClientOptions().AddBroker("tcp://" + r.addr).SetClientID("x")
		login(c[0], c[1])(o)
		token := paho.NewClient(o).Connect()
		if token.WaitTimeout(patience); token.Error() == nil {
			t.Errorf("%q with %q came in", c[0], c[1])
		}
	}
	d := r.device("a", login("pump-7", "secret"))
	r.device("b", login("pump-8", "other")).say("device/pump-8/message", "8")
	d.say("device/pump-8/message", "forged")
	d.say("device/pump-8/twin/reported", `{"forged":1}`)
	d.say("device/pump-8/method/res/1/200", `{"forged":1}`)
	d.say("device/pump-7/message", "7")
	if got := append(r.Bodies("pump-7"), r.Bodies("pump-8")...); !slices.Equal(got, []string{"7", "8"}) {
		t.Errorf("arrived: %q", got)
	}
	for filter, granted := range map[string]byte{"device/pump-7/#": 1, "device/+/command": 0x80, "#": 0x80, "device/pump-8/command": 0x80, "elsewhere/#": 1} {
		token := d.Subscribe(filter, 1, nil)
		token.WaitTimeout(patience)
		if got := token.(*paho.SubscribeToken).Result()[filter]; got != granted {
			t.Errorf("%s: granted %x", filter, got)
		}
	}
	if n := r.b.Stats.Refused.Load(); n != 3 {
		t.Errorf("%d refused", n)
	}
}

// A leaf that was deleted and comes back is new to everybody.
func TestADeletedLeafIsGreetedAgain(t *testing.T) {
	t.Parallel()
	r := start(t, "")
	d := r.device("a")
	d.listen("device/a/state")
	d.say("device/a/message", "1")
	r.Tell("a", "deleted", "")
	d.hear("device/a/state")
	d.say("device/a/message", "2")
	greetings := 0
	for _, m := range r.Messages() {
		if kind, _ := m.Properties.Get("itmtype"); kind == "LeafHello" {
			greetings++
		}
	}
	if greetings != 2 {
		t.Errorf("%d greetings", greetings)
	}
}

// Subscriptions name leaves too. Those that cannot be are counted, and while the
// gateway is away no more names are kept than there may be leaves.
func TestHostileSubscriptionsCostNothing(t *testing.T) {
	t.Parallel()
	r := start(t, "max_leaves = 50")
	d := r.device("x")
	for _, f := range []string{"device/$edgeHub/command", "device/a b/command", "device/" + strings.Repeat("a", 200) + "/#", "device/EDGE-1/command", "device//command"} {
		d.listen(f)
	}
	long := "device/" + strings.Repeat("a", 2000) + "/command"
	token := d.Subscribe(long, 1, nil)
	token.WaitTimeout(patience)
	if got := token.(*paho.SubscribeToken).Result()[long]; got != 0x80 {
		t.Errorf("a long filter is granted %x", got)
	}
	until(t, "the others to be counted", func() bool { return r.b.Stats.Refused.Load() >= 5 })
	if n := r.b.Stats.Leaves.Load(); n != 0 {
		t.Errorf("%d leaves", n)
	}
	for i := range 100 {
		d.listen(fmt.Sprintf("device/leaf-%d/command", i))
	}
	until(t, "those that may be", func() bool { return r.b.Stats.Leaves.Load() == 50 })

	away, err := New(configured(t, "max_leaves = 50"), Options{Translator: r.Options()}) // it does not run
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		away.field.(*broker).tell([]string{fmt.Sprint("leaf-", i)}, false)
	}
	if n := away.in.greeting(); n != 50 {
		t.Errorf("%d names are kept", n)
	}
}

func TestOneClientIDIsConnectedOnce(t *testing.T) {
	t.Parallel()
	r := start(t, "")
	first := r.device("a")
	first.listen("device/a/command")
	second := r.device("a")
	second.listen("device/a/command")
	select {
	case <-first.lost:
	case <-time.After(patience):
		t.Error("the first connection is still there")
	}
	var heard sync.WaitGroup
	heard.Go(func() { second.hear("device/a/command") })
	if got := r.Command("a", "x"); got != iot.Complete {
		t.Errorf("settled %v", got)
	}
	heard.Wait()
}

func TestTooManyLeavesAreRefused(t *testing.T) {
	t.Parallel()
	r := start(t, "max_leaves = 2")
	d := r.device("x")
	for _, leaf := range []string{"a", "b", "c", "a"} {
		d.say("device/"+leaf+"/message", leaf)
	}
	if n := r.b.Stats.Refused.Load(); n != 1 || len(r.Bodies("a")) != 2 || len(r.Bodies("c")) != 0 {
		t.Errorf("%d refused, %q", n, r.Bodies("c"))
	}
}

func TestTheMappingMayComeFromTheTwin(t *testing.T) {
	t.Parallel()
	r := start(t, "")
	d := r.device("x")
	d.listen("plant/a/do")
	r.SetDesired(`{"messages":[{"topic":"plant/{id}/{line}","properties":{"line":"{line}"}}],"topics":{"command":"plant/{id}/do/it"}}`)
	r.Reports(`{"configuration":{"version":1,"status":200,"error":null}}`)
	d.say("plant/a/4", "1")
	if m := r.Find("a", "", nil); len(m.Properties) != 3 || m.Properties[2] != (iot.Property{Key: "line", Value: "4"}) {
		t.Errorf("%v", m.Properties)
	}
	d.listen("plant/a/do/it")
	r.Capabilities("a", translator.Capabilities{Commands: true})
	r.SetDesired(`{"mesages":[]}`)
	r.Reports(`{"configuration":{"version":2,"status":400,"error":"the mapping stays as it was: unknown key \"mesages\"; did you mean \"messages\"?"}}`)
	d.say("plant/a/5", "2")
	r.SetDesired(`{}`) // as in the file
	r.Reports(`{"configuration":{"version":3,"status":200,"error":null}}`)
	d.say("device/a/message", "3")
	if got := r.Bodies("a"); !slices.Equal(got, []string{"1", "2", "3"}) {
		t.Errorf("arrived: %q", got)
	}
}

// Bridges and connections to the gateway end at any moment. What was acknowledged
// is there.
func TestNothingAcknowledgedIsLostWhenTheBridgeEnds(t *testing.T) {
	t.Parallel()
	r := start(t, "")
	var acked []string
	next := 0
	for round := range 10 {
		d := r.device("a")
		for range 20 {
			if round%3 == 1 && next%20 == 10 {
				r.Hold()
			}
			body := fmt.Sprint(next)
			token := d.Publish("device/a/message", 1, false, body)
			next++
			switch {
			case round%3 == 0 && next%20 == 15:
				r.Cut(false)
			case round%3 == 1 && next%20 == 11:
				until(t, "it to be on its way", func() bool { return r.Held() > 0 })
				r.stop()
			}
			if token.WaitTimeout(patience); token.Error() != nil || !d.IsConnectionOpen() {
				break
			}
			acked = append(acked, body)
		}
		d.Disconnect(10)
		r.stop()
		r.Cut(false)
		r.Release()
		r.run(configured(t, ""))
	}
	there := make(map[string]bool)
	for _, body := range r.Bodies("a") {
		there[body] = true
	}
	for _, body := range acked {
		if !there[body] {
			t.Errorf("%s was acknowledged and is lost", body)
		}
	}
	if len(acked) < 100 {
		t.Errorf("only %d were acknowledged", len(acked))
	}
}

func TestAPortThatIsTakenIsSaid(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r := start(t, "")
	b, err := New(configured(t, "listen = '"+l.Addr().String()+"'"), Options{Translator: r.Options()})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Run(context.Background()); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Error(err)
	}
}

// BenchmarkBridge is QoS 1 from many devices to a gateway that takes everything at
// once: what the bridge itself costs.
func BenchmarkBridge(b *testing.B) {
	r := &rig{Gateway: translatortest.New(b)}
	listening := make(chan net.Addr, 1)
	cfg := &Config{Listen: "127.0.0.1:0"}
	bridge, err := New(cfg, Options{Translator: r.Options(), Listening: func(a net.Addr) { listening <- a }})
	if err != nil {
		b.Fatal(err)
	}
	cfg.MaxLeaves, cfg.MaxConnections = 1000, 1000
	ctx, cancel := context.WithCancel(b.Context())
	ran := make(chan error, 1)
	go func() { ran <- bridge.Run(ctx) }()
	addr := (<-listening).String()
	var clients []paho.Client
	for i := range 20 {
		c := paho.NewClient(paho.NewClientOptions().AddBroker("tcp://" + addr).SetClientID(fmt.Sprint(i)))
		if token := c.Connect(); token.WaitTimeout(patience) && token.Error() != nil {
			b.Fatal(token.Error())
		}
		clients = append(clients, c)
	}
	body := []byte(`{"temperature":21.5,"pressure":1.013,"valve":"open","serial":"A7"}`)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	b.ResetTimer()
	tokens := make(chan paho.Token, 1000)
	var waiting sync.WaitGroup
	waiting.Go(func() {
		for token := range tokens {
			token.Wait()
		}
	})
	for i := range b.N {
		tokens <- clients[i%len(clients)].Publish(fmt.Sprintf("device/pump-%d/message", i%len(clients)), 1, false, body)
	}
	close(tokens)
	waiting.Wait()
	b.StopTimer()
	for _, c := range clients {
		c.Disconnect(10)
	}
	cancel()
	if err := <-ran; err != nil {
		b.Fatal(err)
	}
}
