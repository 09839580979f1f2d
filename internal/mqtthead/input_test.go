package mqtthead_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"sluice/internal/mqtthead"
)

// Whatever is in a topic, it costs the connection, and no more time than any
// other packet.
func TestM7_Topics(t *testing.T) {
	for name, topic := range map[string]string{
		"wildcard":       "devices/dev1/messages/events/#",
		"levels":         strings.Repeat("/", 65_400),
		"long":           strings.Repeat("x", 65_535),
		"long bag key":   "devices/dev1/messages/events/" + strings.Repeat("x", 65_500) + "=1/2",
		"system":         "$x",
		"overlong UTF-8": "devices/dev1/messages/events/\xc0\xaf",
		"surrogate":      "devices/dev1/messages/events/\xed\xa0\x80",
	} {
		t.Run("M7 "+name, func(t *testing.T) {
			scene(t, mqtthead.Options{}, func(s *stage) {
				s.after("C> " + login)
				begin := time.Now()
				got := s.after("C> PUBLISH " + topic + " x qos=1 id=1")
				s.want(got, "S> EOF")
				s.wantNot(got, "PUBACK", "! send")
				if d := time.Since(begin); d > 0 {
					t.Errorf("it took %v of virtual time", d)
				}
			})
		})
	}
}

func TestZ3_ThousandsOfProperties(t *testing.T) {
	bag := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "k%d=v&", i)
		}
		return strings.TrimSuffix(b.String(), "&")
	}
	scene(t, mqtthead.Options{}, func(s *stage) {
		s.after("C> " + login)
		s.want(s.after("C> PUBLISH devices/dev1/messages/events/"+bag(1000)+" x qos=1 id=1"), "! send", "S> PUBACK 1")
		got := s.after("C> PUBLISH devices/dev1/messages/events/" + bag(6000) + " x qos=1 id=2")
		s.want(got, "S> EOF")
		s.wantNot(got, "! send", "PUBACK")
	})
}

func TestM11_Filters(t *testing.T) {
	scene(t, mqtthead.Options{}, func(s *stage) {
		s.after("C> " + login)
		filters := make([]string, 1000)
		for i := range filters {
			filters[i] = fmt.Sprintf("devices/dev%d/messages/devicebound/#:1", i+2)
		}
		filters[0] = "devices/dev1/messages/devicebound/#:1"
		got := s.after("C> SUBSCRIBE 1 " + strings.Join(filters, " "))
		s.want(got, "S> SUBACK 1 01"+strings.Repeat("80", 999))
	})
	t.Run("M11 the same one for ever", func(t *testing.T) {
		scene(t, mqtthead.Options{}, func(s *stage) {
			s.after("C> " + login)
			for i := range 2000 {
				got := s.after(fmt.Sprintf("C> SUBSCRIBE %d devices/dev1/messages/devicebound/#:%d", i+1, i%2))
				if n := strings.Count(got, "! listen"); n > 0 && i > 0 {
					t.Fatalf("the hub was asked again")
				}
			}
			if now, most := s.hub.Session(dev1).Granted(); now != 4 || most != 4 {
				t.Errorf("granted %d, at most %d; want 4", now, most)
			}
		})
	})
}

// M14: how the bytes are cut into packets of the network makes no difference.
func TestM14_OneByteAtATimeAndThousandPacketsAtOnce(t *testing.T) {
	scene(t, mqtthead.Options{}, func(s *stage) {
		c := s.client("")
		flight := encode(t, strings.Fields(login))
		flight = append(flight, encode(t, strings.Fields("PUBLISH devices/dev1/messages/events/a=1 x qos=1 id=7"))...)
		for i := range flight {
			if _, err := c.Write(flight[i : i+1]); err != nil {
				t.Fatal(err)
			}
		}
		s.want(s.after("+1ms"), "! send dev1 x", "S> PUBACK 7")
		flight = flight[:0]
		for i := range 1000 {
			flight = append(flight, encode(t, strings.Fields(fmt.Sprintf("PUBLISH devices/dev1/messages/events/a=%d x qos=1 id=%d", i%3, i+8)))...)
		}
		c.sends <- flight
		got := s.after("+1ms")
		if n, m := strings.Count(got, "! send dev1 x"), strings.Count(got, "S> PUBACK"); n != 1000 || m != 1000 {
			t.Errorf("%d of 1000 were sent, %d acknowledged", n, m)
		}
		if n := strings.Count(got, "! batch of"); n < 10 {
			t.Errorf("they were given to the hub in %d batches: one by one?", n)
		}
	})
}
