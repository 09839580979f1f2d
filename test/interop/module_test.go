package interop

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sluice/internal/hubevent"
)

// startGatewayWith starts the gateway with modules of a deployment.
func (s *site) startGatewayWith(deployment string) {
	s.t.Helper()
	s.startGateway() // writes the configuration
	s.gateway.stop()
	text, err := os.ReadFile(s.path("config.toml"))
	if err != nil {
		s.t.Fatal(err)
	}
	with := strings.Replace(string(text), "[sluice]\n", "[sluice]\ndeployment = \""+deployment+"\"\n", 1)
	if err := os.WriteFile(s.path("config.toml"), []byte(with), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.gateway = s.start("gateway", "msg=ready", "edge", "--config", s.path("config.toml"))
}

// processModule is a module of a deployment that runs module.js.
func (s *site) processModule(protocol string) map[string]any {
	s.t.Helper()
	here, err := os.Getwd()
	if err != nil {
		s.t.Fatal(err)
	}
	options, err := json.Marshal(map[string]any{"Cmd": []string{filepath.Join(here, "js", "module.js"), protocol}})
	if err != nil {
		s.t.Fatal(err)
	}
	return map[string]any{
		"type": "process", "status": "running", "restartPolicy": "always",
		"settings": map[string]any{"image": "node", "createOptions": string(options)},
		"env":      map[string]any{"GREETING": map[string]any{"value": "hello"}},
	}
}

// deployment writes a deployment for the service SDK.
func (s *site) deployment(modules map[string]any) string {
	s.t.Helper()
	system := map[string]any{"type": "docker", "settings": map[string]any{"image": "sluice", "createOptions": ""}}
	hub := map[string]any{"type": "docker", "status": "running", "restartPolicy": "always", "settings": system["settings"]}
	text, err := json.Marshal(map[string]any{"modulesContent": map[string]any{
		"$edgeAgent": map[string]any{"properties.desired": map[string]any{
			"schemaVersion": "1.1", "runtime": map[string]any{"type": "docker", "settings": map[string]any{}},
			"systemModules": map[string]any{"edgeAgent": system, "edgeHub": hub}, "modules": modules,
		}},
		"$edgeHub": map[string]any{"properties.desired": map[string]any{
			"schemaVersion": "1.1", "routes": map[string]any{"up": "FROM /messages/* INTO $upstream"},
			"storeAndForwardConfiguration": map[string]any{"timeToLiveSecs": 7200},
		}},
	}})
	if err != nil {
		s.t.Fatal(err)
	}
	file := s.path("deployment.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		s.t.Fatal(err)
	}
	return file
}

// deploy runs a task of deploy.js.
func (s *site) deploy(task ...string) string {
	s.t.Helper()
	return strings.TrimSpace(s.node(s.path("hub", "root.pem"), append([]string{"js/deploy.js", s.owner, "gateway"}, task...)...))
}

// A module of the official SDK, from a deployment file, by fromEnvironment: its
// token is signed by the gateway, it sends, has a twin and answers a method.
func TestModuleOfADeploymentFile(t *testing.T) {
	for _, protocol := range []string{"mqtt", "amqp"} {
		t.Run(protocol, func(t *testing.T) {
			s := newSite(t)
			if protocol == "amqp" { // the gateway makes it otherwise
				s.sluice("device", "create", "gateway/talker", "--hub-data", s.path("hub"))
			}
			s.startGatewayWith(s.deployment(map[string]any{"talker": s.processModule(protocol)}))
			logs := s.followLogs("talker")
			logs.until("sent", 1, time.Minute)
			s.heardFrom("talker")
			if got := s.deploy("call", "talker", "echo", `{"n":1}`); !strings.Contains(got, `{"echo":{"n":1}}`) {
				t.Errorf("the method's answer is %s", got)
			}
			if got := s.deploy("reported", "talker"); !strings.Contains(got, `"greeting":"hello"`) {
				t.Errorf("reported %s", got)
			}
			s.sluice("restart", "talker", "--data", s.path("gateway"))
			logs.until("sent", 2, time.Minute)
			s.gateway.stop()
			s.noProcess("js/module.js")
			if said, err := os.ReadFile(s.path("gateway", "logs", "talker.log")); err != nil || strings.Count(string(said), "acknowledged: bye") != 2 {
				t.Errorf("its last words were not taken: %v\n%s", err, said)
			}
		})
	}
}

// The official service SDK deploys, the gateway runs what it is told and reports it
// as edgeAgent does, with the hub or, after a restart, without it.
func TestModuleOfADeploymentOfTheHub(t *testing.T) {
	s := newSite(t)
	s.startGatewayWith("$edgeAgent")
	s.deploy("apply", s.deployment(map[string]any{"talker": s.processModule("mqtt")}))
	s.gateway.until(`msg="module started" module=talker`, 1, time.Minute)
	s.followLogs("talker").until("sent", 1, time.Minute)
	s.heardFrom("talker")
	s.reports(`"runtimeStatus":"running","settings":{"createOptions":"{\"Cmd\":`)
	s.reports(`"lastDesiredStatus":{"code":200,`)
	s.deploy("call", "$edgeAgent", "RestartModule", `{"schemaVersion":"1.0","id":"talker"}`)
	s.gateway.until(`msg="module started" module=talker`, 2, time.Minute)

	s.hub.stop()
	if err := s.gateway.end(syscall.SIGKILL); err == nil {
		t.Error("the gateway ended by itself")
	}
	s.gateway = s.start("gateway", "msg=ready", "edge", "--config", s.path("config.toml"))
	s.gateway.until(`msg="module started" module=talker`, 1, time.Minute)
	s.startHub()
	s.deploy("apply", s.deployment(map[string]any{}))
	s.gateway.until(`msg="module removed" module=talker`, 1, time.Minute)
	s.noProcess("js/module.js")
}

// followLogs prints a module's logs as they come.
func (s *site) followLogs(module string) *running {
	s.t.Helper()
	path, err := program()
	if err != nil {
		s.t.Fatal(err)
	}
	s.gateway.until(`msg="module started" module=`+module, 1, 30*time.Second)
	return launch(s.t, "logs", exec.Command(path, "logs", "-f", module, "--data", s.path("gateway")))
}

// heardFrom waits until the hub has an event of a module of the gateway's.
func (s *site) heardFrom(module string) {
	s.t.Helper()
	s.follow("gateway", func(e *hubevent.Event) bool {
		return e.System["iothub-connection-module-id"] != module || e.Text() != `{"from":"`+module+`"}`
	})
}

// reports waits until $edgeAgent reports something.
func (s *site) reports(text string) {
	s.t.Helper()
	var got string
	for late := time.Now().Add(30 * time.Second); time.Now().Before(late); {
		if got = s.deploy("reported", "$edgeAgent"); strings.Contains(got, text) {
			return
		}
	}
	s.t.Errorf("$edgeAgent reports %s, and not %s", got, text)
}

// noProcess fails if a process of this site's modules is left.
func (s *site) noProcess(script string) {
	s.t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil || len(all) == 0 {
		s.t.Fatalf("the processes cannot be listed: %v", err)
	}
	for _, p := range all {
		args, _ := os.ReadFile(filepath.Join(p, "cmdline")) // it may have gone
		env, _ := os.ReadFile(filepath.Join(p, "environ"))
		if strings.Contains(string(args), script) && strings.Contains(string(env), s.dir) {
			s.t.Errorf("left behind: %s %q", p, args)
		}
	}
}
