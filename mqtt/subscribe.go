package mqtt

import (
	"strings"

	"sluice/mqtt/internal/packet"
)

// receiveSubscribe serves a SUBSCRIBE with one SUBACK [MQTT-3.8.4-1] that has the
// same identifier [MQTT-3.8.4-2] and a code for each filter [MQTT-3.8.4-5].
func (c *Conn) receiveSubscribe(body []byte) error {
	id, asked, extra, err := packet.DecodeSubscribe(body, c.group.limits.MaxFilters)
	if err != nil {
		return err
	}
	filters := make([]Filter, len(asked))
	for i, f := range asked {
		if err := c.checkFilter(f.Topic); err != nil {
			return err
		}
		filters[i] = Filter{Topic: f.Topic, QoS: min(QoS(f.QoS), AtLeastOnce)}
	}
	allowed := filters[:c.roomSubscriptions(filters)]
	var granted []QoS
	if len(allowed) > 0 {
		c.uncork() // the session may take its time
		if granted, err = c.session.Subscribe(allowed); err != nil {
			return err
		}
	}
	codes := make([]byte, len(filters)+extra)
	for i := range codes {
		codes[i] = byte(Refused)
		if i >= len(allowed) || i >= len(granted) || granted[i] > ExactlyOnce {
			continue
		}
		codes[i] = byte(min(granted[i], allowed[i].QoS)) // [MQTT-3.8.4-6]
		c.subs[allowed[i].Topic] = struct{}{}
	}
	return c.reply(func(b []byte) []byte { return packet.AppendSuback(b, id, codes) })
}

// roomSubscriptions returns how many of the filters, from the first, keep the
// client within its number of subscriptions.
func (c *Conn) roomSubscriptions(filters []Filter) int {
	if c.subs == nil {
		c.subs = make(map[string]struct{})
	}
	room := c.group.limits.MaxSubscriptions - len(c.subs)
	for i, f := range filters {
		if _, again := c.subs[f.Topic]; again {
			continue // it replaces the one there is [MQTT-3.8.4-3]
		}
		if room == 0 {
			return i
		}
		room--
	}
	return len(filters)
}

// receiveUnsubscribe serves an UNSUBSCRIBE; its UNSUBACK comes whether or not
// there was such a subscription [MQTT-3.10.4-4] [MQTT-3.10.4-5].
func (c *Conn) receiveUnsubscribe(body []byte) error {
	id, filters, err := packet.DecodeUnsubscribe(body, c.group.limits.MaxSubscriptions)
	if err != nil {
		return err
	}
	for _, f := range filters {
		if err := c.checkFilter(f); err != nil {
			return err
		}
	}
	c.uncork()
	if err := c.session.Unsubscribe(filters); err != nil {
		return err
	}
	for _, f := range filters {
		delete(c.subs, f)
	}
	return c.reply(func(b []byte) []byte { return packet.AppendID(b, packet.UNSUBACK, id) })
}

func (c *Conn) checkFilter(s string) error {
	if !ValidFilter(s) {
		return packet.Errorf("MQTT-4.7.1-1", "filter %.64q is not valid", s)
	}
	return c.checkLevels(s)
}

func (c *Conn) checkLevels(s string) error {
	if n := 1 + strings.Count(s, "/"); n > c.group.limits.MaxTopicLevels {
		return packet.Errorf("", "topic of %d levels, at most %d", n, c.group.limits.MaxTopicLevels)
	}
	return nil
}
