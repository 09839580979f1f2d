package amqpservice

import (
	"context"
	"errors"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"sluice/amqp10"
	"sluice/internal/hub/storage"
)

// A reader sends the events of a partition on a link. It holds at most what the log
// gives at a time, about a megabyte.
type reader struct {
	desk      *desk
	link      *link
	sender    *amqp10.Sender
	partition int
	metrics   bool // the last event of the partition is told with each

	life   context.Context // ends with the link
	stop   context.CancelFunc
	credit chan struct{} // has room for one

	mu     sync.Mutex
	log    storage.EventReader
	queue  []storage.Event // read and not sent
	form   form
	failed error
}

// readAtOnce is how many events are read from the log at a time.
const readAtOnce = 500

// Names in the attach of a reader.
const (
	epochProperty   amqp10.Symbol = "com.microsoft:epoch"
	metricsProperty amqp10.Symbol = "com.microsoft:enable-receiver-runtime-metric"
)

func noHub(name string) *amqp10.Error {
	return amqp10.Errorf(amqp10.ErrNotFound, "there is no Event Hub %.300q", name)
}

func noPartition(id string, n int) *amqp10.Error {
	return amqp10.Errorf(errOutOfRange, "there is no partition %.100q: there are 0 to %d", id, n-1)
}

func (s *Service) isHub(name string) bool { return strings.EqualFold(name, s.opt.EventHub) }

// acceptReader accepts a link on which an application reads a partition.
func (d *desk) acceptReader(r *amqp10.LinkRequest, l *link) *amqp10.Error {
	s, a := d.service, l.address
	group, known := s.group(a.group)
	switch {
	case !s.isHub(a.hub):
		return noHub(a.hub)
	case !known:
		return amqp10.Errorf(amqp10.ErrNotFound, "there is no consumer group %.300q: name it with --consumer-group when the hub is started", a.group)
	case a.n >= s.opt.Events.Partitions():
		return noPartition(strconv.Itoa(a.n), s.opt.Events.Partitions())
	}
	from, agreed, refusal := position(r.Source.Filter)
	if refusal != nil {
		return refusal
	}
	log, err := s.opt.Events.Reader(a.n, from)
	if err != nil {
		s.opt.Log.Error("amqpservice: a partition could not be read", "partition", a.n, "err", err)
		return amqp10.Errorf(amqp10.ErrInternal, "the partition could not be read")
	}
	at, chair := place{group, a.n}, &seat{epoch: epochOf(r), leave: func(why *amqp10.Error) { d.end(l, why) }}
	if refusal := s.seats.take(at, chair); refusal != nil {
		return refusal
	}
	rd := &reader{
		desk: d, link: l, partition: a.n, log: log, credit: make(chan struct{}, 1),
		metrics: slices.Contains(r.Desired, metricsProperty),
	}
	rd.life, rd.stop = context.WithCancel(d.life)
	rd.attach(r, agreed, func() { s.seats.give(at, chair) })
	return nil
}

// epochOf is the owner level that a reader asks for.
func epochOf(r *amqp10.LinkRequest) int64 {
	v, _ := r.Properties.Get(epochProperty)
	switch n := v.(type) {
	case int64:
		return max(n, 0)
	case int32:
		return int64(max(n, 0))
	case uint32:
		return int64(n)
	}
	return noEpoch
}

func (r *reader) attach(req *amqp10.LinkRequest, agreed amqp10.Fields, leave func()) {
	source := *req.Source
	source.Filter = agreed
	k := amqp10.SenderConfig{
		Source:   &source,
		OnCredit: r.onCredit,
		OnClose: func(error) {
			r.stop()
			leave()
			r.desk.gone(r.link)
		},
	}
	if r.metrics {
		k.Offered = []amqp10.Symbol{metricsProperty}
	}
	r.mu.Lock()
	r.sender = req.AcceptSender(k)
	r.mu.Unlock()
	r.desk.accepted(r.link, r.sender)
	r.desk.work.Go(r.run)
}

// onCredit lets run go on. One who drains is to have what there is before the credit
// is given back.
func (r *reader) onCredit(_ uint32, drain bool) {
	if drain {
		_, _ = r.pump() // run hears of an error too
	}
	poke(r.credit)
}

// run sends until the link ends.
func (r *reader) run() {
	defer r.stop()
	for {
		next, err := r.pump()
		if err == nil {
			err = r.wait(next)
		}
		if r.life.Err() != nil {
			return
		}
		if err != nil {
			r.fail(err)
			return
		}
	}
}

// pump sends what there is credit for. It returns the sequence number of the event
// that is not there yet, or -1 if it was the credit that ended.
func (r *reader) pump() (next int64, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.failed == nil {
		credit := r.sender.Credit()
		if credit == 0 {
			return -1, nil
		}
		if len(r.queue) == 0 {
			r.queue, r.failed = r.log.Poll(int(min(credit, readAtOnce)))
			if len(r.queue) == 0 && r.failed == nil {
				return int64(r.log.Next()), nil
			}
		}
		if r.failed == nil {
			r.failed = r.send()
		}
	}
	return 0, r.failed
}

// send sends the queue, as far as there is credit.
func (r *reader) send() error {
	metrics, err := r.metricsNow()
	if err != nil {
		return err
	}
	for i := range r.queue {
		m := r.form.fill(&r.queue[i])
		m.DeliveryAnnotations = metrics
		err := r.sender.Send(amqp10.Outgoing{Message: m, Settled: true})
		if errors.Is(err, amqp10.ErrNoCredit) {
			r.queue = r.queue[i:]
			return nil
		}
		if err != nil {
			return err
		}
	}
	r.queue = nil
	return nil
}

// wait waits for credit, or for the event next to be there.
func (r *reader) wait(next int64) error {
	if next < 0 {
		select {
		case <-r.credit:
		case <-r.life.Done():
		}
		return nil
	}
	return r.desk.service.opt.Events.Wait(r.life, r.partition, uint64(next))
}

// fail closes the link, if it is there.
func (r *reader) fail(err error) {
	var wire *amqp10.Error
	switch {
	case errors.Is(err, net.ErrClosed):
	case errors.As(err, &wire): // of the link, or an event is too large for it
		r.sender.CloseWith(wire)
	case errors.Is(err, storage.ErrClosed):
		r.sender.CloseWith(amqp10.Errorf(amqp10.ErrDetachForced, "the hub stops"))
	default:
		r.desk.service.opt.Log.Error("amqpservice: a reader was ended", "partition", r.partition, "err", err)
		r.sender.CloseWith(amqp10.Errorf(amqp10.ErrInternal, "the partition could not be read"))
	}
}

// metricsNow is what a reader that wants it is told of the partition.
func (r *reader) metricsNow() (amqp10.Fields, error) {
	if !r.metrics {
		return nil, nil
	}
	l, err := r.desk.service.last(r.partition)
	if err != nil {
		return nil, err
	}
	return amqp10.Fields{
		{Key: "last_enqueued_sequence_number", Value: l.sequence},
		{Key: "last_enqueued_offset", Value: l.offset},
		{Key: "last_enqueued_time_utc", Value: l.enqueued},
		{Key: "runtime_info_retrieval_time_utc", Value: r.desk.service.opt.Now().Truncate(time.Millisecond)},
	}, nil
}
