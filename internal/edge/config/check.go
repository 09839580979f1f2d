package config

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"sluice/internal/sas"
	"sluice/internal/upstream"
	"sluice/iot"
)

// Defaults.
const (
	defaultDataDir = "/var/lib/sluice"
	defaultMQTT    = 8883
	defaultAMQP    = 5671
	defaultHTTPS   = 443
	defaultMinFree = 64 << 20
	defaultTTL     = 2 * time.Hour // edgeHub's

	defaultProtocol = upstream.AMQP

	// edgeHub looks once an hour. Who is disabled should be out sooner.
	defaultScopeRefresh = 5 * time.Minute
)

// problems gathers what is wrong with a configuration.
type problems struct{ list []error }

// add notes a problem; line 0 is none in particular.
func (p *problems) add(line int, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if line > 0 {
		text = fmt.Sprintf("line %d: %s", line, text)
	}
	p.list = append(p.list, errors.New("  "+text))
}

func (p *problems) err() error { return errors.Join(p.list...) }

// config checks the file and fills in what it leaves out.
func (f *file) config(dir string, p *problems) *Config {
	path := func(key, s string) string { return p.path(dir, key, s) }
	c := &Config{
		HostName:       f.Hostname,
		ParentHostName: f.ParentHostname,
		TrustBundle:    path("trust_bundle_cert", f.TrustBundleCert),
		EdgeCA:         KeyPair{path("edge_ca.cert", f.EdgeCA.Cert), path("edge_ca.pk", f.EdgeCA.PK)},
		Server:         KeyPair{path("sluice.tls.cert", f.Sluice.TLS.Cert), path("sluice.tls.key", f.Sluice.TLS.Key)},
		Names:          f.Sluice.TLS.Names,
		DeviceCA:       path("sluice.tls.device_ca", f.Sluice.TLS.DeviceCA),
		DataDir:        path("sluice.data_dir", f.Sluice.DataDir),
		LogLevel:       f.Sluice.LogLevel,
	}
	if c.ParentHostName == "" {
		c.ParentHostName = f.LocalGateway
	}
	if c.DataDir == "" {
		c.DataDir = defaultDataDir
	}
	if c.LogLevel == "" {
		c.LogLevel = "info"
	}
	f.checkNames(c, p)
	f.provision(c, dir, p)
	f.Sluice.places(c, dir, p)
	c.Hub.Protocol = f.protocol(p)
	return c
}

func (f *file) checkNames(c *Config, p *problems) {
	switch {
	case c.HostName == "":
		p.add(0, `hostname is missing; write hostname = "NAME", the name that devices put in GatewayHostName`)
	case len(c.HostName) > 64:
		p.add(0, "hostname is longer than the 64 characters that a certificate can carry")
	case strings.ContainsAny(c.HostName, " /:@") && strings.Count(c.HostName, ":") < 2:
		p.add(0, "hostname %q is not a host name or address; write it without scheme or port", c.HostName)
	}
	p.pair("edge_ca.cert", c.EdgeCA.Cert, "edge_ca.pk", c.EdgeCA.Key)
	p.pair("sluice.tls.cert", c.Server.Cert, "sluice.tls.key", c.Server.Key)
	switch c.LogLevel {
	case "debug", "info", "warn", "error":
	default:
		p.add(0, "sluice.log_level is %q; write debug, info, warn or error", c.LogLevel)
	}
}

func (p *problems) pair(aKey, a, bKey, b string) {
	switch {
	case a != "" && b == "":
		p.add(0, "%s is set and %s is not; they go together", aKey, bKey)
	case a == "" && b != "":
		p.add(0, "%s is set and %s is not; they go together", bKey, aKey)
	}
}

// provision reads who the gateway is to its hub.
func (f *file) provision(c *Config, dir string, p *problems) {
	v := &f.Provisioning
	switch v.Source {
	case "manual":
	case "":
		p.add(0, "provisioning.source is missing; write [provisioning], source = \"manual\" and connection_string = \"HostName=…;DeviceId=…;SharedAccessKey=…\"")
		return
	case "dps", "none":
		p.add(0, "provisioning.source %q is not supported; write source = \"manual\" with the connection string of the edge device", v.Source)
		return
	default:
		p.add(0, "provisioning.source is %q; write \"manual\"", v.Source)
		return
	}
	if v.ConnectionString != "" {
		cs, err := sas.ParseConnectionString(v.ConnectionString)
		switch {
		case err != nil:
			p.add(0, "provisioning.connection_string: %v", strings.TrimPrefix(err.Error(), "connection string: "))
		case cs.Identity.IsZero() || cs.Identity.IsModule():
			p.add(0, "provisioning.connection_string is not that of a device; copy the one of the edge device")
		case cs.X509:
			p.add(0, "provisioning.connection_string has x509=true; an edge device needs a SharedAccessKey here")
		}
		c.HubHostName, c.Device, c.DeviceKey = cs.HostName, cs.Identity, cs.Key
		return
	}
	f.provisionByKey(c, dir, p)
}

// provisionByKey reads the form of IoT Edge 1.2 and later.
func (f *file) provisionByKey(c *Config, dir string, p *problems) {
	v := &f.Provisioning
	c.HubHostName, c.Device = v.HubHostname, iot.DeviceIdentity(v.DeviceID)
	if v.HubHostname == "" && v.DeviceID == "" {
		p.add(0, "provisioning.connection_string is missing")
		return
	}
	if v.HubHostname == "" {
		p.add(0, "provisioning.iothub_hostname is missing")
	}
	if err := c.Device.Validate(); err != nil {
		p.add(0, "provisioning.%v", err)
	}
	a := v.Authentication
	switch {
	case a.Method != "sas":
		p.add(0, "provisioning.authentication.method is %q; only \"sas\" is supported", a.Method)
	case a.DeviceIDPK.Value != "":
		c.DeviceKey = iot.Secret(a.DeviceIDPK.Value)
		p.key("provisioning.authentication.device_id_pk.value", c.DeviceKey)
	case a.DeviceIDPK.URI != "":
		c.DeviceKey = p.keyFile("provisioning.authentication.device_id_pk.uri", p.path(dir, "provisioning.authentication.device_id_pk.uri", a.DeviceIDPK.URI))
	default:
		p.add(0, "provisioning.authentication.device_id_pk is missing; write device_id_pk = { value = \"KEY\" }")
	}
}

func (p *problems) key(name string, key iot.Secret) {
	if _, err := sas.DecodeKey(key); err != nil {
		p.add(0, "%s: %v", name, err)
	}
}

// places reads where things are.
func (s *sluice) places(c *Config, dir string, p *problems) {
	port := func(key string, n *int, or int) int {
		if n == nil {
			return or
		}
		if *n < 0 || *n > 65535 {
			p.add(0, "%s is %d; a port is 0 to 65535, and 0 lets the system choose", key, *n)
		}
		return *n
	}
	c.Listen = Listen{
		Address: s.Listen.Address,
		MQTT:    port("sluice.listen.mqtt_port", s.Listen.MQTT, defaultMQTT),
		AMQP:    port("sluice.listen.amqp_port", s.Listen.AMQP, defaultAMQP),
		HTTPS:   port("sluice.listen.https_port", s.Listen.HTTPS, defaultHTTPS),

		HTTPSWished: s.Listen.HTTPS != nil,
	}
	c.Hub = Hub{
		Address:   s.Hub.Address,
		CA:        p.path(dir, "sluice.hub.ca", s.Hub.CA),
		AMQPPort:  port("sluice.hub.amqp_port", s.Hub.AMQPPort, defaultAMQP),
		MQTTPort:  port("sluice.hub.mqtt_port", s.Hub.MQTTPort, defaultMQTT),
		HTTPSPort: port("sluice.hub.https_port", s.Hub.HTTPSPort, defaultHTTPS),

		ScopeRefresh: defaultScopeRefresh,
	}
	if n := s.Hub.ScopeRefresh; n != nil {
		c.Hub.ScopeRefresh = time.Duration(*n) * time.Second
		if *n < 10 || *n > 24*60*60 {
			p.add(0, "sluice.hub.scope_refresh_secs is %d; write seconds, from 10 to a day's 86400", *n)
		}
	}
	c.Storage = Storage{MinFree: defaultMinFree, TimeToLive: defaultTTL}
	if n := s.Storage.MaxBytes; n != nil {
		c.Storage.MaxBytes = *n
		if *n < 0 {
			p.add(0, "sluice.storage.max_bytes is negative; leave it out for no limit but the disk's")
		}
	}
	if n := s.Storage.MinFree; n != nil {
		c.Storage.MinFree = *n
	}
	if n := s.Storage.TimeToLive; n != nil {
		c.Storage.TimeToLive = time.Duration(*n) * time.Second
		if *n == 0 || *n > int64(100*365*24*time.Hour/time.Second) {
			p.add(0, "sluice.storage.time_to_live_secs is %d; write seconds, or -1 to keep messages for ever", *n)
		}
	}
}

// protocol reads how to speak to the hub: our key, or else the variable that IoT
// Edge gives its modules, [agent.env] UpstreamProtocol.
func (f *file) protocol(p *problems) upstream.Protocol {
	key, name := "sluice.hub.upstream_protocol", f.Sluice.Hub.Protocol
	if name == "" {
		agent, _ := f.Agent.(map[string]any)
		env, _ := agent["env"].(map[string]any)
		key = "agent.env.UpstreamProtocol"
		name, _ = env["UpstreamProtocol"].(string)
	}
	if name == "" {
		return defaultProtocol
	}
	protocol, err := upstream.ParseProtocol(name)
	if err != nil {
		p.add(0, "%s: %v", key, err)
	}
	return protocol
}

// path turns a file name or file URI into a path.
func (p *problems) path(dir, key, s string) string {
	if s == "" {
		return ""
	}
	if strings.Contains(s, "://") {
		u, err := url.Parse(s)
		if err != nil || u.Scheme != "file" || u.Host != "" {
			p.add(0, "%s is %q; write a path, or file:///path", key, s)
			return ""
		}
		s = u.Path
	}
	if !filepath.IsAbs(s) {
		s = filepath.Join(dir, s)
	}
	return s
}
