package metrics

import (
	"maps"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/internal/gateway/meter"
)

// A collector reads a Source for Prometheus.
type collector struct {
	src      Source
	own      prometheus.Labels // of every metric
	families [meter.Quantities]*prometheus.Desc
	ages     ages
}

func newCollector(src Source, instance string) *collector {
	c := &collector{src: src, own: prometheus.Labels{
		"iothub": src.HubHost, "edge_device": src.Device, "instance_number": instance,
	}}
	for q, f := range families {
		c.families[q] = f.desc(c.own)
	}
	return c
}

// desc describes one of edgeHub's metrics, with labels that all have.
func (f family) desc(own prometheus.Labels) *prometheus.Desc {
	if !f.plain {
		own = maps.Clone(own)
		own["ms_telemetry"] = "True"
	}
	return prometheus.NewDesc("edgehub_"+f.name, f.help, f.labels, own)
}

// Describe says nothing, so that the collector may have what there is: which
// protocols, for instance.
func (c *collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements [prometheus.Collector].
func (c *collector) Collect(out chan<- prometheus.Metric) {
	c.collectIdentities(out)
	s := sender{c.own, out}
	c.gateway(s)
	c.queues(s)
	c.spool(s)
	s.listeners(c.src.Listeners)
}

// A sender sends single figures.
type sender struct {
	own prometheus.Labels
	out chan<- prometheus.Metric
}

// labels are pairs of a name and a value.
type labels []string

func (s sender) send(d *prometheus.Desc, kind prometheus.ValueType, v float64, l labels) {
	values := make([]string, 0, len(l)/2)
	for i := 1; i < len(l); i += 2 {
		values = append(values, l[i])
	}
	s.out <- prometheus.MustNewConstMetric(d, kind, v, values...)
}

func (l labels) names() []string {
	var names []string
	for i := 0; i < len(l); i += 2 {
		names = append(names, l[i])
	}
	return names
}

// edgeHub sends one of edgeHub's metrics that is not of an identity.
func (s sender) edgeHub(name, help string, kind prometheus.ValueType, v float64, plain bool, l ...string) {
	s.send(family{name, help, labels(l).names(), plain}.desc(s.own), kind, v, l)
}

func (s sender) gauge(name, help string, v float64, l ...string) {
	s.send(prometheus.NewDesc("sluice_"+name, help, labels(l).names(), s.own), prometheus.GaugeValue, v, l)
}

func (s sender) counter(name, help string, v float64, l ...string) {
	s.send(prometheus.NewDesc("sluice_"+name, help, labels(l).names(), s.own), prometheus.CounterValue, v, l)
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// ages remembers for a moment how old the oldest messages are: finding out reads
// the disk once for each lane.
type ages struct {
	mu    sync.Mutex
	at    time.Time
	stamp map[string]time.Time
}

// agesFor is how long it remembers.
const agesFor = 15 * time.Second

// stamps returns when the oldest message of each queue was stored, without the
// queues that are empty.
func (c *collector) stamps() map[string]time.Time {
	a := &c.ages
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stamp != nil && time.Since(a.at) < agesFor {
		return a.stamp
	}
	a.stamp, a.at = map[string]time.Time{}, time.Now()
	for _, q := range c.src.Spool.Queues() {
		if at, err := q.Oldest(); err == nil && !at.IsZero() {
			a.stamp[q.Name()] = at
		}
	}
	return a.stamp
}
