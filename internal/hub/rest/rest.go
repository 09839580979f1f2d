// Package rest is the HTTPS API of a hub: the service API of IoT Hub, with which
// an operator registers devices, and the questions about scope that gateways ask.
//
// [New] makes the handler. Each resource has a file, which lists its routes with
// the right that a caller needs; a new resource is a new file and a line in
// [New]. What is common to all of them happens in one place:
//
//   - who calls is proved by the header Authorization: a token of a shared access
//     policy, or of a device or module where the route allows it;
//   - the query names an api-version that is known;
//   - a body is JSON of limited size;
//   - an error is answered with IoT Hub's code, in the body
//     {"Message":"ErrorCode:…;…","ExceptionMessage":"Tracking ID:…"} and in the
//     header iothub-errorcode. The tracking id stands in the log as well.
//
// Paths are matched without regard to the case of letters, ids excepted.
package rest

import (
	"log/slog"
	"net/http"
	"slices"
	"time"

	"sluice/internal/auth"
	"sluice/internal/hub/jobs"
	"sluice/internal/hub/storage"
	"sluice/internal/hub/throttle"
	"sluice/internal/hub/transfer"
	"sluice/iot"
)

// A Hub is what the API asks about identities beyond what is registered, and what
// it does with them: *hub.Hub is one. Each part stands beside the routes that need
// it.
type Hub interface {
	Presence
	Twins
	Queries
	Commands
	Deployments
	Jobs() *jobs.Store // nil: there are none
}

// Presence is who is connected. It is answered from memory; the zero time stands
// for never.
type Presence interface {
	ConnectionState(iot.Identity) iot.ConnectionState
	LastActivity(iot.Identity) time.Time
	Connected() int // identities
	CommandCount(iot.Identity) int
}

// Options are what the API is about. HostName, Registry and Auth are required.
type Options struct {
	HostName string // the hub's name in links; tokens for it, or Auth.Hosts, are good
	Registry storage.Identities
	Auth     *auth.Authenticator
	Hub      Hub // nil: nobody is ever connected, and there are no twins

	// Transfers are the jobs that move identities into blobs and back; nil: there are
	// none.
	Transfers *transfer.Store

	// Throttle limits how often things are done; nil: it does not.
	Throttle *throttle.Throttle

	// Events serves GET /sluice/events, after the caller has proved the right
	// ServiceConnect; nil: there is no such path.
	Events http.Handler

	Log *slog.Logger     // nil: slog.Default()
	Now func() time.Time // wall clock; nil: time.Now
}

// An api answers requests. Its fields do not change.
type api struct {
	Options
	routes []route
}

// New returns the handler of the API. It may be used from any goroutine, and
// holds nothing that must be closed.
func New(opt Options) http.Handler {
	if opt.Log == nil {
		opt.Log = slog.Default()
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Hub == nil {
		opt.Hub = empty{}
	}
	a := &api{Options: opt}
	a.routes = slices.Concat(
		a.deviceRoutes(),
		a.bulkRoutes(),
		a.moduleRoutes(),
		a.statisticsRoutes(),
		a.scopeRoutes(),
		a.twinRoutes(opt.Hub),
		a.commandRoutes(opt.Hub),
		a.queryRoutes(opt.Hub),
		a.configurationRoutes(opt.Hub),
		a.jobRoutes(opt.Hub),
		a.transferRoutes(),
		a.digitalTwinRoutes(opt.Hub),
		a.eventRoutes(),
	)
	for i := range a.routes {
		a.routes[i].segments = segmentsOf(a.routes[i].path)
	}
	return a
}

func (a *api) eventRoutes() []route {
	if a.Events == nil {
		return nil
	}
	return []route{{method: http.MethodGet, path: "/sluice/events", right: storage.ServiceConnect, unversioned: true, stream: a.Events}}
}

// empty is the Hub of a registry alone.
type empty struct{ Hub }

func (empty) ConnectionState(iot.Identity) iot.ConnectionState { return iot.ConnectionState{} }
func (empty) LastActivity(iot.Identity) time.Time              { return time.Time{} }
func (empty) Connected() int                                   { return 0 }
func (empty) CommandCount(iot.Identity) int                    { return 0 }
