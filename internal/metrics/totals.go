package metrics

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/internal/gateway/meter"
	"sluice/internal/route"
	"sluice/internal/spool"
)

// gateway sends what is not of one identity.
func (c *collector) gateway(s sender) {
	g := c.src.Gateway
	s.edgeHub("connected_clients", "Devices and modules that are connected.", prometheus.GaugeValue, float64(g.Clients()), true)
	s.gauge("uplink_up", "1 while the hub can be reached.", truth(g.Online()))
	counts := g.Counts()
	s.counter("reports_refused_total", "Patches taken while the hub was away that it then refused.", float64(counts.ReportsRefused.Load()))
	if c.src.TurnedAway != nil {
		s.counter("turned_away_total", "Connections and logins refused because their address had failed too often.", float64(c.src.TurnedAway.Load()))
	}
	if c.src.Expires != nil {
		s.gauge("server_certificate_expires_timestamp_seconds", "When the server certificate expires, in Unix time.", float64(c.src.Expires().Unix()))
	}
}

// queues sends what waits where, and what became of what does not.
func (c *collector) queues(s sender) {
	var expired uint64
	stamps := c.stamps()
	for _, q := range c.src.Spool.Queues() {
		name, stats := q.Name(), q.Stats()
		for _, p := range lengthsOf(q) {
			priority := strconv.FormatUint(uint64(p.Priority), 10)
			s.edgeHub("queue_length", "Messages that wait.", prometheus.GaugeValue, float64(p.Records), false, "endpoint", name, "priority", priority)
			s.gauge("queue_bytes", "Their size, with 64 bytes for each.", float64(p.Bytes), "endpoint", name, "priority", priority)
		}
		age := 0.0
		if at, ok := stamps[name]; ok && stats.Records > 0 {
			age = max(0, time.Since(at).Seconds())
		}
		s.gauge("queue_oldest_message_age_seconds", "How long the oldest message has waited, as of the last quarter of a minute.", age, "endpoint", name)
		s.gauge("queue_lanes", "Senders with messages that wait.", float64(stats.Lanes), "endpoint", name)
		s.gauge("queue_lanes_resting", "Of them, those whose last attempt failed.", float64(stats.Resting), "endpoint", name)
		s.counter("messages_purged_total", "Messages removed by an operator.", float64(stats.Counts.Purged), "endpoint", name)
		for reason, n := range stats.Counts.Dead {
			s.counter("dead_letters_total", "Messages that could not be delivered for good.", float64(n), "endpoint", name, "reason", reason)
		}
		expired += stats.Counts.Expired
	}
	s.edgeHub("messages_dropped_total", families[meter.MessagesDropped].help, prometheus.CounterValue, float64(expired), false, "from", "", "from_route_output", "", "reason", "ttl_expiry")
}

// lengthsOf is how much waits in a queue. That nothing waits is said as well, so
// that it can be watched.
func lengthsOf(q *spool.Queue) []spool.PriorityStats {
	if p := q.Priorities(); len(p) > 0 {
		return p
	}
	return []spool.PriorityStats{{Priority: route.DefaultPriority}}
}

func (c *collector) spool(s sender) {
	src := c.src
	stats, dead := src.Spool.Stats(), src.Spool.DeadStats()
	s.gauge("spool_bytes", "Size of all that waits, against its limit.", float64(stats.Bytes))
	s.gauge("spool_limit_bytes", "The limit; 0 for none but the disk's.", float64(src.Gateway.MaxBytes()))
	s.gauge("spool_disk_bytes", "What the spool takes on disk.", float64(stats.Disk))
	s.gauge("spool_refusing", "1 while messages are refused for want of disk space.", truth(stats.Refusing))
	s.counter("spool_commits_total", "Atomic writes.", float64(stats.Commits))
	s.gauge("dead_letters", "Dead letters that are kept.", float64(dead.Letters))
	s.gauge("dead_letters_bytes", "Their size.", float64(dead.Bytes))
	s.counter("dead_letters_dropped_total", "The oldest dead letters, given up for newer ones.", float64(dead.Dropped))
}

func (s sender) listeners(list []Listener) {
	for _, l := range list {
		if c := l.Conns; c != nil {
			s.gauge("connections", "Connections that are open.", float64(c.Open.Load()), "protocol", l.Protocol)
			s.counter("connections_accepted_total", "Connections.", float64(c.Accepted.Load()), "protocol", l.Protocol)
			s.counter("connections_refused_total", "Connections closed at once, above the limit.", float64(c.Refused.Load()), "protocol", l.Protocol)
			s.counter("handshakes_timed_out_total", "Connections closed for a slow handshake.", float64(c.TimedOut.Load()), "protocol", l.Protocol)
			s.counter("accept_errors_total", "Errors of accepting, such as a lack of descriptors.", float64(c.Exhausted.Load()), "protocol", l.Protocol)
		}
		if m := l.MQTT; m != nil {
			s.counter("mqtt_publications_received_total", "Publications of clients.", float64(m.PublishIn.Load()), "protocol", l.Protocol)
			s.counter("mqtt_publications_acknowledged_total", "PUBACKs to clients.", float64(m.PublishAcked.Load()), "protocol", l.Protocol)
			s.counter("mqtt_publications_sent_total", "Publications to clients.", float64(m.PublishOut.Load()), "protocol", l.Protocol)
			s.counter("mqtt_received_bytes_total", "Bytes from clients, without TLS.", float64(m.BytesIn.Load()), "protocol", l.Protocol)
			s.counter("mqtt_sent_bytes_total", "Bytes to clients, without TLS.", float64(m.BytesOut.Load()), "protocol", l.Protocol)
			s.counter("mqtt_protocol_errors_total", "Connections ended for what clients did wrong.", float64(m.ProtocolErrors.Load()), "protocol", l.Protocol)
			s.counter("mqtt_keepalives_expired_total", "Connections ended for their silence.", float64(m.KeepAlives.Load()), "protocol", l.Protocol)
			s.counter("mqtt_panics_total", "Connections ended by a fault of ours.", float64(m.Panics.Load()), "protocol", l.Protocol)
		}
	}
}
