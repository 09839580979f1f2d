package upstream

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"sluice/iot"
)

// pageSize is how many identities one answer may carry. edgeHub asks for 10,
// which makes thousands of devices thousands of round trips.
const pageSize = 500

// maxAnswer bounds an answer, in bytes.
const maxAnswer = 16 << 20

// scopeAnswer is the answer to both questions about scope.
type scopeAnswer struct {
	Devices          []scopeIdentity `json:"devices"`
	Modules          []scopeIdentity `json:"modules"`
	ContinuationLink string          `json:"continuationLink"`
}

type scopeIdentity struct {
	DeviceID     string `json:"deviceId"`
	ModuleID     string `json:"moduleId"`
	GenerationID string `json:"generationId"`
	ETag         string `json:"etag"`
	Status       string `json:"status"`
	Capabilities struct {
		IoTEdge bool `json:"iotEdge"`
	} `json:"capabilities"`
	DeviceScope    string         `json:"deviceScope"`
	ParentScopes   []string       `json:"parentScopes"`
	Authentication authentication `json:"authentication"`
}

type authentication struct {
	Type         string `json:"type"`
	SymmetricKey struct {
		PrimaryKey   iot.Secret `json:"primaryKey"`
		SecondaryKey iot.Secret `json:"secondaryKey"`
	} `json:"symmetricKey"`
	X509Thumbprint struct {
		Primary   string `json:"primaryThumbprint"`
		Secondary string `json:"secondaryThumbprint"`
	} `json:"x509Thumbprint"`
}

// InScope asks for one page of the identities in the caller's scope or, with an
// auth chain, in that of the gateway below it that the chain begins with.
func (h *Hub) InScope(ctx context.Context, creds iot.Credentials, continuation string) (iot.ScopePage, error) {
	if creds.AuthChain != "" {
		return h.inScopeOnBehalf(ctx, creds, continuation)
	}
	q := url.Values{"deviceCount": {fmt.Sprint(pageSize)}}
	if continuation != "" {
		q.Set("continuationToken", continuation)
	}
	answer, err := h.askScope(ctx, creds, "devicesAndModulesInDeviceScope", q)
	if err != nil {
		return iot.ScopePage{}, err
	}
	next, err := continuationToken(answer.ContinuationLink)
	if err != nil {
		return iot.ScopePage{}, err
	}
	return iot.ScopePage{Identities: answer.registrations(), Next: next}, nil
}

// onBehalf is the question for a gateway below the caller.
type onBehalf struct {
	PageSize         int    `json:"pageSize"`
	ContinuationLink string `json:"continuationLink"`
	AuthChain        string `json:"authChain"`
}

// onBehalfAPIVersion is that of the operations that know auth chains.
const onBehalfAPIVersion = "2020-06-30-preview"

// inScopeOnBehalf asks as the last of the chain, whose token it is. The link that
// continues a listing is opaque here.
func (h *Hub) inScopeOnBehalf(ctx context.Context, creds iot.Credentials, continuation string) (iot.ScopePage, error) {
	actor := creds.AuthChain[strings.LastIndexByte(creds.AuthChain, ';')+1:]
	path := modulePath(iot.ModuleIdentity(actor, iot.EdgeHubModule)) + "/devicesAndModulesInTargetDeviceScope?api-version=" + onBehalfAPIVersion
	var answer scopeAnswer
	err := h.ask(ctx, creds, http.MethodPost, path, onBehalf{pageSize, continuation, creds.AuthChain}, &answer)
	if err != nil {
		return iot.ScopePage{}, err
	}
	return iot.ScopePage{Identities: answer.registrations(), Next: answer.ContinuationLink}, nil
}

// Lookup asks for one identity and, if it is a module, its device.
func (h *Hub) Lookup(ctx context.Context, creds iot.Credentials, target iot.Identity) ([]iot.Registration, error) {
	q := url.Values{"targetDeviceId": {target.Device}}
	if target.IsModule() {
		q.Set("targetModuleId", target.Module)
	}
	answer, err := h.askScope(ctx, creds, "deviceAndModuleInDeviceScope", q)
	if err != nil {
		return nil, err
	}
	found := answer.registrations()
	for _, r := range found {
		if r.Identity == target {
			return found, nil
		}
	}
	return nil, iot.Errorf(iot.NotFound, "scope", target, "it is not registered, or not in scope")
}

// askScope calls an operation on the caller's $edgeHub module.
func (h *Hub) askScope(ctx context.Context, creds iot.Credentials, operation string, q url.Values) (scopeAnswer, error) {
	q.Set("api-version", scopeAPIVersion)
	var answer scopeAnswer
	err := h.ask(ctx, creds, http.MethodGet, modulePath(creds.Identity)+"/"+operation+"?"+q.Encode(), nil, &answer)
	return answer, err
}

func modulePath(id iot.Identity) string {
	return "/devices/" + url.PathEscape(id.Device) + "/modules/" + url.PathEscape(id.Module)
}

// ask sends a request, with a JSON body unless that is nil, and reads the answer.
func (h *Hub) ask(ctx context.Context, creds iot.Credentials, method, path string, question, answer any) error {
	req, err := h.request(ctx, creds, method, path, question)
	if err != nil {
		return fmt.Errorf("scope: %w", err)
	}
	resp, err := h.http.Do(req)
	if err != nil {
		return unreachable("scope", creds.Identity, err)
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end, or given up
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return unreachable("scope", creds.Identity, err)
	case len(body) > maxAnswer:
		return iot.Errorf(iot.TooLarge, "scope", creds.Identity, "the answer is larger than %d bytes", maxAnswer)
	case resp.StatusCode != http.StatusOK:
		return iot.Errorf(iot.KindFromHTTP(resp.StatusCode), "scope", creds.Identity, "%s: %s", resp.Status, reason(body))
	}
	if err := json.Unmarshal(body, answer); err != nil {
		return unreachable("scope", creds.Identity, fmt.Errorf("the answer is not what a hub sends: %w", err))
	}
	return nil
}

// request makes a request, with a JSON body unless that is nil.
func (h *Hub) request(ctx context.Context, creds iot.Credentials, method, path string, body any) (*http.Request, error) {
	var content []byte
	if body != nil {
		var err error
		if content, err = json.Marshal(body); err != nil {
			return nil, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, "https://"+h.address(h.opt.HTTPSPort)+path, bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	if content != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Authorization", creds.Token)
	req.Header.Set("Accept", "application/json")
	return req, nil
}

// reason is the hub's own message, short enough for a log line.
func reason(body []byte) string {
	var e struct{ Message string }
	_ = json.Unmarshal(body, &e) // not JSON: a proxy answered
	if e.Message == "" {
		e.Message = string(body)
	}
	if len(e.Message) > 200 {
		e.Message = e.Message[:200] + "…"
	}
	return strings.ToValidUTF8(e.Message, "?")
}

// continuationToken takes the token out of the link that a hub answers with.
func continuationToken(link string) (string, error) {
	if link == "" {
		return "", nil
	}
	u, err := url.Parse(link)
	if err != nil {
		return "", iot.Errorf(iot.Invalid, "scope", iot.Identity{}, "continuation link: %v", err)
	}
	return u.Query().Get("continuationToken"), nil
}

func (a *scopeAnswer) registrations() []iot.Registration {
	regs := make([]iot.Registration, 0, len(a.Devices)+len(a.Modules))
	for _, list := range [][]scopeIdentity{a.Devices, a.Modules} {
		for i := range list {
			// An id that no hub would allow is not let into the cache.
			if r := list[i].registration(); r.Identity.Validate() == nil {
				regs = append(regs, r)
			}
		}
	}
	return regs
}

func (s *scopeIdentity) registration() iot.Registration {
	return iot.Registration{
		Identity:     iot.Identity{Device: s.DeviceID, Module: s.ModuleID},
		GenerationID: s.GenerationID,
		ETag:         s.ETag,
		// Modules have no status of their own.
		Enabled:      s.Status == "" || strings.EqualFold(s.Status, "enabled"),
		Edge:         s.Capabilities.IoTEdge,
		Scope:        s.DeviceScope,
		ParentScopes: s.ParentScopes,
		Auth: iot.Authentication{
			Type:                authType(s.Authentication.Type),
			PrimaryKey:          s.Authentication.SymmetricKey.PrimaryKey,
			SecondaryKey:        s.Authentication.SymmetricKey.SecondaryKey,
			PrimaryThumbprint:   s.Authentication.X509Thumbprint.Primary,
			SecondaryThumbprint: s.Authentication.X509Thumbprint.Secondary,
		},
	}
}

// authType reads the type in any case; an unknown one authenticates nobody.
func authType(s string) iot.AuthType {
	for _, t := range [...]iot.AuthType{iot.AuthSAS, iot.AuthSelfSigned, iot.AuthCA} {
		if strings.EqualFold(s, string(t)) {
			return t
		}
	}
	return iot.AuthNone
}
