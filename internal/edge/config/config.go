// Package config reads the configuration of a gateway.
//
// The file is TOML, and its keys are those of IoT Edge's own config.toml where
// that has one, so that a user can bring theirs. Keys of IoT Edge that mean
// nothing without containers are accepted and listed in [Config.Ignored]. What
// Sluice adds stands under [sluice]. Every key has a default but hostname and
// the provisioning; an unknown or wrong key is an error that names the key, the
// line and, where there is one, the key that was probably meant.
package config

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"sluice/internal/sas"
	"sluice/internal/upstream"
	"sluice/iot"
)

// Config is what a gateway needs to know, complete and checked.
type Config struct {
	HostName       string // of the gateway, as devices write it in GatewayHostName
	ParentHostName string // the gateway above, or "" for the hub itself

	HubHostName string       // from the provisioning
	Device      iot.Identity // the edge device that the gateway is
	DeviceKey   iot.Secret

	TrustBundle string // file of further authorities to trust, or ""
	EdgeCA      KeyPair
	Server      KeyPair  // made from EdgeCA if not given
	Names       []string // further names and addresses in the server certificate
	DeviceCA    string   // file of authorities that sign device certificates; TrustBundle if ""

	DataDir string
	// Deployment is the file that says which modules run here, or
	// [iot.EdgeAgentModule] for the twin of that module; "" for none.
	Deployment string
	Listen     Listen
	Hub        Hub
	Storage    Storage
	Metrics    Metrics
	Limits     Limits

	LogLevel string
	Ignored  []string // keys of IoT Edge's that have no effect here
}

// KeyPair names the files of a certificate chain and its private key; both
// empty or both set.
type KeyPair struct{ Cert, Key string }

// Listen is where devices connect.
type Listen struct {
	Address string // "" for all addresses of the machine
	MQTT    int
	AMQP    int
	HTTPS   int // and WebSockets

	// HTTPSWished says that the port of HTTPS was configured. Without it the gateway
	// does without HTTPS if the usual port cannot be had, which needs a privilege.
	HTTPSWished bool
}

// Hub is where the hub is, for networks in which its name does not tell.
type Hub struct {
	Address   string            // dialed instead of the name
	CA        string            // file of authorities that sign its certificate; the system's if ""
	Protocol  upstream.Protocol // of sessions
	AMQPPort  int
	MQTTPort  int
	HTTPSPort int

	ScopeRefresh time.Duration // between looks at the scope
}

// Storage bounds the spool.
type Storage struct {
	MaxBytes   int64         // 0: the disk's own limit
	MinFree    int64         // bytes of disk that are left to others
	TimeToLive time.Duration // of a message; negative for ever
}

// Load reads and checks the file at path. Relative paths in it are relative to
// the file.
func Load(path string) (*Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	c, err := Parse(data, filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("configuration %s:\n%w", path, err)
	}
	return c, nil
}

// Parse reads and checks a configuration. Relative paths in it are relative to
// dir. All problems are reported together.
func Parse(data []byte, dir string) (*Config, error) {
	f, ignored, err := decode(data)
	if err != nil {
		return nil, err
	}
	p := problems{}
	c := f.config(dir, &p)
	f.Sluice.operator(c, &p)
	c.Deployment = f.deployment(dir, &p)
	c.Ignored = ignored
	if err := p.err(); err != nil {
		return nil, err
	}
	return c, nil
}

// ConnectionString is the edge device's own.
func (c *Config) ConnectionString() sas.ConnectionString {
	return sas.ConnectionString{HostName: c.HubHostName, Identity: c.Device, Key: c.DeviceKey}
}
