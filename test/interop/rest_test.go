package interop

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"sluice/internal/auth"
	"sluice/internal/dbtest"
	"sluice/internal/hub/registry"
	"sluice/internal/hub/rest"
	"sluice/internal/hub/storage"
	"sluice/internal/sas"
)

// registrySteps are what the service SDK sees of a hub that is like Azure's.
const registrySteps = `
create: ["pump+7'","enabled","Disconnected","sas",44]
create again: DeviceAlreadyExistsError
create with key: ["disabled","spare",true]
create x509: ["selfSigned","ABABABABABABABABABABABABABABABABABABABAB",null]
update what was got: ["enabled",true,true,true]
get nobody: DeviceNotFoundError
update nobody: DeviceNotFoundError
edge and leaf: [true,true,true]
list: ["leaf","meter","pump+7'","site","valve"]
add module: ["site","filter","me","sas"]
add module again: DeviceAlreadyExistsError
modules: ["$edgeAgent","$edgeHub","filter"]
update module, stale: InvalidEtagError
update module, forced: "them"
remove module, stale: InvalidEtagError
remove module: 204
get module: Error
add 100: {"isSuccessful":true,"errors":[],"warnings":[]}
add 100 again: ["ArgumentError",false,100,"many-0","DeviceAlreadyExists"]
statistics: {"totalDeviceCount":105,"enabledDeviceCount":105,"disabledDeviceCount":0}
update 2 of 100: {"isSuccessful":true,"errors":[],"warnings":[]}
update one, stale: "PreconditionFailed"
statistics, two disabled: {"totalDeviceCount":105,"enabledDeviceCount":103,"disabledDeviceCount":2}
remove 100: {"isSuccessful":true,"errors":[],"warnings":[]}
delete: 204
delete again: DeviceNotFoundError
statistics at the end: {"totalDeviceCount":4,"enabledDeviceCount":4,"disabledDeviceCount":0}
wrong key: UnauthorizedError`

func TestServiceSDKFindsTheRegistryItKnows(t *testing.T) {
	requireServiceSDK(t)
	const host = "127.0.0.1"
	store := registryInMemory(t)
	server := httptest.NewTLSServer(rest.New(rest.Options{
		HostName: host, Registry: store, Auth: &auth.Authenticator{Directory: store, Hosts: []string{host}},
		Log: slog.New(slog.DiscardHandler),
	}))
	defer server.Close()
	owner, _ := store.Policy(storage.OwnerPolicy)
	cs := sas.ConnectionString{HostName: host, PolicyName: owner.Name, Key: owner.Primary}
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}

	cmd := exec.CommandContext(t.Context(), "node", "js/registry.js", cs.Reveal(), port)
	cmd.Env = append(os.Environ(), "NODE_EXTRA_CA_CERTS="+rootFile(t, server))
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaints
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s%s", err, out.String(), complaints.String())
	}
	want := strings.Split(strings.TrimSpace(registrySteps), "\n")
	if diff := cmp.Diff(want, readSteps(t, &out)); diff != "" {
		t.Errorf("what the SDK saw (-want +got):\n%s", diff)
	}
}

// readSteps writes each step of registry.js as in registrySteps.
func readSteps(t *testing.T, out *bytes.Buffer) (steps []string) {
	t.Helper()
	for d := json.NewDecoder(out); d.More(); {
		var s struct {
			Step, Error, Text string
			Value             json.RawMessage
		}
		if err := d.Decode(&s); err != nil {
			t.Fatal(err)
		}
		if s.Error != "" {
			t.Logf("%s: %s: %s", s.Step, s.Error, s.Text)
		}
		steps = append(steps, fmt.Sprintf("%s: %s%s", s.Step, s.Error, s.Value))
	}
	return steps
}

// requireServiceSDK skips the test if Microsoft's packages are not there, unless
// SLUICE_INSTALL=1 says to install them.
func requireServiceSDK(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("node is not installed")
	}
	if _, err := os.Stat("node_modules/azure-iothub"); err == nil {
		return
	}
	if os.Getenv("SLUICE_INSTALL") != "1" {
		t.Skip("test/interop/node_modules is missing: run npm ci there, or set SLUICE_INSTALL=1")
	}
	if out, err := exec.CommandContext(t.Context(), "npm", "ci").CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
}

func registryInMemory(t *testing.T) *registry.Store {
	t.Helper()
	store, err := registry.Open(dbtest.Open(t, vfs.NewMem()), registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// rootFile writes the certificate that signed the server's.
func rootFile(t *testing.T, server *httptest.Server) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "root.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
