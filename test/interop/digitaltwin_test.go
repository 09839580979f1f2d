package interop

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/hub/host"
	"sluice/internal/hub/storage"
	"sluice/iot"
)

// digitalTwinSteps is what digitaltwin.js sees.
const digitalTwinSteps = `
get: {"$dtId":"controller","$metadata":{"$model":"dtmi:com:example:Controller;1","serial":{}},"serial":"x1","thermostat1":{"$metadata":{"max":{"ackCode":200,"ackDescription":"set","ackVersion":2}},"max":40}}
update: {}
the device hears: {"__t":"c","max":40}
get again: {"$dtId":"controller","$metadata":{"$model":"dtmi:com:example:Controller;1","interval":{"desiredValue":5,"desiredVersion":2},"serial":{}},"serial":"x1","thermostat1":{"$metadata":{"max":{"ackCode":200,"ackDescription":"set","ackVersion":2,"desiredValue":40,"desiredVersion":2}},"max":40}}
command: {"status":200,"body":{"name":"reboot","payload":{"delay":5}}}
command of a component: {"status":202,"body":{"name":"thermostat1*getReport","payload":"since"}}
no such device: Error`

// A device of IoT Plug and Play is used with the official service SDK.
func TestDigitalTwinsOfTheServiceSDK(t *testing.T) {
	h := newAMQPHub(t, func(c *host.Config) { c.MQTTPort, c.HTTPSPort = 0, 0 })
	device := h.register(iot.DeviceIdentity("controller"), bySAS)
	out := h.node("js/digitaltwin.js", h.host.ConnectionString(storage.OwnerPolicy), device)
	want := strings.Split(strings.TrimSpace(digitalTwinSteps), "\n")
	if diff := cmp.Diff(want, readSteps(t, bytes.NewBufferString(out))); diff != "" {
		t.Errorf("what the SDK saw (-want +got):\n%s", diff)
	}
}
