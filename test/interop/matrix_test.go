package interop

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
)

// What a device does, by which protocol, and through what: Microsoft's SDKs on
// both ends. The test prints the table.
func TestWhatDevicesDo(t *testing.T) {
	s := newSite(t)
	s.startGateway()
	m := &matrix{s: s, outcome: map[string]map[string]string{}}
	m.prepare()
	// In parallel: most of the time goes into starting Node.
	var group sync.WaitGroup
	slots := make(chan struct{}, 3)
	for _, path := range matrixPaths {
		for _, protocol := range matrixProtocols {
			slots <- struct{}{}
			group.Go(func() {
				defer func() { <-slots }()
				m.try(path, protocol)
			})
		}
	}
	group.Wait()
	t.Log("\n" + m.table())
	m.judge()
}

var (
	matrixPaths     = []string{"direct", "gateway", "two"}
	matrixProtocols = []string{"mqtt", "mqtt-ws", "amqp", "amqp-ws", "http"}
	matrixFeatures  = []string{"telemetry", "batch", "command", "settle", "twin", "method"}
)

type matrix struct {
	s     *site
	roots string // file with all roots

	mu          sync.Mutex
	connections map[string]string            // by device
	outcome     map[string]map[string]string // by device and feature
}

func deviceOf(path, protocol string) string { return path + "-" + protocol }

// prepare registers a device for each cell.
func (m *matrix) prepare() {
	s := m.s
	s.t.Helper()
	lowest := s.startLower("unused")
	lowerIP := lowest[strings.LastIndex(lowest, "=")+1:]
	m.connections = map[string]string{}
	for _, path := range matrixPaths {
		for _, protocol := range matrixProtocols {
			device := deviceOf(path, protocol)
			create := []string{"device", "create", device, "--hub-data", s.path("hub")}
			var flags []string
			switch path {
			case "gateway":
				create, flags = append(create, "--parent", "gateway"), []string{"--gateway", s.gatewayIP}
			case "two":
				create, flags = append(create, "--parent", "lower"), []string{"--gateway", lowerIP}
			}
			s.sluice(create...)
			m.connections[device] = s.connectionString(device, flags...)
			if protocol == "http" && len(flags) > 0 {
				// Over HTTPS the SDK does not look at GatewayHostName.
				m.connections[device] = strings.Replace(s.connectionString(device), s.hubIP, flags[1], 1)
			}
		}
	}
	var roots []byte
	for _, file := range []string{s.path("hub", "root.pem"), s.path("certs", "root.pem")} {
		text, err := os.ReadFile(file)
		if err != nil {
			s.t.Fatal(err)
		}
		roots = append(roots, text...)
	}
	m.roots = s.path("roots.pem")
	if err := os.WriteFile(m.roots, roots, 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (m *matrix) try(path, protocol string) {
	device := deviceOf(path, protocol)
	got := map[string]string{}
	out, err := m.s.tryNode(m.roots, "js/matrix.js", m.s.owner, m.connections[device], m.roots, protocol)
	if err == nil {
		err = json.Unmarshal([]byte(out), &got)
	}
	if err != nil {
		got["telemetry"] = err.Error()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.outcome[device] = got
}

// table is the outcome for people.
func (m *matrix) table() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "through\tprotocol\t"+strings.Join(matrixFeatures, "\t"))
	for _, path := range matrixPaths {
		for _, protocol := range matrixProtocols {
			row := []string{path, protocol}
			for _, feature := range matrixFeatures {
				cell := m.outcome[deviceOf(path, protocol)][feature]
				if cell != "ok" && cell != "" {
					cell = "no"
				}
				row = append(row, cell)
			}
			fmt.Fprintln(w, strings.Join(row, "\t"))
		}
	}
	_ = w.Flush() // into memory
	return b.String()
}

// judge wants everything that a protocol can do.
func (m *matrix) judge() {
	for _, path := range matrixPaths {
		for _, protocol := range matrixProtocols {
			device := deviceOf(path, protocol)
			for _, feature := range matrixFeatures {
				if !possible(protocol, feature) {
					continue
				}
				if got := m.outcome[device][feature]; got != "ok" {
					m.s.t.Errorf("%s of %s: %s", feature, device, got)
				}
			}
		}
	}
}

// possible reports whether the SDK has a feature with a protocol.
func possible(protocol, feature string) bool {
	switch feature {
	case "twin", "method":
		return protocol != "http"
	case "batch":
		return protocol == "http"
	case "settle":
		return !strings.HasPrefix(protocol, "mqtt")
	}
	return true
}
