package mqttlink

import (
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"sluice/internal/topic"
	"sluice/iot"
)

// sending is one message on its way; the last of a batch carries its done.
type sending struct {
	token paho.Token
	done  func(error)
}

// Send publishes the batch at QoS 1 and waits while the window is full. It is
// called from one goroutine at a time.
func (s *session) Send(batch []iot.Message, done func(error)) {
	if len(batch) == 0 {
		done(s.err())
		return
	}
	for i := range batch {
		select {
		case s.window <- struct{}{}:
		case <-s.ended:
			// What of this batch was published stays unacknowledged.
			done(s.err())
			return
		}
		conn, err := s.now()
		if err != nil {
			done(err)
			return
		}
		out := sending{token: conn.Publish(topic.Telemetry(s.id, &batch[i]), 1, false, batch[i].Body)}
		if i == len(batch)-1 {
			out.done = done
		}
		if err := s.follow(out); err != nil {
			done(err)
			return
		}
	}
}

// follow hands a published message to collect, unless the session has ended.
func (s *session) follow(out sending) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reason == nil {
		s.sent <- out // has room: as large as the window
	}
	return s.reason
}

// collect reports batches as they are acknowledged, and ends the session when
// a message is not. One that follows a failure fails too, so an error is never
// forgotten within its batch.
func (s *session) collect() {
	var failed error
	for out := range s.sent {
		if failed == nil {
			if failed = s.await(out.token); failed != nil {
				s.end(failed)
			}
		}
		<-s.window
		if out.done != nil {
			out.done(failed)
		}
	}
}

func (s *session) await(t paho.Token) error {
	timer := time.NewTimer(s.cfg.OperationTimeout)
	defer timer.Stop()
	select {
	case <-t.Done():
		if err := t.Error(); err != nil {
			return unreachable("send", s.id, err)
		}
		return nil
	case <-s.ended:
		return s.err()
	case <-timer.C:
		return iot.Errorf(iot.Timeout, "send", s.id, "not acknowledged within %s", s.cfg.OperationTimeout)
	}
}
