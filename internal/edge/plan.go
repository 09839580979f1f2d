package edge

import (
	"cmp"
	_ "embed" // the example
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"sluice/internal/edge/config"
	"sluice/internal/pki"
	"sluice/internal/tlsx"
)

// Example is a configuration with every key explained.
//
//go:embed example.toml
var Example string

// A Fact is one line of what a gateway would do.
type Fact struct{ Name, Value string }

// Plan says what Open would do with a configuration, and reads the files that it
// names. It changes nothing and reads nothing in the data directory.
func Plan(cfg *config.Config) ([]Fact, error) {
	facts := []Fact{
		{"device", cfg.Device.Device},
		{"hostname", strings.Join(serverNames(cfg), ", ")},
		{"hub", hubFact(cfg)},
		{"data directory", cfg.DataDir},
		{"listen for MQTT", net.JoinHostPort(cfg.Listen.Address, strconv.Itoa(cfg.Listen.MQTT))},
		{"listen for AMQP", net.JoinHostPort(cfg.Listen.Address, strconv.Itoa(cfg.Listen.AMQP))},
		{"listen for HTTPS", net.JoinHostPort(cfg.Listen.Address, strconv.Itoa(cfg.Listen.HTTPS))},
		{"metrics", cmp.Or(cfg.Metrics.Address, "none")},
		{"storage", storageFact(cfg.Storage)},
	}
	server, err := serverFact(cfg)
	if err != nil {
		return nil, err
	}
	facts = append(facts, Fact{"server certificate", server})
	for _, trust := range []Fact{
		{"trust bundle", cfg.TrustBundle}, {"hub's authorities", cfg.Hub.CA}, {"devices' authorities", cfg.DeviceCA},
	} {
		if trust.Value == "" {
			continue
		}
		if _, err := pki.ReadPool(trust.Value); err != nil {
			return nil, fmt.Errorf("%s: %w", trust.Name, err)
		}
		facts = append(facts, trust)
	}
	modules, err := modulesFact(cfg)
	if err != nil {
		return nil, err
	}
	if modules != "" {
		facts = append(facts, Fact{"modules", modules})
	}
	if len(cfg.Ignored) > 0 {
		facts = append(facts, Fact{"keys without effect", strings.Join(cfg.Ignored, ", ")})
	}
	return facts, nil
}

func hubFact(cfg *config.Config) string {
	at := hubAddress(cfg)
	return fmt.Sprintf("%s, MQTT at %s, HTTPS at %s", cfg.HubHostName,
		net.JoinHostPort(at, strconv.Itoa(cfg.Hub.MQTTPort)), net.JoinHostPort(at, strconv.Itoa(cfg.Hub.HTTPSPort)))
}

// hubAddress is what is dialed: the hub, or a gateway in between.
func hubAddress(cfg *config.Config) string {
	return cmp.Or(cfg.Hub.Address, cfg.ParentHostName, cfg.HubHostName)
}

func storageFact(s config.Storage) string {
	size, life := "no limit but the disk's", "for ever"
	if s.MaxBytes > 0 {
		size = fmt.Sprintf("up to %d bytes", s.MaxBytes)
	}
	if s.TimeToLive > 0 {
		life = s.TimeToLive.String()
	}
	return fmt.Sprintf("%s, %d bytes of the disk left free, messages wait %s", size, s.MinFree, life)
}

// serverFact says where the server's certificate comes from, and whether it can.
func serverFact(cfg *config.Config) (string, error) {
	switch {
	case cfg.Server.Cert != "":
		held, err := tlsx.LoadCertificate(cfg.Server.Cert, cfg.Server.Key)
		if err != nil {
			return "", fmt.Errorf("server certificate: %w", err)
		}
		leaf := held.Get().Leaf
		if err := leaf.VerifyHostname(cfg.HostName); err != nil {
			return "", fmt.Errorf("server certificate %s: %w", cfg.Server.Cert, err)
		}
		return fmt.Sprintf("%s, until %s", cfg.Server.Cert, leaf.NotAfter.Format(time.DateOnly)), nil
	case cfg.EdgeCA.Cert != "":
		ca, err := pki.ReadAuthority(cfg.EdgeCA.Cert, cfg.EdgeCA.Key)
		if err != nil {
			return "", fmt.Errorf("edge CA: %w", err)
		}
		return fmt.Sprintf("made and renewed from edge CA %s, which ends %s", cfg.EdgeCA.Cert, ca.Certificate().NotAfter.Format(time.DateOnly)), nil
	}
	return fmt.Sprintf("made and renewed from a root of its own, %s, which devices must trust", rootFiles(cfg).Cert), nil
}
