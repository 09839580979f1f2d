package amqpservice

import (
	"slices"
	"strconv"
	"time"

	"sluice/amqp10"
	"sluice/internal/hub/storage"
)

// answers is a link from $management. Its client's address for replies is by what
// questions name it.
type answers struct {
	session *amqp10.Session
	address string // in the client's target; "" if there is none
	sender  *amqp10.Sender
	queue   []*amqp10.Message
}

// desks are the links from $management of one connection. They are used by its
// callbacks alone, and so need no lock.
type desks []*answers

const (
	// questionWindow is how many questions of one link are read ahead.
	questionWindow = 64
	// maxAnswers is how many answers wait for credit on one link.
	maxAnswers = 1024
	// maxQuestion is how large a question may be, in bytes.
	maxQuestion = 32 << 10
)

// acceptAnswers accepts a link from $management.
func (d *desk) acceptAnswers(r *amqp10.LinkRequest, l *link) *amqp10.Error {
	if refusal := d.knows(l.address); refusal != nil {
		return refusal
	}
	a := &answers{session: r.Session()}
	if r.Target != nil {
		a.address = r.Target.Address
	}
	a.sender = r.AcceptSender(amqp10.SenderConfig{
		OnCredit: func(uint32, bool) { a.flush() },
		OnClose: func(error) {
			d.asked = slices.DeleteFunc(d.asked, func(other *answers) bool { return other == a })
			d.gone(l)
		},
	})
	d.asked = append(d.asked, a)
	d.accepted(l, a.sender)
	return nil
}

// acceptQuestions accepts a link to $management.
func (d *desk) acceptQuestions(r *amqp10.LinkRequest, l *link) *amqp10.Error {
	if refusal := d.knows(l.address); refusal != nil {
		return refusal
	}
	d.accepted(l, r.AcceptReceiver(amqp10.ReceiverConfig{
		ReceiverMode:   settleFirst,
		Window:         questionWindow,
		MaxMessageSize: maxQuestion,
		OnDelivery:     d.answer,
		OnClose:        func(error) { d.gone(l) },
	}))
	return nil
}

// knows refuses the management of an Event Hub that is not ours.
func (d *desk) knows(a address) *amqp10.Error {
	if a.hub != "" && !d.service.isHub(a.hub) {
		return noHub(a.hub)
	}
	return nil
}

// answer answers one question, on the link that it names, or that is beside it.
func (d *desk) answer(in *amqp10.Delivery) {
	q, err := in.Message()
	if err != nil {
		in.Reject(amqp10.Errorf(amqp10.ErrDecode, "%v", err))
		return
	}
	to := d.asked.answersTo(in, q)
	in.Accept()
	if to == nil {
		return // nobody wants to know
	}
	m := d.service.reply(q)
	if q.Properties != nil {
		m.Properties = &amqp10.Properties{CorrelationID: q.Properties.MessageID}
		if q.Properties.CorrelationID != nil {
			m.Properties.CorrelationID = q.Properties.CorrelationID
		}
	}
	to.queue = append(to.queue, m)
	to.flush()
	if len(to.queue) > maxAnswers {
		to.sender.CloseWith(amqp10.Errorf(amqp10.ErrResourceLimit, "%d answers are not read", maxAnswers))
	}
}

func (all desks) answersTo(in *amqp10.Delivery, q *amqp10.Message) *answers {
	var beside, any *answers
	for _, a := range all {
		if q.Properties != nil && q.Properties.ReplyTo != "" && a.address == q.Properties.ReplyTo {
			return a
		}
		if a.session == in.Receiver().Session() {
			beside = a
		}
		any = a
	}
	if beside != nil {
		return beside
	}
	return any
}

// flush sends what there is credit for.
func (a *answers) flush() {
	for len(a.queue) > 0 {
		if a.sender.Send(amqp10.Outgoing{Message: a.queue[0], Settled: true}) == amqp10.ErrNoCredit {
			return
		}
		a.queue[0] = nil // sent, or the link has ended
		a.queue = a.queue[1:]
	}
}

// Types of what is managed.
const (
	typeHub       = "com.microsoft:eventhub"
	typePartition = "com.microsoft:partition"
)

// reply is the answer to a question
//
//	operation=READ, type={typeHub or typePartition}, name={event hub}, partition={n}
func (s *Service) reply(q *amqp10.Message) *amqp10.Message {
	p := q.ApplicationProperties
	body, status, condition, text := s.read(p.Text("operation"), p.Text("type"), p.Text("name"), p.Text("partition"))
	m := &amqp10.Message{Value: body}
	// Some SDKs know the one form of these names, some the other.
	m.ApplicationProperties.Set("status-code", status)
	m.ApplicationProperties.Set("status-description", text)
	if condition != "" {
		m.ApplicationProperties.Set("error-condition", amqp10.Symbol(condition))
	}
	return m
}

func (s *Service) read(operation, kind, name, partition string) (body any, status int32, condition amqp10.Condition, text string) {
	switch {
	case operation != "READ":
		return "", 501, amqp10.ErrNotImplemented, "operation must be READ"
	case !s.isHub(name):
		return "", 404, amqp10.ErrNotFound, noHub(name).Description
	case kind == typeHub:
		return s.describeHub(), 200, "", "OK"
	case kind != typePartition:
		return "", 400, errArgument, "type must be " + typeHub + " or " + typePartition
	}
	n, err := strconv.ParseUint(partition, 10, 16)
	if err != nil || int(n) >= s.opt.Events.Partitions() {
		return "", 400, errOutOfRange, noPartition(partition, s.opt.Events.Partitions()).Description
	}
	l, err := s.last(int(n))
	if err != nil {
		s.opt.Log.Error("amqpservice: a partition could not be read", "partition", n, "err", err)
		return "", 500, amqp10.ErrInternal, "the partition could not be read"
	}
	return s.describePartition(int(n), l), 200, "", "OK"
}

func (s *Service) describeHub() amqp10.Map {
	ids := amqp10.Array{}
	for n := range s.opt.Events.Partitions() {
		ids.Elems = append(ids.Elems, strconv.Itoa(n))
	}
	return amqp10.Map{
		{Key: "name", Value: s.opt.EventHub},
		{Key: "type", Value: typeHub},
		{Key: "created_at", Value: s.opt.Created},
		{Key: "partition_count", Value: int32(len(ids.Elems))},
		{Key: "partition_ids", Value: ids},
		{Key: "georeplication_factor", Value: int32(1)}, // the event hub is in one place; new clients insist on it
	}
}

func (s *Service) describePartition(n int, l last) amqp10.Map {
	return amqp10.Map{
		{Key: "name", Value: s.opt.EventHub},
		{Key: "type", Value: typePartition},
		{Key: "partition", Value: strconv.Itoa(n)},
		{Key: "begin_sequence_number", Value: int64(l.first)},
		{Key: "last_enqueued_sequence_number", Value: l.sequence},
		{Key: "last_enqueued_offset", Value: l.offset},
		{Key: "last_enqueued_time_utc", Value: l.enqueued},
		{Key: "is_partition_empty", Value: l.empty},
	}
}

// last is the last event of a partition.
type last struct {
	first    uint64 // sequence number of the oldest event that is kept
	sequence int64  // -1 if there never was an event
	offset   string
	enqueued time.Time
	empty    bool // none is kept
}

func (s *Service) last(n int) (last, error) {
	stats, err := s.opt.Events.Stats(n)
	if err != nil {
		return last{}, err
	}
	l := last{first: stats.First, sequence: int64(stats.Next) - 1, offset: "-1", enqueued: stats.LastTime, empty: stats.First == stats.Next}
	if l.empty {
		return l, nil
	}
	r, err := s.opt.Events.Reader(n, storage.AtSequence(stats.Next-1))
	if err != nil {
		return l, err
	}
	events, err := r.Poll(1)
	if len(events) == 1 {
		e := &events[0]
		l.sequence, l.offset, l.enqueued = int64(e.Sequence), strconv.FormatUint(e.Offset, 10), e.Enqueued
	}
	return l, err
}
