package mqtthead_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"sluice/internal/mqtthead"
	"sluice/iot"
)

// push hands n commands of some size to the hub, for dev1.
func (s *stage) push(n, size int) {
	for i := range n {
		s.hub.Deliver(dev1, iot.Delivery{LockToken: fmt.Sprint("lock", i), Message: iot.Message{Body: bytes.Repeat([]byte("x"), size)}})
	}
	synctest.Wait()
}

const listen = "C> SUBSCRIBE 1 devices/dev1/messages/devicebound/#:1"

// A client that acknowledges nothing holds up what the hub keeps for it, and
// nothing in memory here.
func TestB1_CommandsStayWithTheHubUntilTheClientTakesThem(t *testing.T) {
	for _, test := range []struct {
		name        string
		size        int
		least, most int // on their way at once
	}{
		{"small", 100, 16, 16},
		{"of 100 kB", 100_000, 4, 10},
		{"of 256 KiB", 256 << 10, 4, 4},
	} {
		t.Run("B1 "+test.name, func(t *testing.T) {
			scene(t, mqtthead.Options{}, func(s *stage) {
				s.after("C> "+login, listen)
				s.push(1, test.size) // so that the head knows how large they are
				s.want(s.after("C> PUBACK 1"), "! settle dev1 lock0 complete")
				s.push(50, test.size)
				onTheWay := strings.Count(s.Take(), "S> PUBLISH")
				if onTheWay < test.least || onTheWay > test.most {
					t.Errorf("%d commands are on their way, want %d to %d", onTheWay, test.least, test.most)
				}
				if now, _ := s.hub.Session(dev1).Granted(); now != 0 {
					t.Errorf("the hub may send %d more", now)
				}
				// Each acknowledgement makes room for one more, until all are done.
				for id := 2; id <= 51; id++ {
					s.want(s.after(fmt.Sprintf("C> PUBACK %d", id)), "! settle dev1 lock")
				}
				if now, most := s.hub.Session(dev1).Granted(); now < test.least || most > 16 {
					t.Errorf("at rest the hub may send %d, and never more than %d; want %d and 16", now, most, test.least)
				}
			})
		})
	}
}

// Before the head has seen a command it must expect the largest.
func TestAFirstGrantHoldsTheLargestMessages(t *testing.T) {
	scene(t, mqtthead.Options{}, func(s *stage) {
		s.after("C> "+login, listen)
		if now, _ := s.hub.Session(dev1).Granted(); now != 4 {
			t.Errorf("granted %d, want 4", now)
		}
	})
}

// At QoS 0 a delivery is complete when it was written, and a client that stops
// reading gets no more than its window.
func TestB1_ASlowReaderAtQoS0(t *testing.T) {
	scene(t, mqtthead.Options{}, func(s *stage) {
		s.after("C> "+login, strings.Replace(listen, ":1", ":0", 1))
		s.push(200, 100)
		got := s.Take()
		if n := strings.Count(got, "S> PUBLISH"); n != 200 {
			t.Errorf("%d of 200 arrived", n)
		}
		if n := strings.Count(got, "! settle"); n != 200 {
			t.Errorf("%d of 200 were settled", n)
		}
		if _, most := s.hub.Session(dev1).Granted(); most > 16 {
			t.Errorf("%d were granted at once", most)
		}
	})
}

// What cannot be put into a topic can never be delivered over MQTT: it must not
// come again for ever, nor block what is behind it.
func TestACommandThatNoTopicHoldsIsRejected(t *testing.T) {
	scene(t, mqtthead.Options{}, func(s *stage) {
		s.after("C> "+login, listen)
		d := iot.Delivery{LockToken: "large"}
		d.Message.Properties.Set("k", strings.Repeat("x", 65_536))
		s.hub.Deliver(dev1, d)
		s.push(1, 10)
		s.want(s.Take(), "! settle dev1 large reject", "S> PUBLISH")
	})
}

// Commands that the hub could not settle make room all the same.
func TestAFailedSettleGivesItsRoomBack(t *testing.T) {
	scene(t, mqtthead.Options{}, func(s *stage) {
		s.after("C> "+login, listen)
		s.hub.Settling = func(context.Context) error { return iot.Errorf(iot.NotFound, "settle", dev1, "the lock expired") }
		s.push(40, 10)
		for id := 1; id <= 40; id++ {
			s.after(fmt.Sprintf("C> PUBACK %d", id))
		}
		if now, _ := s.hub.Session(dev1).Granted(); now != 16 {
			t.Errorf("granted %d, want 16", now)
		}
	})
}

// Nothing is granted, delivered or settled for a session that has ended.
func TestNothingIsGrantedAfterTheEnd(t *testing.T) {
	scene(t, mqtthead.Options{}, func(s *stage) {
		s.after("C> "+login, listen)
		s.push(2, 10)
		session := s.hub.Session(dev1)
		s.after("C> PUBACK 1 | DISCONNECT")
		before, _ := session.Granted()
		s.wantNot(s.after("+1m"), "settle")
		if now, _ := session.Granted(); now != before {
			t.Errorf("%d granted after the end", now-before)
		}
	})
}
