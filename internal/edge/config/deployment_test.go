package config

import (
	"strings"
	"testing"
)

func TestDeploymentIsAFileOrTheHubs(t *testing.T) {
	for value, want := range map[string]string{
		"":                          "",
		"deployment.json":           "/etc/sluice/deployment.json",
		"/var/deployment.json":      "/var/deployment.json",
		"file:///var/d%20ment.json": "/var/d ment.json",
		"$edgeAgent":                "$edgeAgent",
	} {
		got, err := Parse([]byte(minimal+"[sluice]\ndeployment = \""+value+"\"\n"), "/etc/sluice")
		if err != nil || got.Deployment != want {
			t.Errorf("%q: %v, %v, want %q", value, got, err, want)
		}
	}
	_, err := Parse([]byte(minimal+"[sluice]\ndeployment = \"https://hub\"\n"), "/etc/sluice")
	if err == nil || !strings.Contains(err.Error(), "sluice.deployment") {
		t.Errorf("a URL: %v", err)
	}
}
