package moduleclient

import (
	"fmt"
	"os"
	"strings"

	"sluice/internal/sas"
	"sluice/iot"
)

// An Environment is who a module is, and where its gateway and its workload API
// are.
type Environment struct {
	Identity   iot.Identity
	Generation string // of the module's identity at the hub
	Hub        string // host name of the hub: in tokens and user names
	Gateway    string // host name to connect to; "" for the hub itself

	// Workload is the URI of the workload API, unix:///path or http://host:port,
	// and APIVersion what to ask it for. Not needed with a Key.
	Workload   string
	APIVersion string

	// Key is the module's key, where there is no workload API.
	Key iot.Secret
	// Roots is a file of what to trust, in PEM; "" to ask the workload API.
	Roots string
}

// The variables that IoT Edge sets for its modules, and those that its development
// tools set instead.
const (
	workloadVariable   = "IOTEDGE_WORKLOADURI"
	deviceVariable     = "IOTEDGE_DEVICEID"
	moduleVariable     = "IOTEDGE_MODULEID"
	hubVariable        = "IOTEDGE_IOTHUBHOSTNAME"
	schemeVariable     = "IOTEDGE_AUTHSCHEME"
	generationVariable = "IOTEDGE_MODULEGENERATIONID"
	gatewayVariable    = "IOTEDGE_GATEWAYHOSTNAME"
	versionVariable    = "IOTEDGE_APIVERSION"
	connectionVariable = "EdgeHubConnectionString"
	rootsVariable      = "EdgeModuleCACertificateFile"
)

// oldestVersion of the workload API has all that is asked of it here.
const oldestVersion = "2019-01-30"

// FromEnvironment reads the environment of this process: EdgeHubConnectionString
// and EdgeModuleCACertificateFile if they are set, as the SDKs do, or else the
// variables IOTEDGE_*.
func FromEnvironment() (Environment, error) { return fromVariables(os.Getenv) }

func fromVariables(get func(string) string) (Environment, error) {
	if text := get(connectionVariable); strings.TrimSpace(text) != "" {
		env, err := FromConnectionString(text)
		env.Roots = get(rootsVariable)
		return env, err
	}
	for _, name := range []string{workloadVariable, deviceVariable, moduleVariable, hubVariable, schemeVariable, generationVariable} {
		if get(name) == "" {
			return Environment{}, fmt.Errorf("module environment: %s is not set: a gateway sets it for the modules that it runs; elsewhere set %s", name, connectionVariable)
		}
	}
	if scheme := get(schemeVariable); !strings.EqualFold(scheme, "sasToken") {
		return Environment{}, fmt.Errorf("module environment: %s is %.50q, and only sasToken is known", schemeVariable, scheme)
	}
	env := Environment{
		Identity:   iot.ModuleIdentity(get(deviceVariable), get(moduleVariable)),
		Generation: get(generationVariable),
		Hub:        strings.ToLower(get(hubVariable)),
		Gateway:    get(gatewayVariable),
		Workload:   get(workloadVariable),
		APIVersion: get(versionVariable),
	}
	if env.APIVersion == "" {
		env.APIVersion = oldestVersion
	}
	return env, env.validate()
}

// FromConnectionString is the environment of a module with this connection string,
// which contains its key. For development.
func FromConnectionString(text string) (Environment, error) {
	c, err := sas.ParseConnectionString(text)
	if err != nil {
		return Environment{}, fmt.Errorf("module environment: %w", err)
	}
	env := Environment{Identity: c.Identity, Hub: strings.ToLower(c.HostName), Gateway: c.GatewayHostName, Key: c.Key}
	if c.Key == "" {
		return Environment{}, fmt.Errorf("module environment: the connection string has no SharedAccessKey")
	}
	return env, env.validate()
}

func (e Environment) validate() error {
	if err := e.Identity.Validate(); err != nil {
		return fmt.Errorf("module environment: %w", err)
	}
	if !e.Identity.IsModule() {
		return fmt.Errorf("module environment: %s is a device, not a module", e.Identity)
	}
	return nil
}
