package amqpservice

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"sluice/amqp10"
	"sluice/internal/hub/storage"
	"sluice/iot"
)

// take receives the commands of an identity.
func (r *rig) take(id iot.Identity, n int) []iot.Delivery {
	r.t.Helper()
	got := make(chan iot.Delivery, n)
	receiver := r.commands.Receive(id, func(d iot.Delivery) { got <- d })
	defer receiver.Close()
	receiver.Grant(n)
	ctx := patience(r.t)
	var all []iot.Delivery
	for range n {
		select {
		case d := <-got:
			all = append(all, d)
		case <-ctx.Done():
			r.t.Fatalf("%d of %d commands came", len(all), n)
		}
	}
	return all
}

func commandTo(to string) *amqp10.Message {
	m := amqp10.NewMessage([]byte("close"))
	m.Properties = &amqp10.Properties{MessageID: "m1", To: to}
	return m
}

func TestCommandsAreStoredAsTheyWereSent(t *testing.T) {
	r := newRig(t)
	a := r.trusted(t)
	s := a.sender("/messages/deviceBound")
	expiry := time.Now().Add(time.Hour).UTC().Truncate(time.Millisecond)
	for to, id := range map[string]iot.Identity{
		"/devices/pump/messages/devicebound":                  pump,
		"/devices/p%75mp/modules/filter/messages/deviceBound": filter,
	} {
		m := commandTo(to)
		m.Properties.CorrelationID, m.Properties.ContentType, m.Properties.AbsoluteExpiry = "c1", "text/plain", expiry
		m.ApplicationProperties.Set("iothub-ack", "full")
		m.ApplicationProperties.Set("IoThub-status", int32(7))
		if o, err := s.Deliver(a.ctx, amqp10.Outgoing{Message: m}); err != nil || o.Kind != amqp10.KindAccepted {
			t.Fatalf("to %s: %+v, %v", to, o, err)
		}
		got := r.take(id, 1)[0].Message
		status, _ := got.Properties.Get("IoThub-status")
		if string(got.Body) != "close" || got.System.Get(iot.MessageID) != "m1" || got.System.Get(iot.CorrelationID) != "c1" ||
			got.System.Get(iot.ContentType) != "text/plain" || !got.Expiry().Equal(expiry) || status != "7" || got.System.Get(iot.Ack) != "full" {
			t.Errorf("to %s came %+v", to, got)
		}
	}
}

func TestCommandsThatCannotBeAreRejected(t *testing.T) {
	r := newRig(t)
	a := r.trusted(t)
	s := a.sender("messages/devicebound")
	const toPump = "/devices/pump/messages/devicebound"
	with := func(change func(m *amqp10.Message)) *amqp10.Message {
		m := commandTo(toPump)
		change(m)
		return m
	}
	for _, c := range []struct {
		name string
		m    *amqp10.Message
		want amqp10.Condition
	}{
		{"to nobody", commandTo(""), errArgument},
		{"without properties", amqp10.NewMessage(nil), errArgument},
		{"to something else", commandTo("/devices/pump/methods/devicebound"), errArgument},
		{"to an id that cannot be", commandTo("/devices/a b/messages/devicebound"), errArgument},
		{"to a module without a name", commandTo("/devices/pump/modules//messages/devicebound"), errArgument},
		{"to an unknown device", commandTo("/devices/valve/messages/devicebound"), amqp10.ErrNotFound},
		{"to an unknown module", commandTo("/devices/pump/modules/x/messages/devicebound"), amqp10.ErrNotFound},
		{"too large", with(func(m *amqp10.Message) { m.SetData(make([]byte, storage.MaxCommandSize+1)) }), amqp10.ErrMessageSizeExceeded},
		{"with an ack that is none", with(func(m *amqp10.Message) { m.ApplicationProperties.Set("iothub-ack", "loud") }), errArgument},
		{"that expires too late", with(func(m *amqp10.Message) { m.Properties.AbsoluteExpiry = time.Now().Add(1000 * time.Hour) }), errArgument},
		{"with a property that is a list", with(func(m *amqp10.Message) { m.ApplicationProperties.Set("a", []any{"b"}) }), errArgument},
	} {
		o, err := s.Deliver(a.ctx, amqp10.Outgoing{Message: c.m})
		if err != nil || o.Kind != amqp10.KindRejected || o.Error == nil || o.Error.Condition != c.want {
			t.Errorf("%s: %+v, %v; want %s", c.name, o, err, c.want)
		}
	}
	for n := range storage.MaxCommands + 1 {
		o, err := s.Deliver(a.ctx, amqp10.Outgoing{Message: commandTo(toPump)})
		if full := n == storage.MaxCommands; err != nil || full != (o.Kind == amqp10.KindRejected && o.Error.Condition == amqp10.ErrResourceLimit) {
			t.Fatalf("command %d: %+v, %v", n+1, o, err)
		}
	}
	if n := r.commands.Count(pump); n != storage.MaxCommands {
		t.Errorf("%d commands wait", n)
	}
}

// disk is a hub whose disk takes its time.
type disk struct {
	*rig
	begun chan iot.Identity
	write chan error
}

func (d *disk) SendCommand(id iot.Identity, m iot.Message) error {
	d.begun <- id
	select {
	case err := <-d.write:
		return err
	case <-d.life.Done(): // the test has failed
		return nil
	}
}

func TestACommandIsAcceptedOnceItIsStored(t *testing.T) {
	r := newRig(t)
	d := &disk{rig: r, begun: make(chan iot.Identity), write: make(chan error)}
	r.serve(Options{Hub: d, Events: r.events, Policy: policyOf, Hosts: []string{hubName}})
	a := r.trusted(t)
	s := a.sender("messages/devicebound")
	outcome := make(chan amqp10.Outcome, 1)
	send := func() {
		err := s.Send(amqp10.Outgoing{Message: commandTo("/devices/pump/messages/devicebound"), Done: func(o amqp10.Outcome, _ error) { outcome <- o }})
		if err != nil {
			t.Fatal(err)
		}
	}
	for s.Credit() == 0 { // it comes soon after the attach
		if a.ctx.Err() != nil {
			t.Fatal("no credit")
		}
	}
	send()
	<-d.begun
	a.ask("$management", question("READ", typeHub, EventHub, "")) // what was sent before has come
	select {
	case o := <-outcome:
		t.Fatalf("before it is stored, the outcome is %+v", o)
	default:
	}
	d.write <- nil
	if o := <-outcome; o.Kind != amqp10.KindAccepted {
		t.Errorf("the outcome is %+v", o)
	}
	send()
	<-d.begun
	d.write <- &iot.Error{Kind: iot.Internal, Op: "command", Detail: "secret of the disk"}
	if o := <-outcome; o.Kind != amqp10.KindRejected || o.Error.Condition != amqp10.ErrInternal || strings.Contains(o.Error.Description, "secret") {
		t.Errorf("after the disk has failed, the outcome is %+v", o)
	}
}

// end ends n commands, so that there is feedback.
func (r *rig) end(n int) {
	r.t.Helper()
	for range n {
		m := iot.Message{}
		m.System.Set(iot.Ack, "full")
		m.System.Set(iot.MessageID, "m1")
		if err := r.commands.Send(pump, m); err != nil {
			r.t.Fatal(err)
		}
	}
	if _, err := r.commands.Purge(pump); err != nil {
		r.t.Fatal(err)
	}
}

func (a *app) feedback(window uint32) *amqp10.Receiver {
	a.t.Helper()
	return a.reader(amqp10.ReceiverConfig{Source: &amqp10.Source{Address: "/messages/serviceBound/feedback"}, Window: window})
}

func (a *app) records(r *amqp10.Receiver) (*amqp10.Delivery, []storage.FeedbackRecord) {
	a.t.Helper()
	d, err := r.Receive(a.ctx)
	if err != nil {
		a.t.Fatal(err)
	}
	m, err := d.Message()
	if err != nil || m.Properties == nil || m.Properties.ContentType != feedbackType {
		a.t.Fatalf("feedback: %+v, %v", m, err)
	}
	var records []storage.FeedbackRecord
	if err := json.Unmarshal(m.Data[0], &records); err != nil {
		a.t.Fatal(err)
	}
	return d, records
}

func TestFeedbackComesUntilItIsAccepted(t *testing.T) {
	r := newRig(t)
	r.end(3)
	a := r.trusted(t)
	l := a.feedback(1)
	d, records := a.records(l)
	if len(records) != 3 || records[0].OriginalMessageID != "m1" || records[0].DeviceID != "pump" || records[0].StatusCode != "Purged" {
		t.Errorf("feedback is %+v", records)
	}
	d.Release()
	d, records = a.records(l)
	if len(records) != 3 {
		t.Errorf("after a release come %d records", len(records))
	}
	if err := l.Close(a.ctx); err != nil { // without an outcome
		t.Fatal(err)
	}
	d.Accept() // too late
	b := r.trusted(t)
	l = b.feedback(10)
	d, records = b.records(l)
	if len(records) != 3 {
		t.Errorf("after the link has ended come %d records", len(records))
	}
	d.Accept()
	r.end(1)
	if d, records = b.records(l); len(records) != 1 {
		t.Errorf("then come %d records", len(records))
	}
	d.Accept()
	ctx, cancel := context.WithTimeout(b.ctx, 100*time.Millisecond)
	defer cancel()
	if d, err := l.Receive(ctx); err == nil {
		t.Errorf("accepted records come again: %s", d.Payload())
	}
}

func TestFeedbackComesInMessagesOfBoundedLength(t *testing.T) {
	r := newRig(t)
	r.end(50)
	r.end(50)
	a := r.trusted(t)
	l := a.feedback(1)
	total := 0
	for total < 100 {
		d, records := a.records(l)
		if len(records) > maxRecords {
			t.Errorf("a message has %d records", len(records))
		}
		total += len(records)
		d.Accept()
	}
}
