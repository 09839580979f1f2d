package host

import (
	"fmt"
	"log/slog"
	"net"
	"time"

	"sluice/internal/hub"
	"sluice/internal/hub/eventlog"
	"sluice/internal/hub/storage"
)

// The ports that devices and services expect.
const (
	DefaultMQTTPort  = 8883
	DefaultAMQPPort  = 5671
	DefaultHTTPSPort = 443
)

// Config says how a hub is run. Only Dir is required.
type Config struct {
	Dir string // where everything is kept; made if it is not there

	// HostName is the hub's name: in connection strings, in tokens, and in its
	// certificate. It is Address if that is set, else localhost.
	HostName string
	// Names are further names and IP addresses at which the hub is reached.
	Names []string
	// Address is where to listen: 127.0.0.1.
	Address string
	// MQTTPort, AMQPPort and HTTPSPort are 8883, 5671 and 443; negative lets the
	// system choose.
	MQTTPort, AMQPPort, HTTPSPort int

	// Cert and Key are files with the server's chain and key. Without them the
	// hub makes a certificate with an authority of its own.
	Cert, Key string
	// DeviceCA is a file with the authorities that sign device certificates.
	DeviceCA string

	// Metrics is where figures for Prometheus are served, host:port; "" for nowhere.
	Metrics string

	Partitions int           // of a new event log: 4
	Retention  time.Duration // of events: 24 h; negative for ever
	MaxBytes   int64         // of the event log; 0 for no limit

	// ConsumerGroups are those of the Event Hubs-compatible endpoint, besides
	// $Default. They only need to be known.
	ConsumerGroups []string

	// Storage says where devices put files; its zero value: nowhere.
	Storage Storage

	// Notify are the sources, besides telemetry, whose events are stored.
	Notify []storage.Source

	// Throttle is the size of a hub, such as S1x1, as which this one throttles; "": it
	// does not.
	Throttle string

	// Enrichments are properties that the hub adds to events.
	Enrichments []hub.Enrichment

	Log *slog.Logger     // nil discards
	Now func() time.Time // wall clock; nil means time.Now

	// Fatal is called when the disk failed in a way that nothing can be trusted
	// after; the process should exit. nil only logs.
	Fatal func(error)
}

// DefaultRetention is how long events are kept, as IoT Hub's default is a day.
const DefaultRetention = 24 * time.Hour

func (c *Config) complete() error {
	if c.Dir == "" {
		return fmt.Errorf("hub: no directory")
	}
	if c.HostName == "" {
		c.HostName = c.Address
	}
	if c.Address == "" {
		c.Address = "127.0.0.1"
	}
	if ip := net.ParseIP(c.HostName); c.HostName == "" || ip != nil && ip.IsUnspecified() {
		c.HostName = "localhost"
	}
	c.MQTTPort = port(c.MQTTPort, DefaultMQTTPort)
	c.AMQPPort = port(c.AMQPPort, DefaultAMQPPort)
	c.HTTPSPort = port(c.HTTPSPort, DefaultHTTPSPort)
	if c.Partitions < 0 || c.Partitions > eventlog.MaxPartitions {
		return fmt.Errorf("hub: %d partitions: must be 1 to %d", c.Partitions, eventlog.MaxPartitions)
	}
	switch {
	case c.Retention == 0:
		c.Retention = DefaultRetention
	case c.Retention < 0:
		c.Retention = 0
	}
	if (c.Cert == "") != (c.Key == "") {
		return fmt.Errorf("hub: a certificate and its key are given together, or neither")
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return nil
}

func port(given, usual int) int {
	switch {
	case given == 0:
		return usual
	case given < 0:
		return 0
	}
	return given
}

// allNames are the names and addresses of the hub's certificate.
func (c *Config) allNames() []string {
	names := []string{c.HostName}
	for _, n := range append([]string{"localhost", c.Address}, c.Names...) {
		if ip := net.ParseIP(n); ip != nil && ip.IsUnspecified() {
			continue
		}
		names = append(names, n)
	}
	return unique(names)
}

func unique(names []string) []string {
	seen := map[string]bool{}
	out := names[:0]
	for _, n := range names {
		if !seen[n] {
			seen[n] = true
			out = append(out, n)
		}
	}
	return out
}
