package amqpservice

import (
	"strings"
	"testing"

	"sluice/amqp10"
)

func FuzzParseAddress(f *testing.F) {
	for _, address := range nodes {
		f.Add(address)
	}
	for _, address := range []string{
		"", "/", "messages/events", "/messages/events/ConsumerGroups/g/Partitions/0", "hub/$management",
		"/messages/devicebound", "/messages/serviceBound/feedback", "amqps://h", "a/ConsumerGroups/%zz/Partitions/65536",
	} {
		f.Add(address)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a := parseAddress(text)
		if a.path != normalize(a.path) {
			t.Errorf("path %q is not in the form of grants", a.path)
		}
		switch {
		case a.node == partition && (a.n < 0 || a.n > 65535):
			t.Errorf("partition %d", a.n)
		case a.node == builtIn && a.path != events && !strings.HasPrefix(a.path, events+"/"):
			t.Errorf("%q is redirected", a.path)
		case a.node == builtIn && !strings.HasSuffix(text[:len(strings.TrimRight(text, "/"))], a.rest):
			t.Errorf("%q leads to %q", text, a.rest)
		}
	})
}

func FuzzParseSelector(f *testing.F) {
	for _, selector := range []string{
		"amqp.annotation.x-opt-offset > '-1'", "amqp.annotation.x-opt-sequence-number >= '12'",
		"amqp.annotation.x-opt-enqueued-time > '1700000000000'", "amqp.annotation.x-opt-offset > '@latest'",
		"amqp.annotation.x-opt-offset > 9223372036854775807", "amqp.annotation.x-opt-offset>='", "", ">", "a > b",
	} {
		f.Add(selector)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if _, ok := parseSelector(text); ok && !strings.Contains(text, "amqp.annotation.x-opt-") {
			t.Errorf("%q is understood", text)
		}
		_, agreed, refusal := position(amqp10.Fields{{Key: selectorFilter, Value: text}})
		if (refusal == nil) != (len(agreed) == 1) {
			t.Errorf("%q: agreed to %v, refused with %v", text, agreed, refusal)
		}
	})
}

func FuzzParseTarget(f *testing.F) {
	for _, to := range []string{
		"/devices/pump/messages/devicebound", "/devices/pump/modules/filter/messages/deviceBound",
		"/devices/%2F/messages/devicebound", "devices//messages/devicebound", "",
	} {
		f.Add(to)
	}
	f.Fuzz(func(t *testing.T, to string) {
		id, err := parseTarget(to)
		if err == nil && id.Validate() != nil {
			t.Errorf("%q is for %+v", to, id)
		}
	})
}
