package interop

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The official SDK sends by the protocols of port 443, to the hub and through a
// gateway whose hub goes away meanwhile.
func TestTelemetryOfTheDeviceSDKOnPort443(t *testing.T) {
	const count = 300
	protocols := []string{"http", "mqtt-ws", "amqp-ws"}
	s := newSite(t, protocols...)
	for _, protocol := range protocols {
		device, root := "direct-"+protocol, s.path("hub", "root.pem")
		s.sluice("device", "create", device, "--hub-data", s.path("hub"))
		direct := strings.TrimSpace(s.sluice("device", "connection-string", device, "--hub-data", s.path("hub")))
		s.node(root, "js/send.js", direct, root, strconv.Itoa(count), protocol)
		s.expect(device, count)
	}
	s.startGateway()
	var senders []*running
	for _, protocol := range protocols {
		root := s.path("certs", "root.pem")
		cmd := exec.Command("node", "js/send.js", s.webString(protocol), root, strconv.Itoa(count), protocol, "3")
		cmd.Env = append(os.Environ(), "NODE_EXTRA_CA_CERTS="+root) // of WebSockets the SDK does not use its own option
		senders = append(senders, launch(t, "send.js "+protocol, cmd))
	}
	for _, sender := range senders {
		sender.until("acked", 50, time.Minute)
	}
	s.hub.stop()
	for _, sender := range senders {
		sender.until("done", 1, time.Minute)
	}
	s.startHub()
	for _, protocol := range protocols {
		s.expect(protocol, count)
	}
}

// webString is the connection string of a device that takes the gateway for its hub:
// over HTTPS the SDK does not look at GatewayHostName.
func (s *site) webString(id string) string {
	return fmt.Sprintf("HostName=%s;DeviceId=%s;SharedAccessKey=%s", s.gatewayIP, id, s.deviceKeys[id])
}
