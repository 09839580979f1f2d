package amqpservice

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/amqp10"
	"sluice/internal/transcript"
)

// A conversation writes down what an application, C, and the service, S, say to each
// other, and compares it with a file of testdata.
type conversation struct {
	*app
	text  strings.Builder
	named map[*amqp10.Receiver]string
}

func converse(t *testing.T, a *app, about string) *conversation {
	c := &conversation{app: a, named: map[*amqp10.Receiver]string{}}
	c.say("# %s", about)
	return c
}

func (c *conversation) say(format string, args ...any) { fmt.Fprintf(&c.text, format+"\n", args...) }

// compare ends the conversation.
func (c *conversation) compare(name string) {
	c.t.Helper()
	transcript.Compare(c.t, filepath.Join("testdata", name+".txt"), c.text.String())
}

func (c *conversation) putToken(text, what string) {
	c.t.Helper()
	c.say("C> put to $cbs a token %s", what)
	status, description := c.put(text)
	c.say("S> %d %s", status, description)
}

// from attaches a receiver.
func (c *conversation) from(name string, k amqp10.ReceiverConfig) *amqp10.Receiver {
	c.t.Helper()
	c.say("C> attach %s from %s%s%s", name, k.Source.Address, fields(" filter", k.Source.Filter), fields(" properties", k.Properties))
	r, err := c.session.AttachReceiver(c.ctx, k)
	var refused *amqp10.Error
	switch {
	case err == nil:
		c.say("S> attached %s%s", name, fields(" filter", r.Source().Filter))
		c.named[r] = name
	case errors.As(err, &refused) && refused.Remote:
		c.say("S> refused %s: %s %q%s", name, refused.Condition, refused.Description, fields(" info", refused.Info))
	default:
		c.t.Fatal(err)
	}
	return r
}

func (c *conversation) credit(r *amqp10.Receiver, n uint32) {
	c.say("C> %s credit=%d", c.named[r], n)
	r.IssueCredit(n)
}

// comes waits for n messages of a receiver, and settles them.
func (c *conversation) comes(r *amqp10.Receiver, n int, o amqp10.Outcome) {
	c.t.Helper()
	for range n {
		d, err := r.Receive(c.ctx)
		if err != nil {
			c.t.Fatal(err)
		}
		m, err := d.Message()
		if err != nil {
			c.t.Fatal(err)
		}
		c.say("S> %s %s", c.named[r], sections(m))
		if !d.Settled() {
			c.say("C> %s %s", c.named[r], outcome(o))
		}
		d.Settle(o)
	}
}

// ends waits until the service has closed a receiver.
func (c *conversation) ends(r *amqp10.Receiver) {
	c.t.Helper()
	e := c.closed(r)
	c.say("S> closed %s: %s %q", c.named[r], e.Condition, e.Description)
}

func (c *conversation) deliver(s *amqp10.Sender, address string, m *amqp10.Message) {
	c.t.Helper()
	c.say("C> %s %s", address, sections(m))
	o, err := s.Deliver(c.ctx, amqp10.Outgoing{Message: m})
	if err != nil {
		c.t.Fatal(err)
	}
	c.say("S> %s %s", address, outcome(o))
}

func (c *conversation) question(node string, m *amqp10.Message) {
	c.t.Helper()
	c.say("C> %s %s", node, sections(m))
	c.say("S> %s %s", node, sections(c.ask(node, m)))
}

func outcome(o amqp10.Outcome) string {
	if o.Error != nil {
		return fmt.Sprintf("%v %s %q", o.Kind, o.Error.Condition, o.Error.Description)
	}
	return fmt.Sprint(o.Kind)
}

// sections is a message on a line.
func sections(m *amqp10.Message) string {
	var b strings.Builder
	switch {
	case len(m.Data) > 0:
		fmt.Fprintf(&b, "data %s", m.Data[0])
	default:
		fmt.Fprintf(&b, "value %s", value(m.Value))
	}
	if p := m.Properties; p != nil {
		for _, v := range []struct {
			name  string
			value any
		}{
			{"message-id", p.MessageID}, {"correlation-id", p.CorrelationID}, {"user-id", string(p.UserID)}, {"to", p.To},
			{"reply-to", p.ReplyTo}, {"content-type", string(p.ContentType)}, {"content-encoding", string(p.ContentEncoding)},
		} {
			if v.value != nil && v.value != "" {
				fmt.Fprintf(&b, " $%s=%v", v.name, v.value)
			}
		}
	}
	b.WriteString(fields(" annotations", m.Annotations))
	b.WriteString(fields(" delivery-annotations", m.DeliveryAnnotations))
	for i, p := range m.ApplicationProperties {
		if i == 0 {
			b.WriteString(" application-properties")
		}
		fmt.Fprintf(&b, " %s=%s", p.Key, value(p.Value))
	}
	return b.String()
}

func fields(what string, all amqp10.Fields) string {
	if len(all) == 0 {
		return ""
	}
	text := what
	for _, f := range all {
		text += fmt.Sprintf(" %s=%s", f.Key, value(f.Value))
	}
	return text
}

// value is a value with its type where a reader of the wire would mind.
func value(v any) string {
	switch v := v.(type) {
	case string:
		return fmt.Sprintf("%q", v)
	case time.Time:
		if time.Since(v).Abs() < time.Hour {
			return "time(now)"
		}
		return fmt.Sprintf("time(%s)", v.UTC().Format(time.RFC3339))
	case amqp10.Described:
		return fmt.Sprintf("described(%#x, %s)", v.Descriptor, value(v.Value))
	case amqp10.Array:
		return fmt.Sprintf("array%q", v.Elems)
	case amqp10.Map:
		var list []string
		for _, e := range v {
			list = append(list, fmt.Sprintf("%v=%s", e.Key, value(e.Value)))
		}
		return "{" + strings.Join(list, " ") + "}"
	case nil:
		return "null"
	}
	return fmt.Sprintf("%T(%v)", v, v)
}

func TestConversationOfReaders(t *testing.T) {
	r := newRig(t)
	batch := telemetry(2)
	for i := range batch {
		batch[i].Body = fmt.Appendf(nil, `{"n":%d}`, i)
	}
	r.append(pump, batch)
	c := converse(t, r.app(t), "an application reads events, and another takes over")
	begin := func(options ...func(*amqp10.ReceiverConfig)) amqp10.ReceiverConfig {
		return r.reading("amqp.annotation.x-opt-offset > '-1'", options...)
	}
	c.from("early", begin())
	c.putToken(eventHubToken(t, EventHub, time.Hour), "of policy service for sb://"+hubName+"/"+EventHub)
	c.question("$management", question("READ", typeHub, EventHub, ""))
	c.question("$management", question("READ", typePartition, EventHub, fmt.Sprint(r.events.PartitionOf(pump))))
	c.question("$management", question("READ", typePartition, EventHub, "9"))
	first := c.from("first", begin(epoch(1)))
	c.credit(first, 100)
	c.comes(first, 2, amqp10.Accepted)
	second := c.from("second", begin(epoch(2), func(k *amqp10.ReceiverConfig) { k.Desired = []amqp10.Symbol{metricsProperty} }))
	c.ends(first)
	c.credit(second, 1)
	c.comes(second, 1, amqp10.Accepted)
	c.from("third", begin(epoch(1)))
	c.from("fourth", begin())
	c.compare("readers")
}

func TestConversationOfCommands(t *testing.T) {
	r := newRig(t)
	c := converse(t, r.app(t), "an application sends commands, and hears what became of them")
	c.putToken(token(t, "", "device", deviceKey, time.Hour), "of policy device")
	c.putToken(token(t, "", "service", serviceKey, time.Hour), "of policy service for the hub")
	feedback := c.from("feedback", amqp10.ReceiverConfig{Source: &amqp10.Source{Address: "/messages/serviceBound/feedback"}})
	c.from("files", amqp10.ReceiverConfig{Source: &amqp10.Source{Address: "/messages/serviceBound/filenotifications"}})
	c.from("events", amqp10.ReceiverConfig{Source: &amqp10.Source{Address: "messages/events/ConsumerGroups/$Default/Partitions/0"}})
	const address = "/messages/devicebound"
	s := c.sender(address)
	m := commandTo("/devices/pump/messages/devicebound")
	m.ApplicationProperties.Set("iothub-ack", "full")
	c.deliver(s, address, m)
	c.deliver(s, address, commandTo("/devices/valve/messages/devicebound"))
	c.deliver(s, address, commandTo("pump"))
	c.say("! the queue of pump is purged")
	if _, err := r.commands.Purge(pump); err != nil {
		t.Fatal(err)
	}
	c.credit(feedback, 2)
	d, records := c.records(feedback)
	c.say("S> feedback data [%d record: %s %s]", len(records), records[0].OriginalMessageID, records[0].StatusCode)
	c.say("C> feedback released")
	d.Release()
	d, records = c.records(feedback)
	c.say("S> feedback data [%d record: %s %s]", len(records), records[0].OriginalMessageID, records[0].StatusCode)
	c.say("C> feedback accepted")
	d.Accept()
	c.compare("commands")
}
