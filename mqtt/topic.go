package mqtt

import "strings"

// ValidTopic reports whether s may be the topic of a publication: not empty
// [MQTT-4.7.3-1], no wildcard [MQTT-3.3.2-2], no NUL [MQTT-4.7.3-2], at most
// 65535 bytes [MQTT-4.7.3-3]. That s is UTF-8 is not looked at.
func ValidTopic(s string) bool {
	return len(s) > 0 && len(s) <= 65535 && !strings.ContainsAny(s, "+#\x00")
}

// ValidFilter reports whether s may be a topic filter: not empty, no NUL, # only
// as the last level [MQTT-4.7.1-2], + only as a whole level [MQTT-4.7.1-3].
func ValidFilter(s string) bool {
	if len(s) == 0 || len(s) > 65535 || strings.IndexByte(s, 0) >= 0 {
		return false
	}
	for {
		level, rest, more := strings.Cut(s, "/")
		if len(level) > 1 && strings.ContainsAny(level, "+#") {
			return false
		}
		if level == "#" && more {
			return false
		}
		if !more {
			return true
		}
		s = rest
	}
}

// Match reports whether a valid filter matches a valid topic, by section 4.7. A
// wildcard in the first level does not match a topic that begins with $
// [MQTT-4.7.2-1].
func Match(filter, topic string) bool {
	if strings.HasPrefix(topic, "$") && (filter[0] == '+' || filter[0] == '#') {
		return false
	}
	for {
		f, fRest, fMore := strings.Cut(filter, "/")
		if f == "#" {
			return true
		}
		t, tRest, tMore := strings.Cut(topic, "/")
		if f != "+" && f != t {
			return false
		}
		if !tMore {
			// sport/# also matches sport, its parent level (4.7.1.2).
			return !fMore || fRest == "#"
		}
		if !fMore {
			return false
		}
		filter, topic = fRest, tRest
	}
}
