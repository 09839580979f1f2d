package rest

import (
	"net/http"
	"net/url"
	"strings"

	"sluice/internal/hub/code"
	"sluice/internal/hub/storage"
	"sluice/iot"
)

// A route is one operation: what it is called, who may call it, what it does.
type route struct {
	method string
	path   string // segments in braces stand for one segment of any text

	// Who may call: a policy with this right, or, if callers says so, others.
	right   storage.Rights
	callers callers

	unversioned bool // no api-version is asked for
	handle      func(*call) (answer, error)
	stream      http.Handler // instead of handle

	segments []string // of path, set by New
}

// callers are who may call a route besides policies.
type callers uint8

const (
	policies   callers = iota
	ownDevice          // the edge device {device}, for its own modules
	ownEdgeHub         // the $edgeHub module {module} of {device}, and no policy
)

// segmentsOf splits a path, which may end with a slash.
func segmentsOf(path string) []string {
	return strings.Split(strings.Trim(path, "/"), "/")
}

// ServeHTTP finds the route of a request and answers it.
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{api: a, w: w, r: r}
	rt, err := a.find(c)
	if err == nil {
		err = c.admit(rt)
	}
	if err == nil {
		err = c.throttle(rt)
	}
	if err != nil {
		c.fail(err)
		return
	}
	if rt.stream != nil {
		rt.stream.ServeHTTP(w, r)
		return
	}
	reply, err := rt.handle(c)
	if err != nil {
		c.fail(err)
		return
	}
	c.reply(reply)
}

// find returns the route of a request, and notes in c what its braces stand for.
func (a *api) find(c *call) (*route, error) {
	segments := segmentsOf(c.r.URL.EscapedPath())
	var methods []string
	for i := range a.routes {
		rt := &a.routes[i]
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
	return nil, code.Errorf(code.ResourceNotFound, "route", iot.Identity{}, "there is no such path at this hub")
}

// match compares a path with a pattern. Text that is not properly escaped is no
// match.
func match(pattern, segments []string) (vars map[string]string, ok bool) {
	if len(pattern) != len(segments) {
		return nil, false
	}
	for i, p := range pattern {
		name, isVar := strings.CutPrefix(p, "{")
		if !isVar {
			if !strings.EqualFold(p, unescaped(segments[i])) {
				return nil, false
			}
			continue
		}
		text := unescaped(segments[i])
		if text == "" {
			return nil, false
		}
		if vars == nil {
			vars = make(map[string]string, 2)
		}
		vars[strings.TrimSuffix(name, "}")] = text
	}
	return vars, true
}

// unescaped is a segment of a path without its escapes, or "" if they are wrong.
func unescaped(segment string) string {
	text, err := url.PathUnescape(segment)
	if err != nil {
		return ""
	}
	return text
}
