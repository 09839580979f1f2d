package interop

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fileSteps is what files.js sees of a device called pump.
const fileSteps = `
upload: 
first notification: {"deviceId":"pump","blobName":"pump/logs/large.bin","blobSizeInBytes":9437184,"uri":true,"fresh":true,"type":"application/vnd.microsoft.iothub.filenotification.json"}
the same again: {"deviceId":"pump","blobName":"pump/logs/large.bin","blobSizeInBytes":9437184,"uri":true,"fresh":true,"type":"application/vnd.microsoft.iothub.filenotification.json"}
address: {"containerName":"uploads","blobName":"pump/a small file.txt"}
put: 
read: "hello"
put elsewhere: status 403
notify: 
second notification: {"deviceId":"pump","blobName":"pump/a small file.txt","blobSizeInBytes":5,"uri":true,"fresh":true,"type":"application/vnd.microsoft.iothub.filenotification.json"}
notify again: Error
a file that is not there: Error
one that failed: 
no such name: Error
too many: after 10 DeviceMaximumActiveFileUploadLimitExceeded
one that ends makes place: 
heard besides: 0`

// Devices upload files with the official SDK, old way and new, at the hub and through a
// gateway, and applications hear of them.
func TestFilesOfTheDeviceSDK(t *testing.T) {
	store := newAzurite(t)
	s := newSite(t, "direct", "below")
	s.hub.stop()
	s.hubArgs = []string{"--storage", store.account, "--storage-ca", store.root}
	s.startHub()
	s.startGateway()
	direct, _, _ := strings.Cut(s.deviceString("direct"), ";GatewayHostName")
	for _, at := range []struct{ device, connection, root string }{
		{"direct", direct, s.path("hub", "root.pem")},
		{"below", s.webString("below"), s.path("certs", "root.pem")},
	} {
		t.Run(at.device, func(t *testing.T) {
			roots := bundle(t, at.root, s.path("hub", "root.pem"), store.root)
			out := bytes.NewBufferString(s.node(roots, "js/files.js", s.owner, at.connection))
			want := strings.Split(strings.TrimSpace(strings.ReplaceAll(fileSteps, "pump", at.device)), "\n")
			if diff := cmp.Diff(want, readSteps(t, out)); diff != "" {
				t.Errorf("what the SDK saw (-want +got):\n%s", diff)
			}
		})
	}
}
