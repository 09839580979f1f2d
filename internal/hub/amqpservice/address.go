package amqpservice

import (
	"net/url"
	"strconv"
	"strings"
)

// A node is what a link leads to.
type node uint8

const (
	nowhere node = iota
	deviceBound
	feedback
	fileNotifications
	management
	partition
	builtIn // messages/events and below: redirected
)

// An address is a node, and which.
type address struct {
	node  node
	path  string // by which grants cover it; see normalize
	hub   string // of a partition, or of management: the Event Hub's name, "" if none was given
	group string // of a partition
	n     int    // of a partition
	rest  string // of builtIn: what stands behind messages/events, with its slash
}

// parseAddress reads the address of a link. Words are read without regard to case.
func parseAddress(text string) address {
	p := strings.Trim(withoutHost(text), "/")
	a := address{path: normalize(unescape(p))}
	switch a.path {
	case "messages/devicebound":
		a.node = deviceBound
	case "messages/servicebound/feedback":
		a.node = feedback
	case "messages/servicebound/filenotifications":
		a.node = fileNotifications
	case "$management":
		a.node = management
	default:
		a.parseEventHub(p)
	}
	return a
}

const events = "messages/events"

func (a *address) parseEventHub(p string) {
	if a.path == events || strings.HasPrefix(a.path, events+"/") {
		a.node, a.rest = builtIn, p[len(events):]
		return
	}
	s := strings.Split(p, "/")
	switch {
	case len(s) == 2 && strings.EqualFold(s[1], "$management"):
		a.node, a.hub = management, unescape(s[0])
	case len(s) == 5 && strings.EqualFold(s[1], "ConsumerGroups") && strings.EqualFold(s[3], "Partitions"):
		n, err := strconv.ParseUint(s[4], 10, 16)
		if err != nil {
			return
		}
		a.node, a.hub, a.group, a.n = partition, unescape(s[0]), unescape(s[2]), int(n)
	}
}

// normalize makes paths comparable.
func normalize(path string) string { return strings.ToLower(strings.Trim(path, "/")) }

func unescape(s string) string {
	if u, err := url.PathUnescape(s); err == nil {
		return u
	}
	return s
}

// withoutHost is what stands behind scheme and host, if they are there.
func withoutHost(text string) string {
	_, rest, ok := strings.Cut(text, "://")
	if !ok {
		return text
	}
	_, rest, _ = strings.Cut(rest, "/")
	return rest
}
