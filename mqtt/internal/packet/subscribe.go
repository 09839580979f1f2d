package packet

import "encoding/binary"

// Filter is one entry of a SUBSCRIBE.
type Filter struct {
	Topic string
	QoS   byte
}

// DecodeSubscribe reads the body of a SUBSCRIBE, section 3.8. It returns the
// first max filters; those after them are checked, and counted in extra.
func DecodeSubscribe(b []byte, max int) (id uint16, filters []Filter, extra int, err error) {
	c := cursor{b: b}
	id = c.id()
	for len(c.b) > 0 && c.err == nil {
		topic, qos := c.text(), c.byte()
		if c.err == nil && qos > 2 {
			c.err = Errorf("MQTT-3.8.3-4", "SUBSCRIBE asks for QoS %#x", qos)
		}
		if len(filters) < max {
			filters = append(filters, Filter{string(topic), qos})
		} else {
			extra++
		}
	}
	if c.err == nil && len(filters) == 0 {
		c.err = Errorf("MQTT-3.8.3-3", "SUBSCRIBE without a filter")
	}
	return id, filters, extra, c.end()
}

// DecodeUnsubscribe reads the body of an UNSUBSCRIBE, section 3.10, with at most
// max filters.
func DecodeUnsubscribe(b []byte, max int) (id uint16, filters []string, err error) {
	c := cursor{b: b}
	id = c.id()
	for len(c.b) > 0 && c.err == nil {
		if len(filters) == max {
			return 0, nil, Errorf("", "UNSUBSCRIBE with more than %d filters", max)
		}
		filters = append(filters, c.string())
	}
	if c.err == nil && len(filters) == 0 {
		c.err = Errorf("MQTT-3.10.3-2", "UNSUBSCRIBE without a filter")
	}
	return id, filters, c.end()
}

// AppendSubscribe appends a SUBSCRIBE.
func AppendSubscribe(b []byte, id uint16, filters []Filter) []byte {
	body := binary.BigEndian.AppendUint16(nil, id)
	for _, f := range filters {
		body = append(appendString(body, f.Topic), f.QoS)
	}
	return append(appendHeader(b, SUBSCRIBE, 2, len(body)), body...)
}

// AppendUnsubscribe appends an UNSUBSCRIBE.
func AppendUnsubscribe(b []byte, id uint16, filters []string) []byte {
	body := binary.BigEndian.AppendUint16(nil, id)
	for _, f := range filters {
		body = appendString(body, f)
	}
	return append(appendHeader(b, UNSUBSCRIBE, 2, len(body)), body...)
}

// AppendSuback appends a SUBACK with one code for each filter.
func AppendSuback(b []byte, id uint16, codes []byte) []byte {
	b = appendHeader(b, SUBACK, 0, 2+len(codes))
	b = binary.BigEndian.AppendUint16(b, id)
	return append(b, codes...)
}

// DecodeSuback reads the body of a SUBACK. The codes alias b.
func DecodeSuback(b []byte) (id uint16, codes []byte, err error) {
	c := cursor{b: b}
	id = c.id()
	if c.err != nil {
		return 0, nil, c.err
	}
	return id, c.b, nil
}
