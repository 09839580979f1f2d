package route

import (
	"fmt"
	"strings"
)

// Endpoint is where a route sends messages: an input of a module of this edge
// device, or, if zero, the hub above. It is comparable. Ids keep their case.
type Endpoint struct {
	Module string
	Input  string
}

// Upstream is the hub above.
var Upstream = Endpoint{}

// IsUpstream reports whether e is the hub above.
func (e Endpoint) IsUpstream() bool { return e == Upstream }

// String is the endpoint as a route writes it.
func (e Endpoint) String() string {
	if e.IsUpstream() {
		return "$upstream"
	}
	address := "/modules/" + e.Module + "/inputs/" + e.Input
	return "BrokeredEndpoint(" + quoteRaw(address) + ")"
}

// quoteRaw puts quotes around text that is taken as it stands: what cannot be
// in double quotes was in single ones.
func quoteRaw(s string) string {
	if n, closed := stringLen(`"` + s + `"`); closed && n == len(s)+2 {
		return `"` + s + `"`
	}
	return "'" + s + "'"
}

// parseAddress reads the address of a brokered endpoint. As in edgeHub, one
// slash at either end may be missing or there, and what the first and third
// step are called does not matter.
func parseAddress(s string) (Endpoint, error) {
	s = strings.TrimSpace(s)
	s = strings.TrimSuffix(strings.TrimPrefix(s, "/"), "/")
	steps := strings.Split(s, "/")
	if len(steps) != 4 {
		return Endpoint{}, fmt.Errorf("the address %q has %d steps, not 4", s, len(steps))
	}
	if steps[1] == "" || steps[3] == "" {
		return Endpoint{}, fmt.Errorf("the address %q lacks the module or the input", s)
	}
	return Endpoint{Module: steps[1], Input: steps[3]}, nil
}
