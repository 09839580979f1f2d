package host

import (
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"

	"sluice/internal/atomicfile"
	"sluice/internal/hub/registry"
)

// ConnectionsFile is the file in a hub's directory that tools on the same machine
// read to find it.
const ConnectionsFile = "connection-strings.json"

// Connections is what ConnectionsFile holds.
type Connections struct {
	HostName string            `json:"hostName"`
	Address  string            `json:"address"` // host:port of the service API
	MQTT     string            `json:"mqtt"`    // host:port for devices
	Root     string            `json:"root"`    // file with the authority to trust, or ""
	Policies map[string]string `json:"policies"`
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

func connectionString(host string, p registry.Policy) string {
	return fmt.Sprintf("HostName=%s;SharedAccessKeyName=%s;SharedAccessKey=%s", host, p.Name, p.Primary.Reveal())
}

func (h *Host) writeConnectionStrings() error {
	c := Connections{
		HostName: h.cfg.HostName,
		Address:  reachable(h.HTTPSAddr()),
		MQTT:     reachable(h.MQTTAddr()),
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
