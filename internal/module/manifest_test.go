package module

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestDeploymentsOfIoTEdgeAreUnderstood(t *testing.T) {
	agent := `{
		"schemaVersion": "1.1",
		"runtime": {"type": "docker", "settings": {"registryCredentials": {"r": {"address": "a", "username": "u", "password": "p"}}}},
		"systemModules": {
			"edgeAgent": {"type": "docker", "settings": {"image": "mcr.microsoft.com/azureiotedge-agent:1.5", "createOptions": "{}"}},
			"edgeHub": {"type": "docker", "status": "running", "restartPolicy": "always", "settings": {"image": "mcr.microsoft.com/azureiotedge-hub:1.5"}}},
		"modules": {
			"late": {"type": "process", "status": "running", "settings": {"image": " /usr/bin/late "}},
			"first": {"type": "process", "status": "stopped", "restartPolicy": "always", "startupOrder": 1, "version": "1.0", "imagePullPolicy": "never",
				"settings": {"image": "python3", "createOptions": "{\"Cmd\":[\"-u\",", "createOptions01": "\"main.py\"],\"StopTimeout\":3,\"HostConfig\":{\"LogConfig\":{\"Type\":\"json-file\",\"Config\":{\"max-size\":\"2m\",\"max-file\":\"5\"}}},", "createoptions02": "\"Labels\":{}}"},
				"env": {"A": {"value": "b"}, "N": {"value": 7}}},
			"container": {"type": "docker", "status": "running", "startupOrder": 1, "settings": {"image": "nginx", "createOptions": "no JSON"}}
		}}`
	for name, text := range map[string]string{
		"properties":    agent,
		"file":          `{"modulesContent": {"$edgeAgent": {"properties.desired": ` + agent + `}, "$edgeHub": {"properties.desired": {}}}}`,
		"configuration": `{"id": "x", "content": {"modulesContent": {"$edgeAgent": {"properties.desired": ` + agent + `}}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			m, err := ParseManifest([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			var order []string
			for _, s := range m.Modules {
				order = append(order, s.Name)
			}
			if diff := cmp.Diff([]string{"container", "first", "late"}, order); diff != "" {
				t.Error(diff)
			}
			first, late := m.Modules[1], m.Modules[2]
			if diff := cmp.Diff([]string{"python3", "-u", "main.py"}, first.command()); diff != "" {
				t.Error(diff)
			}
			if !first.Stopped || first.Restart != Always || first.Version != "1.0" || first.Env["N"] != "7" || first.options.grace() != 3*time.Second ||
				first.options.maxSize != 2<<20 || first.options.maxFile != 5 || !cmp.Equal(first.options.idle, []string{"Labels"}) {
				t.Errorf("%+v", first)
			}
			if late.Restart != OnUnhealthy || late.Order != lastOrder || late.Image != "/usr/bin/late" || late.options.grace() != defaultGrace {
				t.Errorf("%+v", late)
			}
		})
	}
}

func TestL7_WrongDeploymentsSayWhatIsWrong(t *testing.T) {
	module := func(text string) string { return `{"schemaVersion": "1.0", "modules": {"m": ` + text + `}}` }
	options := func(text string) string {
		quoted, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		return module(`{"type": "process", "status": "running", "settings": {"image": "a", "createOptions": ` + string(quoted) + `}}`)
	}
	for _, tt := range []struct {
		name, text string
		code       int
		want       string
	}{
		{"no JSON", "{\n\n  \"a\": nil}", 400, "line 3: "},
		{"nothing", "", 400, "line 1: unexpected end"},
		{"a list", "[]", 400, "no JSON object"},
		{"empty", "{}", 417, "the deployment is empty"},
		{"no schema", `{"modules": {}}`, 400, "schemaVersion is missing"},
		{"another schema", `{"schemaVersion": "2.0", "modules": {}}`, 412, `"2.0" is not supported`},
		{"a later schema", `{"schemaVersion": "1.2", "modules": {}}`, 412, `"1.2" is not supported`},
		{"not for this", `{"modulesContent": {"$edgeHub": {}}}`, 400, "modulesContent has no $edgeAgent"},
		{"not whole", `{"modulesContent": {"$edgeAgent": {"modules": {}}}}`, 400, `no "properties.desired"`},
		{"no type", module(`{"status": "running"}`), 400, "module m: type is missing"},
		{"no status", module(`{"type": "process"}`), 400, "status is missing"},
		{"wrong status", module(`{"type": "process", "status": "up"}`), 400, `status is "up"`},
		{"wrong policy", module(`{"type": "process", "status": "running", "restartPolicy": "often"}`), 400, `restartPolicy is "often"`},
		{"wrong order", module(`{"type": "process", "status": "running", "startupOrder": -1}`), 400, "startupOrder"},
		{"no program", module(`{"type": "process", "status": "running", "settings": {}}`), 400, "settings.image is missing"},
		{"a variable of ours", module(`{"type": "process", "status": "running", "settings": {"image": "a"}, "env": {"IOTEDGE_MODULEID": {"value": "other"}}}`), 400, "env.IOTEDGE_MODULEID is set by the gateway"},
		{"the mark", module(`{"type": "process", "status": "running", "settings": {"image": "a"}, "env": {"SLUICE_MODULE": {"value": "other"}}}`), 400, "env.SLUICE_MODULE is set by the gateway"},
		{"a variable without a value", module(`{"type": "process", "status": "running", "settings": {"image": "a"}, "env": {"A": {}}}`), 400, "env.A has no value"},
		{"a variable with a null", module(`{"type": "process", "status": "running", "settings": {"image": "a"}, "env": {"A": {"value": "a\u0000b"}}}`), 400, "null character"},
		{"no name for a variable", module(`{"type": "process", "status": "running", "settings": {"image": "a"}, "env": {"A=B": {"value": "c"}}}`), 400, "no name for a variable"},
		{"options that are no JSON", options("{"), 400, "createOptions is no JSON object"},
		{"options with a gap", module(`{"type": "process", "status": "running", "settings": {"image": "a", "createOptions": "{", "createOptions02": "}"}}`), 400, "createOptions01 is missing"},
		{"options of another type", options(`{"Cmd": 7}`), 400, "Cmd"},
		{"a variable of ours by options", options(`{"Env": ["IOTEDGE_DEVICEID=x"]}`), 400, "IOTEDGE_DEVICEID is set by the gateway"},
		{"no variable", options(`{"Env": ["A"]}`), 400, "not KEY=VALUE"},
		{"no signal", options(`{"StopSignal": "SIGNOTHING"}`), 400, "is no signal"},
		{"a long grace", options(`{"StopTimeout": 100000}`), 400, "up to an hour"},
		{"no size", options(`{"HostConfig": {"LogConfig": {"Config": {"max-size": "ten"}}}}`), 400, `"ten" is no size`},
		{"no files", options(`{"HostConfig": {"LogConfig": {"Config": {"max-file": "0"}}}}`), 400, "from 1 to 1000"},
		{"the gateway's own name", `{"schemaVersion": "1.0", "modules": {"$edgeHub": {"type": "process", "status": "running", "settings": {"image": "a"}}}}`, 400, "module $edgeHub: this is no name"},
		{"a name with a slash", `{"schemaVersion": "1.0", "modules": {"../m": {"type": "process", "status": "running", "settings": {"image": "a"}}}}`, 400, "this is no name"},
		{"the name of a directory", `{"schemaVersion": "1.0", "modules": {"..": {"type": "process", "status": "running", "settings": {"image": "a"}}}}`, 400, "this is no name"},
		{"no name", `{"schemaVersion": "1.0", "modules": {"": {"type": "process", "status": "running", "settings": {"image": "a"}}}}`, 400, "this is no name"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParseManifest([]byte(tt.text))
			var f *Fault
			if !errors.As(err, &f) || f.Code != tt.code || !strings.Contains(f.Text, tt.want) {
				t.Errorf("%+v, want %d %s", err, tt.code, tt.want)
			}
		})
	}
}

func FuzzParseManifest(f *testing.F) {
	f.Add([]byte(`{"schemaVersion": "1.1", "modules": {"m": {"type": "process", "status": "running", "settings": {"image": "a", "createOptions": "{\"Cmd\":", "createOptions01": "\"b\"}"}, "env": {"A": {"value": 1}}}}}`))
	f.Add([]byte(`{"content": {"modulesContent": {"$edgeAgent": {"properties.desired": {"schemaVersion": "1.0", "modules": {}}}}}}`))
	f.Add([]byte(`{"schemaVersion": "1.1", "modules": {"m": {"type": "docker", "status": "stopped", "settings": {"image": "a", "createOptions": {"HostConfig": {}}}}}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := ParseManifest(text)
		if err != nil {
			var fault *Fault
			if !errors.As(err, &fault) || fault.Code < 400 {
				t.Fatalf("%T %v", err, err)
			}
			return
		}
		for _, s := range m.Modules {
			if s.Name == "" || s.Name == "." || s.Name == ".." || strings.ContainsAny(s.Name, "/\x00") || s.Name[0] == '$' {
				t.Fatalf("a module is called %q", s.Name)
			}
			if argv := s.command(); s.Type == TypeProcess && (len(argv) == 0 || argv[0] == "") {
				t.Fatalf("%q is run", argv)
			}
			for key := range s.Env {
				if ours(key) {
					t.Fatalf("%s is set", key)
				}
			}
			if _, err := json.Marshal((&Status{Spec: s}).report(false)); err != nil {
				t.Fatal(err)
			}
		}
	})
}
