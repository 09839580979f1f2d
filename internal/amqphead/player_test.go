package amqphead_test

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"sluice/amqp10"
	"sluice/internal/iottest"
	"sluice/internal/sas"
)

// hubName is the hub of tokens in traces.
const hubName = "hub.azure-devices.net"

// A player is one client of a stage, that does what the lines of a trace say:
//
//	open [plain=USER:IDENTITY] [sasl=NAME]       begin, with SASL ANONYMOUS by default
//	put IDENTITY [name=] [type=] [for=] [host=]  put a token that lives for=1h
//	attach LINK to|from ADDRESS [credit=] [property=value ...]
//	send LINK BODY [$name=] [@annotation=] [property=value ...]
//	batch LINK BODY ...
//	answer LINK BODY [property=value ...]        to the oldest call on the link "calls"
//	credit LINK N        drain LINK
//	withdraw HANDLE N    take back the credit of a link that had N deliveries
//	settle LINK OUTCOME [which]
//	detach LINK          close          drop
type player struct {
	s      *stage
	number string
	nc     net.Conn
	sent   *tap // what went into nc
	conn   *amqp10.Conn
	sess   *amqp10.Session
	sender map[string]*amqp10.Sender

	mu       sync.Mutex
	receiver map[string]*amqp10.Receiver
	waiting  map[string][]*amqp10.Delivery
}

func newPlayer(s *stage, number string) *player {
	return &player{s: s, number: number, sender: map[string]*amqp10.Sender{},
		receiver: map[string]*amqp10.Receiver{}, waiting: map[string][]*amqp10.Delivery{}}
}

func (c *player) note(link, format string, args ...any) {
	c.s.Note("S%s> %s %s", c.number, link, fmt.Sprintf(format, args...))
}

// options are the words of a line that name something: credit=7.
type options map[string]string

func optionsOf(words []string) (o options, order []string) {
	o = make(options)
	for _, w := range words {
		k, v, _ := strings.Cut(w, "=")
		o[k] = v
		order = append(order, k)
	}
	return o, order
}

func (c *player) do(words []string) {
	switch what := words[0]; what {
	case "open":
		c.open(words[1:])
	case "put":
		c.put(words[1], words[2:])
	case "attach":
		c.attach(words[1], words[2], words[3], words[4:])
	case "send":
		c.send(words[1], amqp10.Outgoing{Message: messageOf(words[2:])})
	case "answer":
		c.answer(words[1], words[2:])
	case "batch":
		var b []byte
		for _, body := range words[2:] {
			one, err := messageOf([]string{body}).AppendTo(nil)
			if err != nil {
				c.s.t.Fatal(err)
			}
			b = amqp10.AppendBatch(b, one)
		}
		c.send(words[1], amqp10.Outgoing{Payload: b, Format: amqp10.FormatBatch})
	case "credit":
		c.receiver[words[1]].IssueCredit(uint32(number(c.s.t, words[2])))
	case "withdraw":
		c.withdraw(uint32(number(c.s.t, words[1])), uint32(number(c.s.t, words[2])))
	case "drain":
		c.s.wg.Go(func() {
			if err := c.receiver[words[1]].Drain(c.s.ctx); err != nil {
				c.note(words[1], "not drained: %v", err)
				return
			}
			c.note(words[1], "drained")
		})
	case "settle":
		c.settle(words[1], words[2], words[3:])
	case "detach":
		if s := c.sender[words[1]]; s != nil {
			s.CloseWith(nil)
		} else {
			c.receiver[words[1]].CloseWith(nil)
		}
	case "close":
		c.conn.CloseWith(nil)
	case "drop":
		_ = c.nc.Close()
	default:
		c.s.t.Fatalf("a client cannot %s", what)
	}
}

// open connects, in the background if SASL takes long.
func (c *player) open(words []string) {
	o, _ := optionsOf(words)
	login := amqp10.LoginAnonymous()
	if user, id, ok := strings.Cut(o["plain"], ":"); ok {
		login = amqp10.LoginPlain(amqp10.Credentials{User: user, Password: token(c.s, id, "1h", hubName)})
	}
	if o["sasl"] == "MSSBCBS" {
		login = amqp10.LoginMSSBCBS()
	}
	if o["sasl"] == "none" {
		login = nil
	}
	near, far := net.Pipe()
	c.sent = &tap{Conn: near}
	c.nc = c.sent
	c.s.wg.Go(func() { _ = c.s.server.ServeConn(c.s.ctx, far) }) // the reason shows in what the client gets
	conn, err := amqp10.NewConn(c.s.ctx, c.nc, amqp10.ClientConfig{ContainerID: "client", Login: login})
	if err != nil {
		c.note("connection", "refused: %v", err)
		return
	}
	c.conn = conn
	c.note("connection", "opened")
	c.s.wg.Go(func() {
		<-conn.Done()
		c.note("connection", "ended: %s", errorText(conn.Err()))
	})
	if c.sess, err = conn.NewSession(c.s.ctx); err != nil {
		c.s.t.Fatal(err)
	}
}

// token signs a token; keys are not looked at by the fake hub.
func token(s *stage, id, life, host string) string {
	d, err := time.ParseDuration(life)
	if err != nil {
		s.t.Fatal(err)
	}
	resource := sas.Resource{Host: host}
	if id != "service" {
		resource.Identity = iottest.Identity(s.t, id)
	}
	text, err := sas.Sign("a2V5", resource, "", time.Now().Add(d))
	if err != nil {
		s.t.Fatal(err)
	}
	return text
}

// put puts a token, over a pair of links that is attached the first time.
func (c *player) put(id string, words []string) {
	o, _ := optionsOf(words)
	if c.sender["$cbs"] == nil {
		c.attach("$cbs", "to", "$cbs", nil)
		c.attach("$cbs", "from", "$cbs", []string{"credit=100"})
	}
	text := token(c.s, id, cmp.Or(o["for"], "1h"), cmp.Or(o["host"], hubName))
	if t, ok := o["token"]; ok {
		text = t
	}
	name := hubName + "/devices/" + strings.Replace(id, "/", "/modules/", 1)
	msg := &amqp10.Message{Value: text, Properties: &amqp10.Properties{MessageID: id}}
	msg.ApplicationProperties.Set("operation", cmp.Or(o["operation"], "put-token"))
	msg.ApplicationProperties.Set("type", cmp.Or(o["type"], "servicebus.windows.net:sastoken"))
	msg.ApplicationProperties.Set("name", cmp.Or(o["name"], name))
	if err := c.sender["$cbs"].Send(amqp10.Outgoing{Message: msg}); err != nil {
		c.note("$cbs", "cannot send: %v", err)
	}
}

// attach attaches a link and notes what becomes of it. Deliveries wait for settle.
func (c *player) attach(link, direction, address string, words []string) {
	o, order := optionsOf(words)
	var properties amqp10.Fields
	for _, k := range order {
		if k != "credit" && k != "presettled" {
			properties.Set(amqp10.Symbol("com.microsoft:"+k), o[k])
		}
	}
	var attached atomic.Bool
	closed := func(err error) {
		if attached.Load() && link != "$cbs" {
			c.note(link, "closed: %s", errorText(err))
		}
	}
	var err error
	name := link
	if link == "$cbs" {
		name = direction + " cbs"
	}
	if direction == "to" {
		var s *amqp10.Sender
		s, err = c.sess.AttachSender(c.s.ctx, amqp10.SenderConfig{Name: name, Target: &amqp10.Target{Address: address}, Properties: properties, OnClose: closed})
		c.sender[link] = s
	} else {
		k := amqp10.ReceiverConfig{Name: name, Source: &amqp10.Source{Address: address}, Properties: properties, OnClose: closed,
			OnDelivery: func(d *amqp10.Delivery) { c.got(link, d) }}
		if _, ok := o["presettled"]; ok {
			mode := amqp10.SendSettled
			k.SenderMode = &mode
		}
		var r *amqp10.Receiver
		r, err = c.sess.AttachReceiver(c.s.ctx, k)
		c.receiver[link] = r
		if n, ok := o["credit"]; ok && err == nil {
			credit, _ := strconv.ParseUint(n, 10, 32)
			r.IssueCredit(uint32(credit))
		}
	}
	attached.Store(err == nil)
	switch {
	case err != nil:
		c.note(link, "refused: %s", errorText(err))
	case link != "$cbs":
		c.note(link, "attached")
	}
}

func errorText(err error) string {
	var e *amqp10.Error
	switch {
	case err == nil:
		return "-"
	case errors.As(err, &e):
		return fmt.Sprintf("%s %q", e.Condition, e.Description)
	}
	return err.Error()
}

// got notes a delivery.
func (c *player) got(link string, d *amqp10.Delivery) {
	msg, err := d.Message()
	if err != nil {
		c.s.t.Error(err)
		return
	}
	c.note(link, "got %s", textOf(msg))
	if link == "$cbs" {
		d.Accept()
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting[link] = append(c.waiting[link], d)
}

// settle settles the oldest delivery of a link, or the one with the number given.
func (c *player) settle(link, outcome string, words []string) {
	n := 0
	if len(words) > 0 {
		n = number(c.s.t, words[0])
	}
	c.mu.Lock()
	d := c.waiting[link][n]
	c.waiting[link] = slices.Delete(c.waiting[link], n, n+1)
	c.mu.Unlock()
	outcomes := map[string]amqp10.Outcome{"accepted": amqp10.Accepted, "released": amqp10.Released,
		"rejected": amqp10.Rejected(nil), "modified": amqp10.Modified(true, false), "none": {}}
	o, ok := outcomes[outcome]
	if !ok {
		c.s.t.Fatalf("no outcome %s", outcome)
	}
	d.Settle(o)
}

// send sends a message and notes its outcome.
func (c *player) send(link string, o amqp10.Outgoing) {
	o.Done = func(out amqp10.Outcome, err error) {
		switch {
		case err != nil:
			c.note(link, "unsettled: %s", errorText(err))
		case out.Kind == amqp10.KindAccepted:
			c.note(link, "accepted")
		case out.Error != nil:
			c.note(link, "%v: %s", out.Kind, errorText(out.Error))
		default:
			c.note(link, "%v", out.Kind)
		}
	}
	if err := c.sender[link].Send(o); err != nil {
		c.note(link, "cannot send: %s", errorText(err))
	}
}

// answer answers a method call, as Node's SDK does: with the correlation id as a
// UUID if it was one.
func (c *player) answer(link string, words []string) {
	c.mu.Lock()
	d := c.waiting["calls"][0]
	c.waiting["calls"] = c.waiting["calls"][1:]
	c.mu.Unlock()
	call, err := d.Message()
	if err != nil {
		c.s.t.Error(err)
		return
	}
	d.Accept()
	msg := messageOf(words)
	msg.Properties.CorrelationID = call.Properties.CorrelationID
	c.send(link, amqp10.Outgoing{Message: msg})
}

// messageOf makes a message of the words of a line. A body of N* is N bytes, - is
// none.
func messageOf(words []string) *amqp10.Message {
	msg := amqp10.NewMessage([]byte(words[0]))
	if n, err := strconv.Atoi(strings.TrimSuffix(words[0], "*")); err == nil && strings.HasSuffix(words[0], "*") {
		msg.SetData(bytes.Repeat([]byte("x"), n))
	}
	p := &amqp10.Properties{}
	for _, w := range words[1:] {
		k, v, _ := strings.Cut(w, "=")
		switch k[0] {
		case '$':
			setProperty(p, k[1:], v)
		case '@':
			msg.Annotations.Set(amqp10.Symbol(k[1:]), v)
		case '#':
			n, _ := strconv.Atoi(v)
			msg.ApplicationProperties.Set(k[1:], int32(n))
		default:
			msg.ApplicationProperties.Set(k, v)
		}
	}
	msg.Properties = p
	return msg
}

func setProperty(p *amqp10.Properties, name, v string) {
	switch name {
	case "id":
		p.MessageID = v
	case "cid":
		p.CorrelationID = v
		if u, err := amqp10.ParseUUID(v); err == nil {
			p.CorrelationID = u
		}
	case "to":
		p.To = v
	case "ct":
		p.ContentType = amqp10.Symbol(v)
	case "ce":
		p.ContentEncoding = amqp10.Symbol(v)
	case "uid":
		p.UserID = []byte(v)
	}
}

// textOf is a message as text, its annotations with @, its properties with $.
func textOf(m *amqp10.Message) string {
	var b strings.Builder
	switch {
	case m.Data != nil:
		b.WriteString(iottest.Body(bytes.Join(m.Data, nil)))
	default:
		fmt.Fprintf(&b, "%v", m.Value)
	}
	for _, a := range m.Annotations {
		fmt.Fprintf(&b, " @%s=%s", a.Key, valueText(a.Value))
	}
	if p := m.Properties; p != nil {
		for _, v := range []struct {
			name  string
			value any
		}{{"id", p.MessageID}, {"cid", p.CorrelationID}, {"uid", string(p.UserID)}, {"to", p.To},
			{"ct", string(p.ContentType)}, {"ce", string(p.ContentEncoding)}} {
			if _, uuid := v.value.(amqp10.UUID); uuid {
				v.value = "(uuid)"
			}
			if text := fmt.Sprint(v.value); v.value != nil && text != "" {
				fmt.Fprintf(&b, " $%s=%s", v.name, text)
			}
		}
		if !p.AbsoluteExpiry.IsZero() {
			fmt.Fprintf(&b, " $expiry=%s", valueText(p.AbsoluteExpiry))
		}
	}
	for _, p := range m.ApplicationProperties {
		fmt.Fprintf(&b, " %s=%s", p.Key, valueText(p.Value))
	}
	return b.String()
}

// valueText shows the type of what is not text.
func valueText(v any) string {
	switch v := v.(type) {
	case string:
		return strconv.Quote(v)
	case time.Time:
		return v.UTC().Format(time.RFC3339)
	case amqp10.UUID:
		return v.String()
	}
	return fmt.Sprintf("%T(%v)", v, v)
}

func number(t interface{ Fatal(...any) }, s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// withdraw writes a flow frame with a credit of 0, which amqp10 never does as a
// client.
func (c *player) withdraw(handle, count uint32) {
	frame := []byte{0, 0, 0, 49, 2, 0, 0, 0, 0, 0x53, 0x13, 0xc0, 36, 7}
	for _, v := range []uint32{0, 100, 1, 100, handle, count, 0} { // next-incoming-id to link-credit [AMQP 2.7.4]
		frame = binary.BigEndian.AppendUint32(append(frame, 0x70), v)
	}
	if _, err := c.nc.Write(frame); err != nil {
		c.s.t.Error(err)
	}
}
