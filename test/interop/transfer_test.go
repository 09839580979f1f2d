package interop

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/hub/host"
	"sluice/internal/hub/storage"
)

// transferSteps is what transfer.js sees.
const transferSteps = `
export: {"type":"export","status":"completed","progress":100,"outputBlobName":"devices.txt"}
exported: ["a/ enabled key {\"site\":\"hall 4\"} 10","b/ disabled key {} ","e/ enabled key {} ","a/m  key {} ","e/$edgeAgent  key {} ","e/$edgeHub  key {} "]
export without keys: {"type":"export","status":"completed","progress":100,"outputBlobName":"devices.txt","keys":0}
delete all: 
import: {"type":"import","status":"completed","progress":100,"outputBlobName":"importErrors.log"}
errors: ""
a is back: {"key":true,"tags":{"site":"hall 4"},"interval":10,"modules":["m"]}
b is: "disabled"
e has: ["$edgeAgent","$edgeHub"]
import again: {"type":"import","status":"completed","progress":100,"outputBlobName":"importErrors.log"}
import with errors: {"type":"import","status":"completed","progress":100,"outputBlobName":"importErrors.log"}
the errors: ["a DeviceAlreadyExists","nobody DeviceNotFound","sp ace ArgumentInvalid"]
left: ["a","e","new"]
a container that is not there: {"type":"import","status":"failed","progress":0,"failureReason":"devices.txt: the blob store answered 403 AuthorizationFailure","outputBlobName":"importErrors.log"}
no container: ArgumentError
jobs: ["export completed","export completed","import completed","import completed","import completed","import failed"]
cancel: Error`

// The identities of a hub are moved into a blob and back with the official service SDK.
func TestIdentitiesAreExportedAndImported(t *testing.T) {
	store := newAzurite(t)
	h := newAMQPHub(t, func(c *host.Config) { c.MQTTPort, c.HTTPSPort, c.Storage.CA = -1, 0, store.root })
	cmd := exec.CommandContext(t.Context(), "node", "js/transfer.js", h.host.ConnectionString(storage.OwnerPolicy), store.account)
	cmd.Env = append(os.Environ(), "NODE_EXTRA_CA_CERTS="+bundle(t, h.root(), store.root))
	out := output(t, cmd)
	want := strings.Split(strings.TrimSpace(transferSteps), "\n")
	if diff := cmp.Diff(want, readSteps(t, bytes.NewBufferString(out))); diff != "" {
		t.Errorf("what the SDK saw (-want +got):\n%s", diff)
	}
}
