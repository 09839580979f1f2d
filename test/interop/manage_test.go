package interop

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/hub/storage"
	"sluice/iot"
)

// manageSteps are what the service SDK sees of a hub that is like Azure's.
const manageSteps = `
twin: [true,12,true]
update twin: [{"n":1,"site":"north"},5,2]
update twin, stale: InvalidEtagError
update twin, any: {"n":2,"site":"north"}
twin of nobody: DeviceNotFoundError
module twin: {"a":1}
query in pages: [["lamp","pump"],["site"]]
query as twins: [1,true,"lamp"]
query of some: [{"deviceId":"lamp","n":2},{"deviceId":"pump","n":1}]
query of groups: [{"n":1},{"site":"north","n":2}]
query of modules: ["site/$edgeAgent","site/$edgeHub"]
query of connected: [{"deviceId":"pump"}]
wrong query: ArgumentError
method: {"status":200,"payload":{"echo":{"a":[1,"ü"]}}}
method of nobody: DeviceNotFoundError
method of one that is away: Error
add with tags: {"isSuccessful":true,"errors":[],"warnings":[]}
find them: ["new-1","new-2"]
add configuration: "MQ=="
add configuration again: DeviceAlreadyExistsError
it applies: [{"appliedCount":2,"targetedCount":2},{"slow":2},{"by":"me"}]
to the twin: [60,{"slow":{"status":"Applied"}}]
change configuration: 11
change configuration, stale: InvalidEtagError
list configurations: ["slow"]
remove configuration: 204
get configuration: Error
modules of one device: [{"up":"FROM /* INTO $upstream"},"IotEdge"]
modules of no edge device: ArgumentError
schedule twins: "scheduleUpdateTwin"
twins are changed: ["completed",{"deviceCount":2,"failedCount":0,"succeededCount":2,"runningCount":0,"pendingCount":0},["lamp","pump"]]
schedule a method: "scheduleDeviceMethod"
it is called: ["completed",{"deviceCount":2,"failedCount":1,"succeededCount":1,"runningCount":0,"pendingCount":0}]
what became of it: [["lamp","failed",null,"404103"],["pump","completed",{"payload":{"echo":{"a":[1,"ü"]}},"status":200},null]]
schedule for later: "queued"
cancel: "cancelled"
schedule again: DeviceAlreadyExistsError
list jobs: [["later","cancelled"],["twins","completed"]]
job that is not there: Error`

// Applications do with the service SDK what they do with devices that are
// connected with the device SDK.
func TestServiceSDKManagesDevices(t *testing.T) {
	h := newServiceHub(t)
	pump := h.add(iot.DeviceIdentity("pump"))
	h.add(iot.DeviceIdentity("lamp"))
	var site storage.Entry
	site.Identity, site.Enabled, site.Edge = iot.DeviceIdentity("site"), true, true
	if _, err := h.host.Registry().Create(site); err != nil {
		t.Fatal(err)
	}
	device := exec.Command("node", "js/device.js", pump, h.root(), "mqtt")
	device.Env = append(os.Environ(), "NODE_EXTRA_CA_CERTS="+h.root())
	stdin, err := device.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	d := launch(t, "device.js", device)
	d.until("listening", 1, time.Minute)

	owner, _ := h.host.Registry().Policy(storage.OwnerPolicy)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", "js/manage.js", "HostName="+h.ip+";SharedAccessKeyName="+owner.Name+";SharedAccessKey="+owner.Primary.Reveal())
	cmd.Env = append(os.Environ(), "NODE_EXTRA_CA_CERTS="+h.root())
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaints
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s%s", err, out.String(), complaints.String())
	}
	want := strings.Split(strings.TrimSpace(manageSteps), "\n")
	if diff := cmp.Diff(want, readSteps(t, &out)); diff != "" {
		t.Errorf("what the SDK saw (-want +got):\n%s", diff)
	}
	d.until(`desired {"speed":5,"$version":2}`, 1, time.Minute)
	d.until(`desired {"interval":60,"$version":3}`, 1, time.Minute)
	if err := stdin.Close(); err != nil {
		t.Error(err)
	}
}
