package edge

import (
	"context"
	"net"
	"time"

	"sluice/internal/gateway"
)

// tell logs what a person wants to know of a gateway that starts.
func (e *Edge) tell() {
	cfg, leaf := e.cfg, e.cert.Get().Leaf
	e.log.Info("gateway", "device", cfg.Device.Device, "hostname", cfg.HostName)
	e.log.Info("hub", "name", cfg.HubHostName, "at", hubAddress(cfg))
	stats := e.spool.Queue(gateway.UpstreamQueue).Stats()
	e.log.Info("spool", "dir", cfg.DataDir, "waiting", stats.Records, "bytes", stats.Bytes, "dead", e.spool.DeadStats().Letters)
	e.log.Info("server certificate", "source", e.cert.source, "names", append(leaf.DNSNames, addresses(leaf.IPAddresses)...), "expires", leaf.NotAfter)
	if leaf.VerifyHostname(cfg.HostName) != nil {
		e.log.Warn("the server certificate is not for the gateway's hostname: devices will refuse it", "hostname", cfg.HostName)
	}
	if e.cert.trust != nil {
		e.log.Info("devices must trust the root certificate", "file", rootFiles(cfg).Cert)
	}
	if time.Now().Before(clockFloor) {
		e.log.Warn("the clock is not set; tokens are refused until it is", "clock", time.Now().UTC())
	}
	for _, key := range cfg.Ignored {
		e.log.Info("key of the configuration has no effect here", "key", key)
	}
	for _, l := range []struct {
		protocol string
		at       net.Addr
	}{{"MQTT", e.MQTTAddr()}, {"AMQP", e.AMQPAddr()}, {"HTTPS", e.HTTPSAddr()}} {
		if l.at == nil {
			continue // bindHTTPS has said why
		}
		e.log.Info("listening for "+l.protocol, "address", l.at.String(), "connections", perListener())
	}
	if at := e.MetricsAddr(); at != nil {
		e.log.Info("metrics and health", "address", at.String())
	}
}

func addresses[T interface{ String() string }](list []T) []string {
	text := make([]string, len(list))
	for i, a := range list {
		text[i] = a.String()
	}
	return text
}

// reportEvery is the time between two lines of counts.
const reportEvery = 5 * time.Minute

// report logs the counts now and then, if anything has happened, until ctx ends.
func (e *Edge) report(ctx context.Context) {
	tick := time.NewTicker(reportEvery)
	defer tick.Stop()
	var last tallies
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := e.tallies()
		if now != last {
			e.log.Info("counts", "clients", now.clients, "connections", now.connections, "turnedAway", now.turnedAway, "online", now.online, "received", now.received, "delivered", now.delivered,
				"waiting", now.waiting, "refused", now.refused, "dead", now.dead, "expired", now.expired)
		}
		last = now
	}
}

type tallies struct {
	clients                            int
	connections, turnedAway            int64
	online                             bool
	received, delivered, refused, dead uint64
	waiting, expired                   uint64
}

func (e *Edge) tallies() tallies {
	counts, queue := e.gateway.Counts(), e.spool.Queue(gateway.UpstreamQueue).Stats()
	return tallies{
		clients: e.gateway.Clients(), online: e.gateway.Online(),
		connections: e.listener.Stats.Open.Load(), turnedAway: e.listener.Stats.Refused.Load(),
		received: counts.Received.Load(), delivered: counts.Delivered.Load(),
		refused: counts.Refused.Load(), dead: counts.Dead.Load(),
		waiting: queue.Records, expired: queue.Counts.Expired,
	}
}
