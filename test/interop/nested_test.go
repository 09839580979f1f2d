package interop

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// startLower starts a gateway below the site's, with an address of its own, and
// registers a device behind it. It returns the device's connection string.
func (s *site) startLower(device string) string {
	s.t.Helper()
	ip := strings.TrimSuffix(s.gatewayIP, ".1") + ".3"
	s.sluice("device", "create", "lower", "--hub-data", s.path("hub"), "--edge", "--parent", "gateway")
	s.sluice("device", "create", device, "--hub-data", s.path("hub"), "--parent", "lower")
	s.sluice("certs", "edge", "--dir", s.path("certs"), "--hostname", ip)
	config := fmt.Sprintf(`hostname = "%[1]s"
parent_hostname = "%[2]s"
trust_bundle_cert = "certs/root.pem"
[provisioning]
source = "manual"
connection_string = "%[3]s"
[edge_ca]
cert = "certs/edge-ca-%[1]s.pem"
pk = "certs/edge-ca-%[1]s.key"
[sluice]
data_dir = "lower"
[sluice.listen]
address = "%[1]s"
`, ip, s.gatewayIP, s.connectionString("lower"))
	if err := os.WriteFile(s.path("lower.toml"), []byte(config), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.start("lower gateway", "uplink is up", "edge", "--config", s.path("lower.toml"))
	return s.connectionString(device, "--gateway", ip)
}

func (s *site) connectionString(device string, flags ...string) string {
	s.t.Helper()
	args := append([]string{"device", "connection-string", device, "--hub-data", s.path("hub")}, flags...)
	return strings.TrimSpace(s.sluice(args...))
}

// A device behind two gateways, of which the upper one loses the hub meanwhile.
func TestADeviceBehindTwoGateways(t *testing.T) {
	const count = 300
	s := newSite(t)
	s.startGateway()
	connection := s.startLower("deep")
	sender := launch(t, "send.js", exec.Command("node", "js/send.js",
		connection, s.path("certs", "root.pem"), fmt.Sprint(count), "mqtt", "3"))
	sender.until("acked", 100, time.Minute)
	s.hub.stop()
	sender.until("acked", 200, time.Minute)
	s.startHub()
	sender.until("done", 1, time.Minute)
	s.expect("deep", count)
}
