package host

import (
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"strconv"

	"sluice/internal/atomicfile"
	"sluice/internal/hub/amqpservice"
	"sluice/internal/hub/storage"
)

// ConnectionsFile is the file in a hub's directory that tools on the same machine
// read to find it.
const ConnectionsFile = "connection-strings.json"

// Connections is what ConnectionsFile holds.
type Connections struct {
	HostName string            `json:"hostName"`
	Address  string            `json:"address"` // host:port of the service API
	MQTT     string            `json:"mqtt"`    // host:port for devices
	AMQP     string            `json:"amqp"`    // host:port for devices and applications
	Root     string            `json:"root"`    // file with the authority to trust, or ""
	Policies map[string]string `json:"policies"`
	Events   string            `json:"events"` // of the Event Hubs-compatible endpoint
}

// ConnectionString is the connection string of a shared access policy, or "" if
// there is none of this name.
func (h *Host) ConnectionString(policy string) string {
	p, ok := h.store.registry.Policy(policy)
	if !ok {
		return ""
	}
	return connectionString(h.cfg.HostName, p)
}

func connectionString(host string, p storage.Policy) string {
	return fmt.Sprintf("HostName=%s;SharedAccessKeyName=%s;SharedAccessKey=%s", host, p.Name, p.Primary.Reveal())
}

// EventsString is the connection string of the Event Hubs-compatible endpoint, with
// the policy that may read there and nothing else.
func (h *Host) EventsString() string {
	p, ok := h.store.registry.Policy(storage.ServicePolicy)
	if !ok {
		return ""
	}
	endpoint := h.cfg.HostName
	if port := h.AMQPAddr().(*net.TCPAddr).Port; port != DefaultAMQPPort {
		endpoint = net.JoinHostPort(endpoint, strconv.Itoa(port))
	}
	return fmt.Sprintf("Endpoint=sb://%s/;SharedAccessKeyName=%s;SharedAccessKey=%s;EntityPath=%s", endpoint, p.Name, p.Primary.Reveal(), amqpservice.EventHub)
}

func (h *Host) writeConnectionStrings() error {
	c := Connections{
		HostName: h.cfg.HostName,
		Address:  reachable(h.HTTPSAddr()),
		MQTT:     reachable(h.MQTTAddr()),
		AMQP:     reachable(h.AMQPAddr()),
		Events:   h.EventsString(),
		Policies: map[string]string{},
	}
	if h.cert.rootPEM != nil {
		c.Root = "root.pem"
	}
	for _, p := range h.store.registry.Policies() {
		c.Policies[p.Name] = connectionString(h.cfg.HostName, p)
	}
	text, err := json.MarshalIndent(c, "", "  ")
	if err == nil {
		err = atomicfile.Write(filepath.Join(h.cfg.Dir, ConnectionsFile), append(text, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("hub: %w", err)
	}
	return nil
}

// reachable is how a program on this machine reaches a listener.
func reachable(a net.Addr) string {
	host, port, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}
