package mqttbridge

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"

	"sluice/internal/conffile"
)

// Config is the configuration file, in TOML or JSON with the same keys. The zero
// Config is a good one: the bridge's own broker on 127.0.0.1:1883, and the topics
// of Microsoft's sample.
type Config struct {
	// Listen is the address of the bridge's own broker. Broker is the address of
	// another's instead: tcp://host:1883, or ssl://host:8883.
	Listen string `toml:"listen" json:"listen"`
	Broker string `toml:"broker" json:"broker"`

	// PasswordFile says who may connect to the bridge's own broker, in the form of
	// mosquitto_passwd. Without it anybody may. OwnTopics, "username" or
	// "client_id", keeps a client to the topics of the leaf of that name.
	PasswordFile string `toml:"password_file" json:"password_file"`
	OwnTopics    string `toml:"own_topics" json:"own_topics"`
	// Cert and Key, files in PEM, make the bridge's own broker speak TLS.
	Cert string `toml:"cert" json:"cert"`
	Key  string `toml:"key" json:"key"`

	// Who the bridge is at another's broker. The password comes from the file, or
	// from SLUICE_MQTT_PASSWORD. CA is a file of what to trust, in PEM.
	ClientID string `toml:"client_id" json:"client_id"`
	Username string `toml:"username" json:"username"`
	Password string `toml:"password" json:"password"`
	CA       string `toml:"ca" json:"ca"`

	// MaxLeaves is how many leaves there may be: 20000. Those that come after
	// are refused.
	MaxLeaves int `toml:"max_leaves" json:"max_leaves"`
	// MaxConnections of the bridge's own broker: 10000.
	MaxConnections int `toml:"max_connections" json:"max_connections"`

	Mapping
}

// Mapping is the part of the configuration that may also be in the desired
// properties of the module's twin, and changed while the bridge runs.
type Mapping struct {
	// Messages says which publications are telemetry. The first whose topic fits
	// counts.
	Messages []Messages `toml:"messages" json:"messages"`
	Topics   *Topics    `toml:"topics" json:"topics"`
}

// Messages is how publications to some topics become messages. The texts ID and
// those of Properties have places to be filled; see docs/translators.md.
type Messages struct {
	Topic string `toml:"topic" json:"topic"`
	ID    string `toml:"id" json:"id"` // "{id}"
	// Payload is raw, as it came; envelope, {"topic": …, "payload": …} as the
	// sample has it; or {json:path}, a part of it.
	Payload     string            `toml:"payload" json:"payload"`
	ContentType string            `toml:"content_type" json:"content_type"` // application/json if it is
	Properties  map[string]string `toml:"properties" json:"properties"`
}

// Topics are those of everything but telemetry. What is "" or left out of a table
// that is there has its default; "-" turns it off.
type Topics struct {
	Command        string `toml:"command" json:"command"`
	Method         string `toml:"method" json:"method"`
	MethodResponse string `toml:"method_response" json:"method_response"`
	Desired        string `toml:"desired" json:"desired"`
	Reported       string `toml:"reported" json:"reported"`
	State          string `toml:"state" json:"state"`
}

// The topics where none are configured. The first is the sample's.
const (
	DefaultMessages       = "device/{id}/message"
	DefaultCommand        = "device/{id}/command"
	DefaultMethod         = "device/{id}/method/{name}/{rid}"
	DefaultMethodResponse = "device/{id}/method/res/{rid}/{status}"
	DefaultDesired        = "device/{id}/twin/desired"
	DefaultReported       = "device/{id}/twin/reported"
	DefaultState          = "device/{id}/state"
	DefaultListen         = "127.0.0.1:1883"
)

// Load reads the configuration: the file, unless its name is empty, over it the
// variables SLUICE_MQTT_LISTEN, _BROKER, _PASSWORD_FILE, _OWN_TOPICS, _CLIENT_ID,
// _USERNAME, _PASSWORD and _CA, and over these the Listen or Broker of flags. Names
// of files in the file are relative to it.
func Load(file string, flags Config) (*Config, error) {
	c := new(Config)
	if file != "" {
		if err := conffile.Load(file, c); err != nil {
			return nil, err
		}
		for _, name := range []*string{&c.PasswordFile, &c.Cert, &c.Key, &c.CA} {
			if *name != "" && !filepath.IsAbs(*name) {
				*name = filepath.Join(filepath.Dir(file), *name)
			}
		}
	}
	for name, into := range map[string]*string{
		"LISTEN": &c.Listen, "BROKER": &c.Broker, "PASSWORD_FILE": &c.PasswordFile, "OWN_TOPICS": &c.OwnTopics,
		"CLIENT_ID": &c.ClientID, "USERNAME": &c.Username, "PASSWORD": &c.Password, "CA": &c.CA,
	} {
		if v := os.Getenv("SLUICE_MQTT_" + name); v != "" {
			*into = v
		}
	}
	if flags.Listen+flags.Broker != "" {
		c.Listen, c.Broker = flags.Listen, flags.Broker
	}
	if err := c.complete(); err != nil {
		if file != "" {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		return nil, err
	}
	return c, nil
}

// complete sets defaults, and reports all that is wrong.
func (c *Config) complete() error {
	var wrong []error
	refuse := func(bad bool, format string, args ...any) {
		if bad {
			wrong = append(wrong, fmt.Errorf(format, args...))
		}
	}
	if c.Broker == "" {
		c.Listen = cmp.Or(c.Listen, DefaultListen)
		_, _, err := net.SplitHostPort(c.Listen)
		refuse(err != nil, "listen is %q; it is an address and a port, such as %q", c.Listen, DefaultListen)
	}
	refuse(c.Broker != "" && c.Listen != "", "listen and broker are both set: it is the bridge's own broker, or another's")
	refuse(c.Broker != "" && !validBroker(c.Broker), "broker is %q; it is of the form tcp://host:1883 or ssl://host:8883", c.Broker)
	refuse(c.Broker != "" && c.PasswordFile+c.OwnTopics+c.Cert+c.Key != "", "password_file, own_topics, cert and key are of the bridge's own broker, but broker is set")
	refuse(c.Broker == "" && c.ClientID+c.Username+c.Password+c.CA != "", "client_id, username, password and ca are for another's broker, but broker is not set")
	refuse(c.OwnTopics != "" && c.OwnTopics != "username" && c.OwnTopics != "client_id", `own_topics is %q; it is "username" or "client_id"`, c.OwnTopics)
	refuse(c.OwnTopics == "username" && c.PasswordFile == "", "own_topics by username needs a password_file: otherwise every client says that it is whom it likes")
	refuse((c.Cert == "") != (c.Key == ""), "cert and key belong together")
	refuse(c.MaxLeaves < 0 || c.MaxConnections < 0, "max_leaves and max_connections cannot be negative")
	c.MaxLeaves = cmp.Or(c.MaxLeaves, 20_000)
	c.MaxConnections = cmp.Or(c.MaxConnections, 10_000)
	_, err := c.Mapping.compile(c.Broker == "")
	return errors.Join(append(wrong, err)...)
}

func validBroker(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "tcp" || u.Scheme == "ssl") && u.Hostname() != "" && u.Port() != "" && u.User == nil
}

// parseMapping reads the desired properties of the module's twin: those keys of the
// configuration that may change. What is not there is as in the file.
func (c *Config) parseMapping(desired json.RawMessage) (*mapping, error) {
	m := c.Mapping
	var over Mapping
	if err := conffile.JSON(desired, &over); err != nil {
		return nil, err
	}
	if over.Messages != nil {
		m.Messages = over.Messages
	}
	if over.Topics != nil {
		m.Topics = over.Topics
	}
	return m.compile(c.Broker == "")
}
