package amqpservice

import (
	"encoding/json"
	"errors"
	"time"

	"sluice/amqp10"
	"sluice/internal/hub/commands"
)

// maxRecords is how many records of feedback one message has, as in IoT Hub.
const maxRecords = 64

const feedbackType amqp10.Symbol = "application/vnd.microsoft.iothub.feedback.json"

// acceptFeedback accepts a link on which an application hears what became of its
// commands.
func (d *desk) acceptFeedback(r *amqp10.LinkRequest, l *link) *amqp10.Error {
	credit := make(chan struct{}, 1)
	ended := make(chan struct{})
	s := r.AcceptSender(amqp10.SenderConfig{
		OnCredit: func(uint32, bool) { poke(credit) },
		OnClose: func(error) {
			d.gone(l)
			close(ended)
		},
	})
	d.accepted(l, s)
	d.work.Go(func() { d.sendFeedback(s, credit, ended) })
	return nil
}

// poke wakes who waits for c, which has room for one.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// sendFeedback sends what there is as far as there is credit, until the link ends.
func (d *desk) sendFeedback(s *amqp10.Sender, credit, ended <-chan struct{}) {
	for {
		var lease *commands.Lease
		var more <-chan struct{}
		if s.Credit() > 0 {
			lease, more = d.service.opt.Hub.Feedback().Take(maxRecords)
		}
		if lease != nil {
			d.send(s, lease)
			continue
		}
		select {
		case <-more:
		case <-credit:
		case <-ended:
			return
		}
	}
}

// send sends records. They are gone when the application accepts them.
func (d *desk) send(s *amqp10.Sender, lease *commands.Lease) {
	m, err := d.feedbackMessage(lease.Records)
	if err == nil {
		err = s.Send(amqp10.Outgoing{Message: m, Done: func(o amqp10.Outcome, err error) {
			lease.Settle(err == nil && (o.Kind == amqp10.KindAccepted || o.Kind == amqp10.None || o.Kind == amqp10.KindRejected))
		}})
	}
	if err != nil {
		lease.Settle(false)
		if !errors.Is(err, amqp10.ErrNoCredit) {
			s.CloseWith(amqp10.Errorf(amqp10.ErrInternal, "the feedback could not be sent"))
		}
	}
}

func (d *desk) feedbackMessage(records []commands.Record) (*amqp10.Message, error) {
	body, err := json.Marshal(records)
	if err != nil {
		return nil, err
	}
	m := amqp10.NewMessage(body)
	m.Properties = &amqp10.Properties{
		ContentType: feedbackType, ContentEncoding: "utf-8",
		UserID: []byte(d.service.opt.Hosts[0]),
	}
	m.Annotations.Set("iothub-enqueuedtime", d.service.opt.Now().Truncate(time.Millisecond))
	m.Annotations.Set("iothub-deliverycount", uint32(0))
	return m, nil
}

// acceptNotifications accepts a link on which an application would hear of files that
// devices have uploaded, to this hub none.
func (d *desk) acceptNotifications(r *amqp10.LinkRequest, l *link) *amqp10.Error {
	d.accepted(l, r.AcceptSender(amqp10.SenderConfig{OnClose: func(error) { d.gone(l) }}))
	return nil
}
