package interop

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"sluice/internal/pki"
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

// A device polls for commands with the official SDK, at the hub and at a gateway.
func TestCommandsOfTheDeviceSDKOverHTTPS(t *testing.T) {
	s := newSite(t, "below")
	s.startGateway()
	s.sluice("device", "create", "direct", "--hub-data", s.path("hub"))
	direct := strings.TrimSpace(s.sluice("device", "connection-string", "direct", "--hub-data", s.path("hub")))
	for _, at := range []struct{ device, connection, root string }{
		{"direct", direct, s.path("hub", "root.pem")},
		{"below", s.webString("below"), s.path("certs", "root.pem")},
	} {
		poll := launch(t, "poll.js "+at.device, exec.Command("node", "js/poll.js", at.connection, at.root))
		poll.until("open", 1, time.Minute)
		for _, text := range []string{"go", "reject", "abandon"} {
			s.sluice("c2d", "send", at.device, "--hub-data", s.path("hub"), "--data", text, "--message-id", "id-"+text, "-p", "unit=bar")
		}
		for _, line := range []string{
			"command go id-go iothub-app-unit=bar", "completed go", "rejected reject",
			"abandoned abandon", "command abandon id-abandon iothub-app-unit=bar", "completed abandon",
		} {
			poll.until(line, 1, time.Minute)
		}
		if err := poll.end(os.Kill); err == nil {
			t.Error("poll.js had ended by itself")
		}
	}
}

// Devices with certificates by the protocols of port 443: below a WebSocket there is
// still the TLS connection.
func TestCertificatesOfTheDeviceSDKOnPort443(t *testing.T) {
	s := newSite(t)
	root := s.path("certs", "root.pem")
	s.startGateway()
	for _, protocol := range []string{"http", "mqtt-ws", "amqp-ws"} {
		device := "meter-" + protocol
		s.sluice("certs", "device", device, "--dir", s.path("certs"), "--self-signed")
		pair, err := pki.ReadCertificates(s.path("certs", "device-"+device+".pem"))
		if err != nil {
			t.Fatal(err)
		}
		_, thumbprint := pki.Thumbprints(pair[0])
		s.sluice("device", "create", device, "--hub-data", s.path("hub"), "--parent", "gateway", "--x509-thumbprint", thumbprint)
		s.node(root, "js/send.js", "HostName="+s.gatewayIP+";DeviceId="+device+";x509=true", root, "20", protocol, "0",
			s.path("certs", "device-"+device+".pem"), s.path("certs", "device-"+device+".key"))
		s.expect(device, 20)
	}
}

// A module calls a method of a device, both at the gateway, with the hub away.
func TestMethodsBetweenClientsOfTheDeviceSDK(t *testing.T) {
	s := newSite(t, "below")
	s.sluice("device", "create", "gateway/caller", "--hub-data", s.path("hub"))
	module := strings.TrimSpace(s.sluice("device", "connection-string", "gateway/caller", "--hub-data", s.path("hub")))
	s.startGateway()
	root := s.path("certs", "root.pem")
	device := exec.Command("node", "js/device.js", s.deviceString("below"), root, "mqtt")
	listener := launch(t, "device.js", device)
	listener.until("listening", 1, time.Minute)
	s.hub.stop()
	got := s.node(root, "js/invoke.js", module+";GatewayHostName="+s.gatewayIP, "below")
	if want := "answer {\"status\":200,\"payload\":{\"echo\":{\"n\":7}}}\nnobody Error 404\n"; got != want {
		t.Errorf("the module heard\n%s, want\n%s", got, want)
	}
}
