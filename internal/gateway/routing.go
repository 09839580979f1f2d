package gateway

import (
	"strings"
	"time"

	"sluice/internal/route"
)

// routing is the routes in force. It is replaced whole.
type routing struct {
	table *route.Table
	ttl   time.Duration // of messages whose route says nothing; negative: for ever
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
	return &routing{table: table, ttl: ttl}, nil
}

// setRouting puts routes in force. Messages that are on their way already go where
// they were to go: a queue whose route is gone is drained, not deleted.
func (g *Gateway) setRouting(r *routing) {
	g.routing.Store(r)
	g.inputs.changed()
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
