package rest

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"sluice/internal/hub/code"
	"sluice/internal/hub/storage"
	"sluice/internal/service"
	"sluice/iot"
)

// maxScopePage is how many devices one answer about a scope lists, besides the
// edge device itself.
const maxScopePage = 1000

// maxScopeBody bounds a question about scope, in bytes.
const maxScopeBody = 16 << 10

// These are asked by gateways, with the proof of their $edgeHub module. The older
// pair is a gateway's question about itself; with the newer one (api-version
// 2020-06-30-preview) it asks for gateways below it as well.
func (a *api) scopeRoutes() []route {
	const hub = "/devices/{device}/modules/{module}/"
	return []route{
		{method: http.MethodGet, path: hub + "devicesAndModulesInDeviceScope", callers: ownEdgeHub, handle: inScope},
		{method: http.MethodGet, path: hub + "deviceAndModuleInDeviceScope", callers: ownEdgeHub, handle: lookup},
		{method: http.MethodPost, path: hub + "devicesAndModulesInTargetDeviceScope", callers: ownEdgeHub, handle: inScopeOnBehalf},
		{method: http.MethodPost, path: hub + "getDeviceAndModuleOnBehalfOf", callers: ownEdgeHub, handle: lookupOnBehalf},
	}
}

// inScope lists the caller's edge device, its children, and the modules of all of
// them, in pages.
func inScope(c *call) (answer, error) {
	q := c.r.URL.Query()
	limit := maxScopePage
	if n, err := strconv.Atoi(q.Get("deviceCount")); err == nil && n > 0 {
		limit = min(n, maxScopePage)
	}
	edge, ok := c.Registry.Get(iot.DeviceIdentity(c.vars["device"]))
	if !ok {
		return answer{}, c.notFound(iot.DeviceIdentity(c.vars["device"]))
	}
	page, last := c.scopePage(&edge, q.Get("continuationToken"), limit)
	if last != "" {
		q.Set("continuationToken", last)
		link := url.URL{Scheme: "https", Host: c.HostName, Path: c.r.URL.Path, RawPath: c.r.URL.RawPath, RawQuery: q.Encode()}
		page.ContinuationLink = service.OrNull(link.String())
	}
	return answer{body: page}, nil
}

// scopePage lists at most limit children of edge after the one that a page ended
// with, and on the first page edge itself. It returns the last one listed, or ""
// if there are no more.
func (a *api) scopePage(edge *storage.Entry, after string, limit int) (page service.Scope, last string) {
	page = service.Scope{Devices: []service.Device{}, Modules: []service.Module{}}
	if after == "" {
		a.addToScope(&page, edge)
	}
	// One more shows whether there are more.
	children := a.Registry.Children(edge.Scope, after, limit+1)
	if len(children) > limit {
		children = children[:limit]
		last = children[limit-1].Identity.Device
	}
	for i := range children {
		a.addToScope(&page, &children[i])
	}
	return page, last
}

func (a *api) addToScope(page *service.Scope, device *storage.Entry) {
	page.Devices = append(page.Devices, a.device(device))
	page.Modules = append(page.Modules, a.modulesOf(device.Identity)...)
}

// lookup answers with one identity in the caller's scope, and its device.
func lookup(c *call) (answer, error) {
	q := c.r.URL.Query()
	return c.lookup(iot.Identity{Device: q.Get("targetDeviceId"), Module: q.Get("targetModuleId")})
}

func (c *call) lookup(target iot.Identity) (answer, error) {
	if err := target.Validate(); err != nil {
		return answer{}, code.Errorf(code.ArgumentInvalid, "scope", iot.Identity{}, "the target: %v", err)
	}
	device, ok := c.Registry.Get(target.Owner())
	if !ok || !c.isBelow(target.Owner()) {
		return answer{}, code.Errorf(code.DeviceNotFound, "scope", target, "device '%s' is not in the scope of '%s'", target.Device, c.vars["device"])
	}
	found := service.Scope{Devices: []service.Device{c.device(&device)}, Modules: []service.Module{}}
	if target.IsModule() {
		module, ok := c.Registry.Get(target)
		if !ok {
			return answer{}, c.notFound(target)
		}
		found.Modules = append(found.Modules, c.module(&module))
	}
	return answer{body: found}, nil
}

// isBelow reports whether the caller's edge device is device, or stands above it.
func (c *call) isBelow(device iot.Identity) bool {
	above, err := c.Auth.Ancestors(device)
	return err == nil && slices.ContainsFunc(above, func(r iot.Registration) bool { return r.Identity.Device == c.vars["device"] })
}

// onBehalf is the body of the questions for a gateway below the caller.
type onBehalf struct {
	PageSize         int    `json:"pageSize"`
	ContinuationLink string `json:"continuationLink"`
	AuthChain        string `json:"authChain"`
	TargetDeviceID   string `json:"targetDeviceId"`
	TargetModuleID   string `json:"targetModuleId"`
}

// inScopeOnBehalf lists what inScope does, for the gateway that the chain begins
// with: "child;caller", and whatever stands between them.
func inScopeOnBehalf(c *call) (answer, error) {
	var q onBehalf
	if err := c.read(maxScopeBody, &q); err != nil {
		return answer{}, err
	}
	edge, err := c.chainTarget(q.AuthChain)
	if err != nil {
		return answer{}, err
	}
	limit := maxScopePage
	if q.PageSize > 0 {
		limit = min(q.PageSize, maxScopePage)
	}
	// The link is a token to us, and opaque to gateways.
	page, last := c.scopePage(edge, q.ContinuationLink, limit)
	page.ContinuationLink = service.OrNull(last)
	return answer{body: page}, nil
}

func lookupOnBehalf(c *call) (answer, error) {
	var q onBehalf
	if err := c.read(maxScopeBody, &q); err != nil {
		return answer{}, err
	}
	return c.lookup(iot.Identity{Device: q.TargetDeviceID, Module: q.TargetModuleID})
}

// chainTarget is the edge device that an auth chain begins with. It is the caller
// or stands below it; the registry knows that better than the chain does.
func (c *call) chainTarget(chain string) (*storage.Entry, error) {
	first, _, _ := strings.Cut(chain, ";")
	if first == "" {
		return nil, code.Errorf(code.ArgumentNull, "scope", iot.Identity{}, "the body has no authChain")
	}
	target, err := iot.ParseIdentity(first)
	if err != nil {
		return nil, code.Errorf(code.ArgumentInvalid, "scope", iot.Identity{}, "authChain: %v", err)
	}
	edge, ok := c.Registry.Get(target.Owner())
	if !ok || !edge.Edge || !c.isBelow(target.Owner()) {
		return nil, refuse("%s is not an edge device at or below %s", target.Device, c.vars["device"])
	}
	return &edge, nil
}
