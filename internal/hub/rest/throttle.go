package rest

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"sluice/internal/hub/code"
	"sluice/internal/hub/throttle"
	"sluice/iot"
)

// throttle refuses a request above the hub's rate for what it asks.
func (c *call) throttle(rt *route) error {
	n := 1
	op := operationOf(rt)
	if op == throttle.Method {
		n = throttle.Units(int(min(max(c.r.ContentLength, 0), maxMethod)))
	}
	again, ok := c.Throttle.Take(op, n)
	if ok {
		return nil
	}
	c.w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(again.Seconds()))))
	return code.Errorf(code.Throttling, "throttle", iot.Identity{}, "the hub's rate is exceeded; try again in %v", again.Round(time.Millisecond))
}

// operationOf is the kind of operation that a route is. What gateways ask of their
// scope, and events, are free.
func operationOf(rt *route) throttle.Operation {
	first, rest, _ := strings.Cut(strings.TrimPrefix(rt.path, "/"), "/")
	switch {
	case rt.callers == ownEdgeHub || rt.stream != nil:
		return throttle.Free
	case rt.path == "/devices/query":
		return throttle.Query
	case first == "messages": // the hub counts each message
		return throttle.Free
	case strings.HasSuffix(rest, "/commands"):
		return throttle.Command
	case strings.HasSuffix(rest, "/methods") || strings.Contains(rest, "/commands/"):
		return throttle.Method
	case first == "devices" || first == "statistics":
		return throttle.Registry
	case first == "jobs":
		return throttle.Job
	case first == "configurations":
		return throttle.Configuration
	case (first == "twins" || first == "digitaltwins") && rt.method == http.MethodGet:
		return throttle.TwinRead
	case first == "twins" || first == "digitaltwins":
		return throttle.TwinUpdate
	}
	return throttle.Free
}
