package module

import (
	"maps"
	"os"
	"slices"
	"strings"

	"sluice/internal/workload"
)

// markVariable tells, in the environment of a module and all that it starts, which
// gateway it belongs to: DATA//NAME, and no name has a slash.
const markVariable = "SLUICE_MODULE"

// set are the variables that the gateway sets.
var set = []string{
	"IOTEDGE_WORKLOADURI", "IOTEDGE_AUTHSCHEME", "IOTEDGE_MODULEGENERATIONID", "IOTEDGE_IOTHUBHOSTNAME",
	"IOTEDGE_GATEWAYHOSTNAME", "IOTEDGE_PARENTHOSTNAME", "IOTEDGE_DEVICEID", "IOTEDGE_MODULEID", "IOTEDGE_APIVERSION",
	markVariable,
}

func ours(variable string) bool { return slices.Contains(set, variable) }

// inherited are the variables that a module gets from the gateway's environment,
// unless its deployment sets them. Others are none of its business.
var inherited = []string{
	"PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "SYSTEMROOT",
	"http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY",
}

// environment is what a module's process is given.
func (r *Runtime) environment(s *Spec, generation, dir string) []string {
	env := map[string]string{"HOME": dir, "RuntimeLogLevel": r.opt.LogLevel}
	for _, name := range inherited {
		if value, ok := os.LookupEnv(name); ok {
			env[name] = value
		}
	}
	maps.Copy(env, s.Env)
	for _, v := range s.options.Env {
		key, value, _ := strings.Cut(v, "=")
		env[key] = value
	}
	maps.Copy(env, map[string]string{
		"IOTEDGE_WORKLOADURI":        "unix://" + r.socketPath(s.Name),
		"IOTEDGE_AUTHSCHEME":         "sasToken",
		"IOTEDGE_MODULEGENERATIONID": generation,
		"IOTEDGE_IOTHUBHOSTNAME":     r.opt.Hub,
		"IOTEDGE_GATEWAYHOSTNAME":    r.opt.Host,
		"IOTEDGE_DEVICEID":           r.opt.Device.Device,
		"IOTEDGE_MODULEID":           s.Name,
		"IOTEDGE_APIVERSION":         workload.Version,
		markVariable:                 r.mark(s.Name),
	})
	if r.opt.ParentHost != "" {
		env["IOTEDGE_PARENTHOSTNAME"] = r.opt.ParentHost
	}
	list := make([]string, 0, len(env))
	for _, key := range slices.Sorted(maps.Keys(env)) {
		list = append(list, key+"="+env[key])
	}
	return list
}

// mark is the value of markVariable; with no name, what those of all modules begin
// with.
func (r *Runtime) mark(name string) string { return r.opt.Dir + "//" + name }
