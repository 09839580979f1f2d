// Package scopeapi answers a gateway's questions about its scope, over HTTPS, from
// any [iot.Scopes]: it is how a gateway serves gateways below it, as a hub would.
//
//	GET  /devices/{d}/modules/$edgeHub/devicesAndModulesInDeviceScope
//	GET  /devices/{d}/modules/$edgeHub/deviceAndModuleInDeviceScope?targetDeviceId=…&targetModuleId=…
//	POST /devices/{d}/modules/$edgeHub/devicesAndModulesInTargetDeviceScope  {"authChain": …}
//	POST /devices/{d}/modules/$edgeHub/getDeviceAndModuleOnBehalfOf          {"targetDeviceId": …, "authChain": …}
//
// The caller proves with the header Authorization that it is the $edgeHub in the
// path. The last two are asked for a gateway below the caller, with which the
// chain begins.
package scopeapi

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"sluice/iot"
)

// maxBody bounds a question, in bytes.
const maxBody = 16 << 10

// Handler returns a handler that answers the questions from scopes, and passes
// every other request on to next.
func Handler(scopes iot.Scopes, next http.Handler, log *slog.Logger) http.Handler {
	s := &server{scopes: scopes, log: log}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ask, caller := s.route(r)
		if ask == nil {
			next.ServeHTTP(w, r)
			return
		}
		answer, err := ask(r.Context(), w, r, caller)
		if err != nil {
			s.refuse(w, r, err)
			return
		}
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store") // keys are in it
		_ = json.NewEncoder(w).Encode(answer)       // the caller may be gone
	})
}

type server struct {
	scopes iot.Scopes
	log    *slog.Logger
}

type question func(ctx context.Context, w http.ResponseWriter, r *http.Request, caller iot.Identity) (scope, error)

// route finds what is asked, and by whom: nil if it is none of the questions.
func (s *server) route(r *http.Request) (question, iot.Identity) {
	parts := strings.Split(strings.Trim(r.URL.EscapedPath(), "/"), "/")
	if len(parts) != 5 || !strings.EqualFold(parts[0], "devices") || !strings.EqualFold(parts[2], "modules") {
		return nil, iot.Identity{}
	}
	ask := s.questions()[r.Method+" "+strings.ToLower(parts[4])]
	device, err := url.PathUnescape(parts[1])
	module, err2 := url.PathUnescape(parts[3])
	if errors.Join(err, err2) != nil {
		return nil, iot.Identity{}
	}
	return ask, iot.Identity{Device: device, Module: module}
}

func (s *server) questions() map[string]question {
	return map[string]question{
		"GET devicesandmodulesindevicescope":        s.inScope,
		"GET deviceandmoduleindevicescope":          s.lookup,
		"POST devicesandmodulesintargetdevicescope": s.inScopeOnBehalf,
		"POST getdeviceandmoduleonbehalfof":         s.lookupOnBehalf,
	}
}

func credentials(r *http.Request, caller iot.Identity) iot.Credentials {
	return iot.Credentials{Identity: caller, Token: r.Header.Get("Authorization")}
}

func (s *server) inScope(ctx context.Context, _ http.ResponseWriter, r *http.Request, caller iot.Identity) (scope, error) {
	q := r.URL.Query()
	page, err := s.scopes.InScope(ctx, credentials(r, caller), q.Get("continuationToken"))
	if err != nil {
		return scope{}, err
	}
	answer := form(page.Identities)
	if page.Next != "" {
		q.Set("continuationToken", page.Next)
		link := (&url.URL{Scheme: "https", Host: r.Host, Path: r.URL.Path, RawQuery: q.Encode()}).String()
		answer.ContinuationLink = &link
	}
	return answer, nil
}

func (s *server) lookup(ctx context.Context, _ http.ResponseWriter, r *http.Request, caller iot.Identity) (scope, error) {
	q := r.URL.Query()
	target := iot.Identity{Device: q.Get("targetDeviceId"), Module: q.Get("targetModuleId")}
	return s.find(ctx, credentials(r, caller), target)
}

func (s *server) find(ctx context.Context, creds iot.Credentials, target iot.Identity) (scope, error) {
	if err := target.Validate(); err != nil {
		return scope{}, iot.Errorf(iot.Invalid, "scope", creds.Identity, "the target: %v", err)
	}
	found, err := s.scopes.Lookup(ctx, creds, target)
	return form(found), err
}

// onBehalf is the body of a question for a gateway below the caller.
type onBehalf struct {
	ContinuationLink string `json:"continuationLink"`
	AuthChain        string `json:"authChain"`
	TargetDeviceID   string `json:"targetDeviceId"`
	TargetModuleID   string `json:"targetModuleId"`
}

// readOnBehalf reads a question, and makes the credentials of a caller that acts
// for the gateway with which the chain begins.
func readOnBehalf(w http.ResponseWriter, r *http.Request, caller iot.Identity) (q onBehalf, creds iot.Credentials, err error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err == nil {
		err = json.Unmarshal(body, &q)
	}
	if err != nil {
		return q, creds, iot.Errorf(iot.Invalid, "scope", caller, "the body: %v", err)
	}
	first, _, _ := strings.Cut(q.AuthChain, ";")
	target, err := iot.ParseIdentity(first)
	if err != nil {
		return q, creds, iot.Errorf(iot.Invalid, "scope", caller, "authChain: %v", err)
	}
	// The registry knows better than the chain who stands between.
	creds = credentials(r, iot.ModuleIdentity(target.Device, iot.EdgeHubModule))
	return q, creds, nil
}

func (s *server) inScopeOnBehalf(ctx context.Context, w http.ResponseWriter, r *http.Request, caller iot.Identity) (scope, error) {
	q, creds, err := readOnBehalf(w, r, caller)
	if err != nil {
		return scope{}, err
	}
	page, err := s.scopes.InScope(ctx, creds, q.ContinuationLink)
	if err != nil {
		return scope{}, err
	}
	answer := form(page.Identities)
	if page.Next != "" {
		answer.ContinuationLink = &page.Next
	}
	return answer, nil
}

func (s *server) lookupOnBehalf(ctx context.Context, w http.ResponseWriter, r *http.Request, caller iot.Identity) (scope, error) {
	q, creds, err := readOnBehalf(w, r, caller)
	if err != nil {
		return scope{}, err
	}
	return s.find(ctx, creds, iot.Identity{Device: q.TargetDeviceID, Module: q.TargetModuleID})
}

// refuse answers an error in the form of a hub's.
func (s *server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	s.log.Info("a question about scope was refused", "path", r.URL.Path, "remote", r.RemoteAddr, "err", err)
	kind := iot.KindOf(err)
	text := kind.String()
	var e *iot.Error
	if errors.As(err, &e) && kind != iot.Unauthorized && kind != iot.Internal {
		text = e.Detail
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(kind.HTTPStatus())
	_ = json.NewEncoder(w).Encode(map[string]string{"Message": text}) // the caller may be gone
}
