package amqpservice

import (
	"fmt"
	"testing"
	"time"

	"sluice/amqp10"
)

func question(operation, kind, name, partition string) *amqp10.Message {
	m := &amqp10.Message{Properties: &amqp10.Properties{MessageID: "q1", ReplyTo: "me"}}
	m.ApplicationProperties.Set("operation", operation)
	m.ApplicationProperties.Set("type", kind)
	m.ApplicationProperties.Set("name", name)
	if partition != "" {
		m.ApplicationProperties.Set("partition", partition)
	}
	return m
}

func status(m *amqp10.Message) string {
	code, _ := m.ApplicationProperties.Get("status-code")
	condition, _ := m.ApplicationProperties.Get("error-condition")
	return fmt.Sprint(code, " ", condition)
}

func TestManagementTellsWhatThereIs(t *testing.T) {
	r := newRig(t)
	r.store(pump, 0, 3)
	a := r.trusted(t)
	hub := a.ask("$management", question("READ", typeHub, EventHub, ""))
	m, _ := hub.Value.(amqp10.Map)
	created, _ := m.Get("created_at")
	count, _ := m.Get("partition_count")
	v, _ := m.Get("partition_ids")
	ids, _ := v.(amqp10.Array)
	if places, _ := m.Get("georeplication_factor"); places != int32(1) {
		t.Errorf("it is in %v places", places)
	}
	if name, _ := m.Get("name"); status(hub) != "200 <nil>" || name != EventHub || count != int32(4) || fmt.Sprint(ids.Elems) != "[0 1 2 3]" ||
		!created.(time.Time).Equal(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)) {
		t.Errorf("the hub is %s, %v", status(hub), m)
	}
	full := r.events.PartitionOf(pump)
	for n := range 4 {
		answer := a.ask(EventHub+"/$management", question("READ", typePartition, "SLUICE-hub", fmt.Sprint(n)))
		m, _ := answer.Value.(amqp10.Map)
		got := ""
		for _, key := range []string{"partition", "begin_sequence_number", "last_enqueued_sequence_number", "is_partition_empty"} {
			v, _ := m.Get(key)
			got += fmt.Sprint(v, " ")
		}
		want := fmt.Sprintf("%d 0 -1 true ", n)
		if n == full {
			want = fmt.Sprintf("%d 0 2 false ", n)
		}
		if status(answer) != "200 <nil>" || got != want {
			t.Errorf("partition %d is %s, %s; want %s", n, status(answer), got, want)
		}
		if offset, _ := m.Get("last_enqueued_offset"); (offset == "-1") == (n == full) {
			t.Errorf("the last offset of partition %d is %v", n, offset)
		}
	}
}

func TestQuestionsThatHaveNoAnswer(t *testing.T) {
	r := newRig(t)
	a := r.trusted(t)
	for want, q := range map[string]*amqp10.Message{
		"501 amqp:not-implemented":                question("DELETE", typeHub, EventHub, ""),
		"404 amqp:not-found":                      question("READ", typeHub, "another", ""),
		"400 com.microsoft:argument-error":        question("READ", "com.microsoft:topic", EventHub, ""),
		"400 com.microsoft:argument-out-of-range": question("READ", typePartition, EventHub, "4"),
	} {
		if got := status(a.ask("$management", q)); got != want {
			t.Errorf("the answer is %s, want %s", got, want)
		}
	}
	if got := status(a.ask("$management", question("READ", typePartition, EventHub, "x"))); got != "400 com.microsoft:argument-out-of-range" {
		t.Errorf("the answer is %s", got)
	}
}

func TestAnswersThatAreNotReadEndTheLink(t *testing.T) {
	r := newRig(t)
	a := r.trusted(t)
	in := a.reader(amqp10.ReceiverConfig{Source: &amqp10.Source{Address: "$management"}}) // gives no credit
	out := a.sender("$management")
	for range maxAnswers + 1 {
		if _, err := out.Deliver(a.ctx, amqp10.Outgoing{Message: question("READ", typeHub, EventHub, "")}); err != nil {
			t.Fatal(err)
		}
	}
	if e := a.closed(in); e.Condition != amqp10.ErrResourceLimit {
		t.Errorf("the link ends with %v", e)
	}
}
