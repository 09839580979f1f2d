package interop

import (
	"context"
	"errors"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"sluice/internal/hubevent"
	"sluice/internal/pki"
	"sluice/internal/sas"
	"sluice/internal/service"
)

// A device with the official SDK sends through the gateway, which is restarted
// while the hub is away: the hub has every message, in order, under the device's
// own name.
func TestTelemetryOfTheDeviceSDK(t *testing.T) {
	const device, count = "pump-7", 1000
	for _, protocol := range []string{"mqtt", "amqp"} {
		t.Run(protocol, func(t *testing.T) {
			s := newSite(t, device)
			s.startGateway()
			sender := launch(t, "send.js", exec.Command("node", "js/send.js",
				s.deviceString(device), s.path("certs", "root.pem"), strconv.Itoa(count), protocol, "3"))
			sender.until("acked", 200, time.Minute)
			s.hub.stop()
			sender.until("acked", 400, time.Minute)
			s.gateway.stop()
			s.startGateway() // without a hub: it must know its devices
			sender.until("acked", 700, time.Minute)
			s.startHub()
			sender.until("done", 1, time.Minute)
			s.expect(device, count)
		})
	}
}

// window is how many messages send.js has in flight. When a connection breaks the
// SDK sends those again, in an order of its own; all others keep theirs.
const window = 8

// expect reads the hub's events until it has seen n messages of a device, and
// checks that they are whole and in order.
func (s *site) expect(device string, n int) {
	s.t.Helper()
	got := map[int]int{}
	last := 0
	s.follow(device, func(e *hubevent.Event) bool {
		i, err := strconv.Atoi(e.Properties["n"])
		if err != nil || string(e.Body) != `{"n":`+e.Properties["n"]+`}` {
			s.t.Errorf("event %+v is none that was sent", e)
			return false
		}
		if sys := e.System; sys["iothub-connection-device-id"] != device || sys["message-id"] != "m"+strconv.Itoa(i) ||
			sys["content-type"] != "application/json" || sys["content-encoding"] != "utf-8" {
			s.t.Errorf("message %d has the system properties %v", i, sys)
		}
		if got[i]++; got[i] == 1 && i <= last-2*window {
			s.t.Errorf("message %d came after message %d", i, last)
		}
		last = max(last, i)
		return len(got) < n
	})
	repeats := 0
	for i := 1; i <= n; i++ {
		if got[i] == 0 {
			s.t.Errorf("message %d is not at the hub", i)
		}
		repeats += max(0, got[i]-1)
	}
	s.t.Logf("%d of %d messages are at the hub; %d came twice", len(got), n, repeats)
}

// follow calls event for the hub's events from the start, until it returns false.
func (s *site) follow(device string, event func(*hubevent.Event) bool) {
	s.t.Helper()
	cs, err := sas.ParseConnectionString(s.owner)
	if err != nil {
		s.t.Fatal(err)
	}
	roots, err := pki.ReadPool(s.path("hub", "root.pem"))
	if err != nil {
		s.t.Fatal(err)
	}
	c, err := service.New(cs, service.Options{Roots: roots})
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	enough := errors.New("enough")
	err = c.Events(ctx, service.EventQuery{From: "start", Device: device, Follow: true}, func(e *hubevent.Event) error {
		if !event(e) {
			return enough
		}
		return nil
	}, nil)
	if !errors.Is(err, enough) {
		s.t.Errorf("reading the hub's events: %v", err)
	}
}

// What a device's TLS library would say of the gateway.
func TestOpenSSLTrustsTheGateway(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("openssl is not installed")
	}
	s := newSite(t)
	s.startGateway()
	cmd := exec.CommandContext(t.Context(), "openssl", "s_client", "-connect", s.gatewayIP+":8883",
		"-CAfile", s.path("certs", "root.pem"), "-verify_return_error", "-verify_ip", s.gatewayIP)
	cmd.Stdin = strings.NewReader("")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "Verify return code: 0 (ok)") {
		t.Errorf("%v\n%s", err, out)
	}
}

// Devices with certificates: one known by its thumbprint, one by its authority.
func TestCertificatesOfTheDeviceSDK(t *testing.T) {
	s := newSite(t)
	root := s.path("certs", "root.pem")
	s.hub.stop()
	s.hubArgs = []string{"--device-ca", root}
	s.startHub()
	s.startGateway()
	s.sluice("certs", "device", "meter", "--dir", s.path("certs"), "--self-signed")
	s.sluice("certs", "device", "valve", "--dir", s.path("certs"))
	pair, err := pki.ReadCertificates(s.path("certs", "device-meter.pem"))
	if err != nil {
		t.Fatal(err)
	}
	_, thumbprint := pki.Thumbprints(pair[0])
	s.sluice("device", "create", "meter", "--hub-data", s.path("hub"), "--parent", "gateway", "--x509-thumbprint", thumbprint)
	s.sluice("device", "create", "valve", "--hub-data", s.path("hub"), "--parent", "gateway", "--ca-signed")
	for _, device := range []string{"meter", "valve"} {
		t.Run(device, func(t *testing.T) {
			// The SDK does not look at GatewayHostName here.
			s.node(root, "js/send.js", "HostName="+s.gatewayIP+";DeviceId="+device+";x509=true", root, "20", "mqtt", "0",
				s.path("certs", "device-"+device+".pem"), s.path("certs", "device-"+device+".key"))
			s.expect(device, 20)
		})
	}
}
