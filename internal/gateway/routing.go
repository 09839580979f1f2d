package gateway

import (
	"strings"
	"time"

	"sluice/internal/route"
)

// routing is the routes in force. It is replaced whole.
type routing struct {
	table  *route.Table
	queues map[route.Endpoint]string // their names
	ttl    time.Duration             // of messages whose route says nothing; negative: for ever
	// maxBytes is how large the deployment lets the spool become; 0: as large as the
	// configuration of the gateway does.
	maxBytes int64
}

// defaultRoute is in force until the hub, or a file, says otherwise, as in a
// gateway that has no deployment.
const defaultRoute = "FROM /messages/* INTO $upstream"

func defaultRouting(ttl time.Duration) (*routing, error) {
	r, err := route.Parse(defaultRoute)
	if err != nil {
		return nil, err
	}
	table, err := route.NewTable(route.Rule{Name: "default", Route: r, Priority: route.DefaultPriority})
	if err != nil {
		return nil, err
	}
	return newRouting(table, ttl), nil
}

func newRouting(table *route.Table, ttl time.Duration) *routing {
	r := &routing{table: table, ttl: ttl, queues: map[route.Endpoint]string{}}
	for _, e := range table.Endpoints() {
		r.queues[e] = queueOf(e)
	}
	return r
}

// setRouting puts routes in force. Messages that are on their way already go where
// they were to go: a queue whose route is gone is drained, not deleted.
func (g *Gateway) setRouting(r *routing) {
	before := g.routing.Swap(r)
	if r.maxBytes != before.maxBytes {
		g.opt.Spool.SetLimits(g.MaxBytes(), 0)
	}
	g.inputs.changed()
}

// MaxBytes is how large the spool may become, by configuration and deployment; 0 for
// no limit but the disk's.
func (g *Gateway) MaxBytes() int64 { return lower(g.routing.Load().maxBytes, g.opt.MaxBytes) }

// lower is the lower of two limits, of which 0 is none.
func lower(a, b int64) int64 {
	if a == 0 || b > 0 && b < a {
		return b
	}
	return a
}

// The queue of a module's input is called inputPrefix, the module, a slash, and
// the input. No module id has a slash.
const inputPrefix = "modules/"

// queueOf names the queue of an endpoint.
func queueOf(e route.Endpoint) string {
	if e.IsUpstream() {
		return UpstreamQueue
	}
	return inputPrefix + e.Module + "/" + e.Input
}

// endpointOf is the inverse of queueOf for modules' inputs.
func endpointOf(queue string) (e route.Endpoint, ok bool) {
	rest, ok := strings.CutPrefix(queue, inputPrefix)
	if !ok {
		return e, false
	}
	e.Module, e.Input, ok = strings.Cut(rest, "/")
	return e, ok
}

// inputsOf names the queues of a module: of its routes, and of earlier ones that
// still hold something. Ids are compared without regard to case, as the original
// does.
func (g *Gateway) inputsOf(module string) []string {
	var queues []string
	for _, e := range g.routing.Load().table.Endpoints() {
		if !e.IsUpstream() && strings.EqualFold(e.Module, module) {
			queues = append(queues, queueOf(e))
		}
	}
	for _, q := range g.opt.Spool.Queues() {
		if e, ok := endpointOf(q.Name()); ok && strings.EqualFold(e.Module, module) {
			queues = append(queues, q.Name())
		}
	}
	return queues
}
