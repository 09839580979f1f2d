package metrics

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/internal/gateway/meter"
)

// A family is one of edgeHub's metrics.
type family struct {
	name, help string
	labels     []string
	plain      bool // without edgeHub's label ms_telemetry
}

var (
	byID     = []string{"id"}
	ofSource = []string{"from", "from_route_output"}
	ofRoute  = []string{"from", "to", "from_route_output", "to_route_input"}
)

// families are the metrics of single identities.
var families = [meter.Quantities]family{
	meter.MessagesReceived: {"messages_received_total", "Messages stored and acknowledged.", []string{"id", "route_output"}, false},
	meter.MessagesSent:     {"messages_sent_total", "Messages that their receiver has acknowledged.", append(ofRoute[:4:4], "priority"), false},
	meter.MessageSize:      {"message_size_bytes", "Size of messages from clients, with their properties.", byID, false},
	meter.SendDuration:     {"message_send_duration_seconds", "Time from sending a batch of messages to the receiver's acknowledgement.", ofRoute, false},
	meter.ProcessDuration:  {"message_process_duration_seconds", "Time from storing a message to the receiver's acknowledgement.", []string{"from", "to", "priority"}, false},
	meter.MessagesDropped:  {"messages_dropped_total", "Messages not delivered, for a reason that is nobody's fault.", append(ofSource[:2:2], "reason"), false},
	meter.MessagesUnacked:  {"messages_unack_total", "Messages not stored, and therefore not acknowledged.", append(ofSource[:2:2], "reason"), false},
	meter.TwinsRead:        {"gettwin_total", "Twins that clients asked for.", []string{"source", "id"}, false},
	meter.TwinReadDuration: {"gettwin_duration_seconds", "Time to answer with a twin.", []string{"source", "id"}, false},
	meter.ReportsTaken:     {"reported_properties_total", "Patches of reported properties.", []string{"target", "id"}, false},
	meter.ReportDuration:   {"reported_properties_update_duration_seconds", "Time to take a patch of reported properties.", []string{"target", "id"}, false},
	meter.MethodsCalled:    {"direct_methods_total", "Direct methods called.", []string{"from", "to"}, false},
	meter.MethodDuration:   {"direct_method_duration_seconds", "Time to the answer of a direct method.", []string{"from", "to"}, false},
	meter.ConnectsFailed:   {"client_connect_failed_total", "Logins refused. The id is that of a registered identity, or empty.", []string{"id", "reason"}, false},
	meter.Connects:         {"client_connect_success_total", "Logins.", byID, true},
	meter.Disconnects:      {"client_disconnect_total", "Sessions ended.", byID, true},
	meter.Retries:          {"operation_retry_total", "Operations put off, to be tried again.", []string{"id", "operation"}, false},
	meter.OfflineCount:     {"offline_count_total", "Times the hub was lost.", byID, false},
	meter.OfflineDuration:  {"offline_duration_seconds", "Time until the hub was back.", byID, false},
}

// called are the quantities in which the meter's identity is the receiver.
var called = map[meter.Quantity]bool{meter.MethodsCalled: true, meter.MethodDuration: true}

// labelValue is what a label of a series says.
func labelValue(label, id string, s meter.Series) string {
	switch label {
	case "id":
		return id
	case "from":
		if called[s.Quantity] {
			return s.Peer
		}
		return id
	case "to":
		if called[s.Quantity] {
			return id
		}
		return s.Peer
	case "source", "target":
		return s.Peer
	case "route_output", "from_route_output":
		return s.Output
	case "to_route_input":
		return s.Input
	case "priority":
		return strconv.FormatUint(uint64(s.Priority), 10)
	}
	return s.Reason // "reason", "operation"
}

// collectIdentities sends the figures of each identity.
func (c *collector) collectIdentities(out chan<- prometheus.Metric) {
	for _, page := range c.src.Gateway.Meters().Pages() {
		for _, v := range page.Values {
			f := families[v.Quantity]
			values := make([]string, len(f.labels))
			for i, label := range f.labels {
				values[i] = labelValue(label, page.ID, v.Series)
			}
			out <- metricOf(c.families[v.Quantity], v, values)
		}
	}
}

func metricOf(d *prometheus.Desc, v meter.Value, labels []string) prometheus.Metric {
	if v.Quantiles == nil {
		return prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v.Count), labels...)
	}
	quantiles := make(map[float64]float64, len(v.Quantiles))
	for i, q := range v.Quantiles {
		quantiles[meter.Levels[i]] = q
	}
	return prometheus.MustNewConstSummary(d, v.Count, v.Sum, quantiles, labels...)
}
