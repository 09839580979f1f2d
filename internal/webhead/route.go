package webhead

import (
	"net/http"
	"net/url"
	"strings"

	"sluice/internal/hub/code"
	"sluice/iot"
)

// A route is one operation.
type route struct {
	method string
	path   string // segments in braces stand for one segment of any text
	as     caller
	handle func(*call) (answer, error)

	segments []string
}

// caller is who a request says that it is, and the session that it needs.
type caller uint8

const (
	nobody   caller = iota // no proof is asked for
	receiver               // the identity in the path, for what it receives
	sender                 // the identity in the path
	invoker                // the module in the header x-ms-edge-moduleId
)

const (
	events      = "/devices/{device}/messages/events"
	moduleEvent = "/devices/{device}/modules/{module}/messages/events"
	commands    = "/devices/{device}/messages/devicebound"
	files       = "/devices/{device}/files"
	websockets  = "/$iothub/websocket"
)

func routes() []route {
	all := []route{
		{method: http.MethodPost, path: events, as: sender, handle: (*call).postEvents},
		{method: http.MethodPost, path: moduleEvent, as: sender, handle: (*call).postEvents},
		{method: http.MethodGet, path: commands, as: receiver, handle: (*call).getCommand},
		{method: http.MethodDelete, path: commands + "/{etag}", as: receiver, handle: (*call).deleteCommand},
		{method: http.MethodPost, path: commands + "/{etag}/abandon", as: receiver, handle: (*call).abandonCommand},
		{method: http.MethodPost, path: "/twins/{device}/methods", as: invoker, handle: (*call).invokeMethod},
		{method: http.MethodPost, path: "/twins/{device}/modules/{module}/methods", as: invoker, handle: (*call).invokeMethod},
		{method: http.MethodPost, path: files, as: sender, handle: (*call).beginUpload},
		{method: http.MethodGet, path: files + "/{blob}", as: sender, handle: (*call).beginUpload},
		{method: http.MethodPost, path: files + "/notifications", as: sender, handle: (*call).endUpload},
		{method: http.MethodPost, path: files + "/notifications/{correlation}", as: sender, handle: (*call).endUpload},
		{method: http.MethodGet, path: websockets, handle: (*call).upgrade},
		{method: http.MethodGet, path: "/health", handle: (*call).health},
	}
	for i := range all {
		all[i].segments = segmentsOf(all[i].path)
	}
	return all
}

// health says that requests are served; it asks nobody, so a slow disk does not slow
// it.
func (c *call) health() (answer, error) {
	return answer{status: http.StatusOK, contentType: "text/plain", body: []byte("ok\n")}, nil
}

// segmentsOf splits a path, which may end with one slash.
func segmentsOf(path string) []string {
	return strings.Split(strings.TrimSuffix(strings.TrimPrefix(path, "/"), "/"), "/")
}

// find returns the route of a request, and notes in c what its braces stand for.
func (h *Head) find(c *call) (*route, error) {
	segments := segmentsOf(c.r.URL.EscapedPath())
	var methods []string
	for i := range h.routes {
		rt := &h.routes[i]
		vars, ok := match(rt.segments, segments)
		if !ok {
			continue
		}
		if rt.method == c.r.Method {
			c.vars = vars
			return rt, nil
		}
		methods = append(methods, rt.method)
	}
	if methods != nil {
		c.w.Header().Set("Allow", strings.Join(methods, ", "))
		return nil, code.Errorf(code.MethodNotAllowed, "route", iot.Identity{}, "%s is not for this path", c.r.Method)
	}
	return nil, code.Errorf(code.ResourceNotFound, "route", iot.Identity{}, "there is no such path")
}

// vars are what the braces of a path stand for.
type vars struct{ device, module, etag, blob, correlation string }

// match compares a path with a pattern. Text that is not properly escaped is no match.
func match(pattern, segments []string) (v vars, ok bool) {
	if len(pattern) != len(segments) {
		return v, false
	}
	for i, p := range pattern {
		text, err := url.PathUnescape(segments[i])
		if err != nil || text == "" {
			return v, false
		}
		switch p {
		case "{device}":
			v.device = text
		case "{module}":
			v.module = text
		case "{etag}":
			v.etag = text
		case "{blob}":
			v.blob = text
		case "{correlation}":
			v.correlation = text
		default:
			if !strings.EqualFold(p, text) {
				return v, false
			}
		}
	}
	return v, true
}
