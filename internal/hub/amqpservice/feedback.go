package amqpservice

import (
	"encoding/json"
	"errors"
	"time"

	"sluice/amqp10"
	"sluice/internal/hub/files"
	"sluice/internal/hub/storage"
)

// maxRecords is how many records of feedback one message has, as in IoT Hub.
const maxRecords = 64

// The types of what is told.
const (
	feedbackType amqp10.Symbol = "application/vnd.microsoft.iothub.feedback.json"
	fileType     amqp10.Symbol = "application/vnd.microsoft.iothub.filenotification.json"
)

// acceptFeedback accepts a link on which an application hears what became of its
// commands.
func (d *desk) acceptFeedback(r *amqp10.LinkRequest, l *link) *amqp10.Error {
	tell(d, r, l, d.service.opt.Hub.Feedback(), maxRecords, func(lease *storage.Lease[storage.FeedbackRecord]) (*amqp10.Message, error) {
		return d.notice(feedbackType, lease.Records, lease.Count)
	})
	return nil
}

// acceptNotifications accepts a link on which an application hears of files that
// devices have uploaded, one in a message.
func (d *desk) acceptNotifications(r *amqp10.LinkRequest, l *link) *amqp10.Error {
	queue := d.service.opt.Hub.FileNotifications()
	if queue == nil { // there are none, and there will be none
		d.accepted(l, r.AcceptSender(amqp10.SenderConfig{OnClose: func(error) { d.gone(l) }}))
		return nil
	}
	tell(d, r, l, queue, 1, func(lease *storage.Lease[files.Notification]) (*amqp10.Message, error) {
		return d.notice(fileType, lease.Records[0], lease.Count)
	})
	return nil
}

// tell accepts a link on which an application takes notices from a queue, at most max
// in one message.
func tell[R any](d *desk, r *amqp10.LinkRequest, l *link, queue storage.Notices[R], max int, message func(*storage.Lease[R]) (*amqp10.Message, error)) {
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
	d.work.Go(func() {
		for {
			var lease *storage.Lease[R]
			var more <-chan struct{}
			if s.Credit() > 0 {
				lease, more = queue.Take(max)
			}
			if lease != nil {
				send(s, lease, message)
				continue
			}
			select {
			case <-more:
			case <-credit:
			case <-ended:
				return
			}
		}
	})
}

// poke wakes who waits for c, which has room for one.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// send sends what was taken. It is gone when the application accepts it.
func send[R any](s *amqp10.Sender, lease *storage.Lease[R], message func(*storage.Lease[R]) (*amqp10.Message, error)) {
	m, err := message(lease)
	if err == nil {
		err = s.Send(amqp10.Outgoing{Message: m, Done: func(o amqp10.Outcome, err error) {
			lease.Settle(err == nil && (o.Kind == amqp10.KindAccepted || o.Kind == amqp10.None || o.Kind == amqp10.KindRejected))
		}})
	}
	if err != nil {
		lease.Settle(false)
		if !errors.Is(err, amqp10.ErrNoCredit) {
			s.CloseWith(amqp10.Errorf(amqp10.ErrInternal, "the notice could not be sent"))
		}
	}
}

// notice is the message of records, in JSON.
func (d *desk) notice(kind amqp10.Symbol, records any, count int) (*amqp10.Message, error) {
	body, err := json.Marshal(records)
	if err != nil {
		return nil, err
	}
	m := amqp10.NewMessage(body)
	m.Properties = &amqp10.Properties{
		ContentType: kind, ContentEncoding: "utf-8",
		UserID: []byte(d.service.opt.Hosts[0]),
	}
	m.Annotations.Set("iothub-enqueuedtime", d.service.opt.Now().Truncate(time.Millisecond))
	m.Annotations.Set("iothub-deliverycount", uint32(count)) //nolint:gosec // a few
	return m, nil
}
