package edge

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"time"

	"sluice/internal/sas"
	"sluice/iot"
)

// Of the request that makes the identity of a module: the version of the hub's API,
// how long it may take, and how long its token is good.
const (
	identityVersion = "2021-04-12"
	identityTimeout = 10 * time.Second
	identityToken   = 5 * time.Minute
)

// createIdentity makes the identity of a module of the device at the hub, as an edge
// device may. One that is there is left as it is.
func (e *Edge) createIdentity(ctx context.Context, module string) error {
	id := iot.ModuleIdentity(e.cfg.Device.Device, module)
	if !e.gateway.Online() {
		return iot.Errorf(iot.Unavailable, "create", id, "the hub is away")
	}
	ctx, cancel := context.WithTimeout(ctx, identityTimeout)
	defer cancel()
	req, err := e.identityRequest(ctx, id)
	if err != nil {
		return err
	}
	transport := e.identityTransport()
	defer transport.CloseIdleConnections()
	answer, err := transport.RoundTrip(req)
	if err != nil {
		return &iot.Error{Kind: iot.Unavailable, Op: "create", Identity: id, Err: err}
	}
	defer answer.Body.Close() //nolint:errcheck // was only read
	if answer.StatusCode < 300 || answer.StatusCode == http.StatusConflict {
		e.learn(ctx, id)
		return nil
	}
	text, _ := io.ReadAll(io.LimitReader(answer.Body, 1<<10)) // for people
	return iot.Errorf(iot.KindFromHTTP(answer.StatusCode), "create", id, "the hub answers %s: %s", answer.Status, bytes.TrimSpace(text))
}

func (e *Edge) identityRequest(ctx context.Context, id iot.Identity) (*http.Request, error) {
	token, err := sas.Sign(e.cfg.DeviceKey, sas.Resource{Host: e.cfg.HubHostName, Identity: id.Owner()}, "", time.Now().Add(identityToken))
	if err != nil {
		return nil, err
	}
	key := map[string]string{"primaryKey": sas.NewKey().Reveal(), "secondaryKey": sas.NewKey().Reveal()}
	body, err := json.Marshal(map[string]any{
		"deviceId": id.Device, "moduleId": id.Module, "managedBy": "iotedge",
		"authentication": map[string]any{"type": iot.AuthSAS, "symmetricKey": key},
	})
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, e.modulesURL(id, "api-version="+identityVersion), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Host = e.cfg.HubHostName
	req.Header.Set("Authorization", token)
	req.Header.Set("Content-Type", "application/json")
	return req, nil
}

// identityTransport trusts what sessions with the hub trust at the moment.
func (e *Edge) identityTransport() *http.Transport {
	name := e.cfg.HubHostName
	if e.cfg.ParentHostName != "" {
		name = e.cfg.ParentHostName
	}
	t := &http.Transport{
		Proxy:           http.ProxyFromEnvironment,
		TLSClientConfig: &tls.Config{RootCAs: e.parent.roots.current(), ServerName: name, MinVersion: tls.VersionTLS12},
	}
	if e.cfg.Hub.Address != "" {
		t.Proxy = nil // an address is on this network
	}
	return t
}
