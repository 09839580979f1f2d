package amqpservice

import (
	"bytes"
	"fmt"
	"math"
	"runtime"
	"slices"
	"testing"
	"time"

	"sluice/amqp10"
	"sluice/iot"
)

func TestReadersBeginWhereTheyAsk(t *testing.T) {
	r := newRig(t)
	r.store(pump, 0, 10)
	a := r.trusted(t)
	all := a.reader(r.reading(""))
	all.IssueCredit(100)
	seen := a.next(all, 10)
	offset := func(n int) string { return seen[n].Annotations.Text("x-opt-offset") }
	at, _ := seen[9].Annotations.Get("x-opt-enqueued-time")
	millis := at.(time.Time).UnixMilli()
	for _, c := range []struct{ selector, first string }{
		{"", "0"},
		{"amqp.annotation.x-opt-offset > '-1'", "0"},
		{"amqp.annotation.x-opt-offset >= '" + offset(4) + "'", "4"},
		{"amqp.annotation.x-opt-offset > '" + offset(4) + "'", "5"},
		{"amqp.annotation.x-opt-offset > '" + offset(9) + "'", "10"},
		{"amqp.annotation.x-opt-offset > '@latest'", "10"},
		{"amqp.annotation.x-opt-sequence-number > '3'", "4"},
		{"amqp.annotation.x-opt-sequence-number >= 3", "3"},
		{"amqp.annotation.x-opt-sequence-number > '-1'", "0"},
		{fmt.Sprintf("amqp.annotation.x-opt-enqueued-time >= '%d'", millis+1000), "10"},
		{fmt.Sprintf("amqp.annotation.x-opt-enqueued-time > '%d'", millis-100_000), "0"},
	} {
		reader := a.reader(r.reading(c.selector))
		reader.IssueCredit(1)
		if c.first == "10" {
			defer func() {
				if got := numbers(a.next(reader, 1)); got != "10" {
					t.Errorf("%q begins at %s, want what is new", c.selector, got)
				}
			}()
		} else if got := numbers(a.next(reader, 1)); got != c.first {
			t.Errorf("%q begins at %s, want %s", c.selector, got, c.first)
		}
		if c.first != "10" {
			if err := reader.Close(a.ctx); err != nil {
				t.Error(err)
			}
		}
	}
	all.CloseWith(nil)
	r.store(pump, 10, 1)
}

func TestEventsTellWhoSentThemAndHow(t *testing.T) {
	r := newRig(t)
	m := iot.Message{Body: []byte("21.5")}
	m.Stamp(filter)
	for name, value := range map[iot.SystemName]string{
		iot.MessageID: "m1", iot.CorrelationID: "c1", iot.UserID: "u1", iot.ContentType: "text/plain", iot.ContentEncoding: "utf-8",
		iot.ConnectionAuthMethod: `{"scope":"module"}`, iot.ConnectionDeviceGenerationID: "g1",
		iot.ComponentName: "thermostat", iot.ModelID: "dtmi:a;1", iot.InterfaceID: "i1",
		iot.CreationTime: "2026-01-02T03:04:05Z", iot.MessageSchema: "s1", iot.OutputName: "out",
	} {
		m.System.Set(name, value)
	}
	m.Properties.Set("limit", "5")
	r.append(filter, []iot.Message{m})
	a := r.trusted(t)
	reader := a.reader(r.reading("", func(k *amqp10.ReceiverConfig) { k.Desired = []amqp10.Symbol{metricsProperty} }))
	if !slices.Contains(reader.Offered(), metricsProperty) {
		t.Error("runtime metrics are not offered")
	}
	reader.IssueCredit(1)
	got := a.next(reader, 1)[0]
	for name, want := range map[amqp10.Symbol]any{
		"iothub-connection-device-id": "pump", "iothub-connection-module-id": "filter",
		"iothub-connection-auth-method": `{"scope":"module"}`, "iothub-connection-auth-generation-id": "g1",
		"iothub-message-source": "Telemetry", "dt-subject": "thermostat", "dt-dataschema": "dtmi:a;1", "iothub-interface-id": "i1",
		"x-opt-sequence-number": int64(0), "x-opt-offset": "0", "x-opt-partition-key": "pump",
	} {
		if v, _ := got.Annotations.Get(name); v != want {
			t.Errorf("annotation %s is %v, want %v", name, v, want)
		}
	}
	for _, name := range []amqp10.Symbol{"x-opt-enqueued-time", "iothub-enqueuedtime"} {
		v, _ := got.Annotations.Get(name)
		if at, _ := v.(time.Time); time.Since(at).Abs() > time.Minute {
			t.Errorf("annotation %s is %v", name, v)
		}
	}
	if p := got.Properties; p.MessageID != "m1" || p.CorrelationID != "c1" || string(p.UserID) != "u1" || p.ContentType != "text/plain" || p.ContentEncoding != "utf-8" {
		t.Errorf("properties are %+v", p)
	}
	want := "limit=5 iothub-creation-time-utc=2026-01-02T03:04:05Z iothub-message-schema=s1 iothub-outputname=out"
	for _, p := range got.ApplicationProperties {
		if !bytes.Contains([]byte(want), fmt.Append(nil, p.Key, "=", p.Value)) {
			t.Errorf("application property %s is %v", p.Key, p.Value)
		}
	}
	if len(got.ApplicationProperties) != 4 {
		t.Errorf("application properties are %v", got.ApplicationProperties)
	}
	if v, _ := got.DeliveryAnnotations.Get("last_enqueued_sequence_number"); v != int64(0) || got.DeliveryAnnotations.Text("last_enqueued_offset") != "0" {
		t.Errorf("delivery annotations are %v", got.DeliveryAnnotations)
	}
}

func TestAReaderGetsWhatItHasCreditFor(t *testing.T) {
	r := newRig(t)
	r.store(pump, 0, 5)
	a := r.trusted(t)
	reader := a.reader(r.reading(""))
	reader.IssueCredit(2)
	if got := numbers(a.next(reader, 2)); got != "0 1" {
		t.Errorf("got %s", got)
	}
	reader.IssueCredit(10)
	if err := reader.Drain(a.ctx); err != nil { // what there is comes before the rest goes back
		t.Fatal(err)
	}
	if got := numbers(a.next(reader, 3)); got != "2 3 4" {
		t.Errorf("drained %s", got)
	}
	r.store(pump, 5, 2)
	reader.IssueCredit(1)
	if got := numbers(a.next(reader, 1)); got != "5" {
		t.Errorf("after the drain, got %s", got)
	}
}

func TestLargeEventsComeInOrder(t *testing.T) {
	r := newRig(t)
	const n, size = 60, 200_000
	for i := range n {
		m := iot.Message{Body: append(fmt.Appendf(nil, "%d ", i), make([]byte, size)...)}
		m.Stamp(pump)
		r.append(pump, []iot.Message{m})
	}
	a := r.trusted(t)
	reader := a.reader(r.reading("", func(k *amqp10.ReceiverConfig) { k.Window = 1000 }))
	for i, m := range a.next(reader, n) {
		if !bytes.HasPrefix(m.Data[0], fmt.Appendf(nil, "%d ", i)) || len(m.Data[0]) < size {
			t.Fatalf("event %d begins with %.10q", i, m.Data[0])
		}
	}
}

func TestB3_AReaderThatStopsReadingCostsLittleAndNobodyElse(t *testing.T) {
	r := newRig(t)
	const n, size = 400, 200_000
	body := make([]byte, size)
	for range n {
		m := iot.Message{Body: body}
		m.Stamp(pump)
		r.append(pump, []iot.Message{m})
	}
	heap := func() int64 {
		var s runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&s)
		return int64(s.HeapAlloc)
	}
	before, most := heap(), int64(0)
	conn, err := r.dialWith(amqp10.ClientConfig{Login: withKey(), Limits: amqp10.Limits{Held: 1 << 10}})
	ended := r.served
	stuck := newApp(t, conn, err)
	reader := stuck.reader(r.reading(""))
	reader.IssueCredit(math.MaxUint32)
	other := r.trusted(t)
	others := other.reader(r.reading("", func(k *amqp10.ReceiverConfig) { k.Window = 10 }))
	for i := range n {
		other.next(others, 1)
		if i%20 == 0 {
			most = max(most, heap()-before)
		}
	}
	select {
	case <-ended: // a write made no progress
	case <-stuck.ctx.Done():
		t.Fatal("the connection goes on")
	}
	if most > 32<<20 {
		t.Errorf("the heap grew by %d bytes, of events of %d", most, n*size)
	}
}

func TestManyReadersFollowOnePartition(t *testing.T) {
	r := newRig(t)
	a, b := r.trusted(t), r.trusted(t)
	var readers []*amqp10.Receiver
	for i, c := range []*app{a, b, a, b, a} {
		reader := c.reader(r.reading(""))
		reader.IssueCredit(1000)
		readers = append(readers, reader)
		r.store(pump, i, 1)
	}
	if e := a.refusal(r.reading("")); e.Condition != amqp10.ErrResourceLimit {
		t.Errorf("a sixth reader hears %v", e)
	}
	other := r.reading("")
	other.Source.Address = r.partitionAddress("Reports")
	elsewhere := b.reader(other)
	elsewhere.IssueCredit(10)
	for _, reader := range append(readers, elsewhere) {
		if got := numbers(a.next(reader, 5)); got != "0 1 2 3 4" {
			t.Errorf("a reader got %s", got)
		}
	}
	if err := readers[0].Close(a.ctx); err != nil {
		t.Fatal(err)
	}
	a.reader(r.reading("")) // its place is free
}

func TestAReaderWithAnEpochIsAlone(t *testing.T) {
	r := newRig(t)
	a, b := r.trusted(t), r.trusted(t)
	plain := a.reader(r.reading(""))
	first := b.reader(r.reading("", epoch(1)))
	if e := a.closed(plain); e.Condition != amqp10.ErrStolen {
		t.Errorf("the reader without an epoch hears %v", e)
	}
	if e := a.refusal(r.reading("")); e.Condition != amqp10.ErrStolen {
		t.Errorf("a second reader without an epoch hears %v", e)
	}
	if e := a.refusal(r.reading("", epoch(0))); e.Condition != amqp10.ErrStolen {
		t.Errorf("a lower epoch hears %v", e)
	}
	same := a.reader(r.reading("", epoch(1)))
	if e := b.closed(first); e.Condition != amqp10.ErrStolen {
		t.Errorf("the first of the same epoch hears %v", e)
	}
	higher := b.reader(r.reading("", epoch(7)))
	if e := a.closed(same); e.Condition != amqp10.ErrStolen {
		t.Errorf("the lower epoch hears %v", e)
	}
	r.store(pump, 0, 1)
	higher.IssueCredit(1)
	if got := numbers(b.next(higher, 1)); got != "0" {
		t.Errorf("the one that has taken over got %s", got)
	}
	other := r.reading("")
	other.Source.Address = r.partitionAddress("reports")
	a.reader(other) // epochs are of a group
	if err := higher.Close(b.ctx); err != nil {
		t.Fatal(err)
	}
	a.reader(r.reading("")) // it is not remembered
}

func TestReadersThatCannotBe(t *testing.T) {
	r := newRig(t)
	a := r.trusted(t)
	at := func(address string) amqp10.ReceiverConfig {
		return amqp10.ReceiverConfig{Source: &amqp10.Source{Address: address}}
	}
	for _, c := range []struct {
		k    amqp10.ReceiverConfig
		want amqp10.Condition
	}{
		{at(EventHub + "/ConsumerGroups/nobody/Partitions/0"), amqp10.ErrNotFound},
		{at("another/ConsumerGroups/$Default/Partitions/0"), amqp10.ErrNotFound},
		{at(EventHub + "/ConsumerGroups/$Default/Partitions/4"), errOutOfRange},
		{at(EventHub + "/ConsumerGroups/$Default/Partitions/-1"), amqp10.ErrNotFound},
		{at(EventHub), amqp10.ErrNotFound},
		{at("another/$management"), amqp10.ErrNotFound},
		{r.reading("x-opt-offset > 1"), errArgument},
		{r.reading("amqp.annotation.x-opt-offset > 'one'"), errArgument},
	} {
		if e := a.refusal(c.k); e.Condition != c.want {
			t.Errorf("%s hears %v, want %v", c.k.Source.Address, e, c.want)
		}
	}
}

func TestAReaderHearsThatAnEventIsTooLargeForIt(t *testing.T) {
	r := newRig(t)
	m := iot.Message{Body: make([]byte, 5000)}
	m.Stamp(pump)
	r.append(pump, []iot.Message{m})
	a := r.trusted(t)
	reader := a.reader(r.reading("", func(k *amqp10.ReceiverConfig) { k.MaxMessageSize = 4000 }))
	reader.IssueCredit(1)
	if e := a.closed(reader); e.Condition != amqp10.ErrMessageSizeExceeded {
		t.Errorf("it hears %v", e)
	}
}

func TestReadersEndWithTheLog(t *testing.T) {
	r := newRig(t)
	a := r.trusted(t)
	reader := a.reader(r.reading("", func(k *amqp10.ReceiverConfig) { k.Window = 1 }))
	if err := r.events.Close(); err != nil {
		t.Fatal(err)
	}
	if e := a.closed(reader); e.Condition != amqp10.ErrDetachForced {
		t.Errorf("it hears %v", e)
	}
}

// Everything that waits ends with the hub, and at once.
func TestReadersEndWithTheHub(t *testing.T) {
	r := newRig(t)
	a := r.trusted(t)
	waiting := a.reader(r.reading(""))
	waiting.IssueCredit(1)
	a.reader(r.reading("")) // without credit
	a.reader(amqp10.ReceiverConfig{Source: &amqp10.Source{Address: "/messages/servicebound/feedback"}, Window: 1})
	r.stop()
	select {
	case <-a.conn.Done():
	case <-a.ctx.Done():
		t.Fatal("the connection goes on")
	}
}

// Readers that give no credit hold nothing, however much there is; with credit, each
// gets all of it in order.
func TestB2_ReadersWithoutCreditHoldNothing(t *testing.T) {
	r := newRig(t)
	a := r.trusted(t)
	const readers, events = 5, 5000
	var all []*amqp10.Receiver
	for range readers {
		all = append(all, a.reader(r.reading("")))
	}
	for range events / 1000 {
		r.append(pump, telemetry(1000))
	}
	before := allocated()
	for _, reader := range all {
		reader.IssueCredit(1)
		d, err := reader.Receive(a.ctx)
		if err != nil {
			t.Fatal(err)
		}
		d.Accept()
	}
	// What one read of the log may give at most, each would have to hold.
	if n := allocated() - before; n > 1<<20 {
		t.Errorf("%d bytes were allocated to send %d events", n, readers)
	}
	last := all[0]
	for n := 1; n < events; {
		last.IssueCredit(500)
		for range min(500, events-n) {
			d, err := last.Receive(a.ctx)
			if err != nil {
				t.Fatal(err)
			}
			m, err := d.Message()
			if err != nil {
				t.Fatal(err)
			}
			if got, _ := m.Annotations.Get("x-opt-sequence-number"); got != int64(n) {
				t.Fatalf("event %v after %d", got, n-1)
			}
			d.Accept()
			n++
		}
	}
}

// allocated is how many bytes ever were.
func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}
