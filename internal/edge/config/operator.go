package config

import (
	"net"
	"strconv"
)

// Metrics is where figures and health are shown.
type Metrics struct {
	Address    string // host:port; "" for nowhere
	Identities int    // how many identities are counted each by itself
	// Wished says that the address was configured. Without it the gateway does
	// without metrics if the usual address cannot be had.
	Wished bool
}

// Limits bound what clients may ask of the gateway. Zero is no limit.
type Limits struct {
	MessageRate      float64 // messages a second, of one device or module
	FailedLogins     int     // of one address at once
	FailedLoginRate  float64 // of one address a second, in the long run
	ConnsFromAddress int     // connections from one address to one port at a time
	Hops             int     // modules that may pass a message on, one after the other
}

// Defaults.
const (
	defaultMetrics         = "127.0.0.1:9600"
	defaultIdentities      = 1000
	defaultFailedLogins    = 20
	defaultFailedLoginRate = 1
	defaultHops            = 16
)

type metrics struct {
	Address    *string `toml:"address"`
	Identities *int    `toml:"identities"`
}

type limits struct {
	MessageRate      float64  `toml:"messages_per_sec"`
	FailedLogins     *int     `toml:"failed_logins"`
	FailedLoginRate  *float64 `toml:"failed_logins_per_sec"`
	ConnsFromAddress int      `toml:"connections_per_address"`
	Hops             *int     `toml:"hops"`
}

// operator reads what is for the operator of the gateway.
func (s *sluice) operator(c *Config, p *problems) {
	c.Metrics = Metrics{Address: or(s.Metrics.Address, defaultMetrics), Identities: or(s.Metrics.Identities, defaultIdentities), Wished: s.Metrics.Address != nil}
	if a := c.Metrics.Address; a != "" && !isHostPort(a) {
		p.add(0, "sluice.metrics.address is %q; write \"HOST:PORT\", for instance %q, or \"\" for no metrics", a, defaultMetrics)
	}
	if c.Metrics.Identities < 1 {
		p.add(0, "sluice.metrics.identities is %d; write 1 or more", c.Metrics.Identities)
	}
	c.Limits = Limits{
		MessageRate:      s.Limits.MessageRate,
		FailedLogins:     or(s.Limits.FailedLogins, defaultFailedLogins),
		FailedLoginRate:  or(s.Limits.FailedLoginRate, defaultFailedLoginRate),
		ConnsFromAddress: s.Limits.ConnsFromAddress,
		Hops:             or(s.Limits.Hops, defaultHops),
	}
	for _, limit := range []struct {
		key string
		n   float64
	}{
		{"messages_per_sec", c.Limits.MessageRate},
		{"failed_logins", float64(c.Limits.FailedLogins)},
		{"failed_logins_per_sec", c.Limits.FailedLoginRate},
		{"connections_per_address", float64(c.Limits.ConnsFromAddress)},
	} {
		if !(limit.n >= 0) {
			p.add(0, "sluice.limits.%s is %v; write 0 for no limit, or more", limit.key, limit.n)
		}
	}
	if c.Limits.Hops < 1 {
		p.add(0, "sluice.limits.hops is %d; write 1 or more", c.Limits.Hops)
	}
	if c.Limits.FailedLogins > 0 && c.Limits.FailedLoginRate == 0 {
		p.add(0, "sluice.limits.failed_logins_per_sec is 0: an address would never be let in again; write more, or failed_logins = 0 for no limit")
	}
}

func or[T any](v *T, otherwise T) T {
	if v != nil {
		return *v
	}
	return otherwise
}

func isHostPort(s string) bool {
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n <= 65535
}
