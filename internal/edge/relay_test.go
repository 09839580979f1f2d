package edge

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/internal/await"
	"sluice/internal/edge/config"
	"sluice/internal/hub/storage"
	"sluice/internal/sas"
	"sluice/iot"
)

// openBelow opens a gateway below another, which runs.
func (s *site) openBelow(upper *Edge, device storage.Entry) *Edge {
	s.t.Helper()
	cfg, err := config.Load(s.configure())
	if err != nil {
		s.t.Fatal(err)
	}
	cfg.DataDir = filepath.Join(s.t.TempDir(), "data")
	cfg.Device, cfg.DeviceKey = device.Identity, device.Auth.PrimaryKey
	cfg.ParentHostName = "127.0.0.1"
	cfg.Hub.CA = filepath.Join(upper.cfg.DataDir, "root.pem")
	cfg.Hub.AMQPPort, cfg.Hub.MQTTPort, cfg.Hub.HTTPSPort = port(upper.AMQPAddr()), port(upper.MQTTAddr()), port(upper.HTTPSAddr())
	e, err := Open(cfg, s.log)
	if err != nil {
		s.t.Fatal(err)
	}
	return e
}

// untilOnline waits until a gateway has reached its hub.
func (s *site) untilOnline(e *Edge) {
	s.t.Helper()
	await.True(s.t, "the hub is reached", e.gateway.Online)
}

// A gateway three levels down makes the identity of a module, by way of those above,
// and can use it at once.
func TestIdentitiesOfModulesAreMadeThroughGateways(t *testing.T) {
	s := newSite(t)
	top := s.open(nil)
	s.run(top.Run)
	s.untilOnline(top)
	scope, above := s.edge.Scope, top
	for _, name := range []string{"edge2", "edge3"} {
		device := s.register(storage.Entry{Registration: iot.Registration{Identity: iot.DeviceIdentity(name), Edge: true, ParentScopes: []string{scope}}})
		e := s.openBelow(above, device)
		s.run(e.Run)
		s.untilOnline(e)
		scope, above = device.Scope, e
	}
	if _, _, ok := above.gateway.ModuleKey(t.Context(), "filter"); ok {
		t.Fatal("a module that nobody has made has a key")
	}
	if err := above.createIdentity(t.Context(), "filter"); err != nil {
		t.Fatal(err)
	}
	made, ok := s.hub.Registry().Get(iot.ModuleIdentity("edge3", "filter"))
	if key, generation, known := above.gateway.ModuleKey(t.Context(), "filter"); !ok || !known || key != made.Auth.PrimaryKey || generation != made.GenerationID {
		t.Errorf("at the hub %v, at the gateway %v", ok, known)
	}
}

// What is relayed is for edge devices below alone, and about their own modules.
func TestZ7_OnlyGatewaysBelowAreRelayed(t *testing.T) {
	s := newSite(t, "leaf")
	lower := s.register(storage.Entry{Registration: iot.Registration{Identity: iot.DeviceIdentity("lower"), Edge: true, ParentScopes: []string{s.edge.Scope}}})
	sibling := s.register(storage.Entry{Registration: iot.Registration{Identity: iot.DeviceIdentity("sibling"), Edge: true}})
	s.register(storage.Entry{Registration: iot.Registration{Identity: iot.ModuleIdentity("lower", "m")}})
	e := s.open(nil)
	s.run(e.Run)
	s.untilOnline(e)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: s.trusted()}, Timeout: patience}
	defer client.CloseIdleConnections()
	ask := func(method, path string, id iot.Identity, key iot.Secret, body string) (int, string) {
		token, err := sas.Sign(key, sas.Resource{Host: s.hub.HostName(), Identity: id}, "", time.Now().Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		req, err := http.NewRequestWithContext(context.Background(), method, "https://"+e.HTTPSAddr().String()+path+"?api-version=2021-04-12", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", token)
		answer, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode, string(text)
	}
	for _, tt := range []struct {
		name, method, path string
		id                 iot.Identity
		key                iot.Secret
		want               int
	}{
		{"its own module", "GET", "/devices/lower/modules/m", lower.Identity, lower.Auth.PrimaryKey, 200},
		{"with another key", "GET", "/devices/lower/modules/m", lower.Identity, sibling.Auth.PrimaryKey, 401},
		{"as another", "GET", "/devices/lower/modules/m", sibling.Identity, sibling.Auth.PrimaryKey, 401},
		{"one that is not below", "GET", "/devices/sibling/modules/m", sibling.Identity, sibling.Auth.PrimaryKey, 401},
		{"the gateway itself", "GET", "/devices/edge1/modules/m", s.edge.Identity, s.edge.Auth.PrimaryKey, 403},
		{"a device that is none of the edge", "PUT", "/devices/leaf/modules/m", iot.DeviceIdentity("leaf"), s.keys["leaf"], 403},
		{"an id that is none", "GET", "/devices/lower/modules/a%2Fb", lower.Identity, lower.Auth.PrimaryKey, 404},
		{"something else", "POST", "/devices/lower/modules/m", lower.Identity, lower.Auth.PrimaryKey, 404},
	} {
		if got, text := ask(tt.method, tt.path, tt.id, tt.key, `{}`); got != tt.want {
			t.Errorf("%s: %d %s, want %d", tt.name, got, text, tt.want)
		}
	}
	var m struct {
		ModuleID string `json:"moduleId"`
	}
	if _, text := ask("GET", "/devices/lower/modules/m", lower.Identity, lower.Auth.PrimaryKey, ""); json.Unmarshal([]byte(text), &m) != nil || m.ModuleID != "m" {
		t.Errorf("the hub's answer came as %s", text)
	}
}
