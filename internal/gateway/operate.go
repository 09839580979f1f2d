package gateway

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"time"

	"sluice/internal/auth"
	"sluice/internal/spool"
	"sluice/iot"
)

// A Member is an identity that the gateway may serve.
type Member struct {
	Identity iot.Identity `json:"id"`
	Enabled  bool         `json:"enabled"`
	Edge     bool         `json:"edge,omitempty"` // an edge device
	Waiting  uint64       `json:"waiting"`        // its messages that wait for the hub
	Resting  bool         `json:"resting"`        // the last attempt to send them failed
	Seat     *Seat        `json:"connection,omitempty"`
}

// A Seat is the connection of a member. Members that are away have none.
type Seat struct {
	Since    time.Time     `json:"since"`
	Protocol string        `json:"protocol"`
	Remote   string        `json:"remote"`
	Product  string        `json:"product,omitempty"`
	Proof    auth.Method   `json:"proof"`
	Actor    *iot.Identity `json:"actor,omitempty"`   // a gateway below, that acts for it
	Expires  *time.Time    `json:"expires,omitempty"` // of its token
	Methods  bool          `json:"methods"`           // it answers direct methods
}

// Members lists whom the gateway may serve, connected or not, by name.
func (g *Gateway) Members() []Member {
	lanes := map[string]spool.LaneStats{}
	for _, lane := range g.uplink.queue.Lanes() {
		lanes[lane.Lane] = lane
	}
	var list []Member
	if own, ok := g.scope.Registration(iot.DeviceIdentity(g.opt.Device)); ok {
		for _, reg := range g.scope.Below(own) {
			lane := lanes[reg.Identity.String()]
			m := Member{Identity: reg.Identity, Enabled: reg.Enabled, Edge: reg.Edge, Waiting: lane.Records, Resting: lane.Resting}
			if s, ok := g.sessions.Get(reg.Identity); ok {
				m.Seat = g.seatOf(s)
			}
			list = append(list, m)
		}
	}
	slices.SortFunc(list, func(a, b Member) int { return cmp.Compare(a.Identity.String(), b.Identity.String()) })
	return list
}

func (g *Gateway) seatOf(s *session) *Seat {
	client, proof := s.Client(), s.Proof()
	seat := &Seat{
		Since: s.Since(), Protocol: client.Protocol, Remote: client.RemoteAddr, Product: client.Product,
		Proof: proof.Method, Methods: g.methods.Offered(s.Identity()),
	}
	if proof.Actor != s.Identity() {
		seat.Actor = &proof.Actor
	}
	if !proof.Expires.IsZero() {
		seat.Expires = &proof.Expires
	}
	return seat
}

// A TwinView is a twin as the gateway knows it.
type TwinView struct {
	Identity        iot.Identity      `json:"id"`
	Source          string            `json:"source"`  // "hub", or "cache" while that is away
	Desired         json.RawMessage   `json:"desired"` // the hub's
	DesiredVersion  int64             `json:"desiredVersion"`
	Reported        json.RawMessage   `json:"reported"` // with what is pending
	ReportedVersion int64             `json:"reportedVersion"`
	Pending         []json.RawMessage `json:"pending"` // patches of reported properties that the hub lacks
	// Override is what somebody at the machine has changed of the desired properties,
	// for the device alone.
	Override json.RawMessage `json:"override,omitempty"`
}

// Twin shows the twin of a member: the hub's, or, while the hub is away, what the
// hub said last with what was reported since. The error is NotFound for who is no
// member, and Unavailable if the hub is away and never told the twin.
func (g *Gateway) Twin(ctx context.Context, id iot.Identity) (TwinView, error) {
	if err := g.isMember(ctx, id); err != nil {
		return TwinView{}, err
	}
	defer g.twins.Lock(id)()
	v := TwinView{Identity: id, Source: "cache"}
	if g.Online() {
		_, err := g.fetchTwin(ctx, id)
		switch {
		case err == nil:
			v.Source = "hub"
		case !iot.KindOf(err).Retryable():
			return v, err
		}
	}
	st, err := g.twins.Get(id)
	if err == nil && !st.Known {
		err = iot.Errorf(iot.Unavailable, "twin", id, "the hub is away, and has never told this twin")
	}
	v.Desired, v.DesiredVersion = st.Desired.JSON(), st.Desired.Version()
	v.Reported, v.ReportedVersion = st.Reported.JSON(), st.Reported.Version()
	v.Pending, v.Override = append([]json.RawMessage{}, st.Pending...), st.Override
	return v, err
}

// Invoke calls a direct method of a member that is connected to this gateway,
// whether the hub is there or not. Its errors are those of [method.Desk.Invoke], and
// NotFound for who is no member.
func (g *Gateway) Invoke(ctx context.Context, id iot.Identity, call iot.MethodCall) (iot.MethodResult, error) {
	if err := g.isMember(ctx, id); err != nil {
		return iot.MethodResult{}, err
	}
	return g.invoke(ctx, operator, id, call)
}

// operator is who calls for somebody at the machine.
const operator = "operator"

func (g *Gateway) isMember(ctx context.Context, id iot.Identity) error {
	if _, known := g.scope.Registration(id); known {
		return nil
	}
	if g.Online() && g.scope.Lookup(ctx, id) {
		if _, known := g.scope.Registration(id); known {
			return nil
		}
	}
	return iot.Errorf(iot.NotFound, "operate", id, "it is not registered, or not in the scope of this gateway")
}

// A QueueView is a queue as it is.
type QueueView struct {
	Name       string         `json:"name"`
	Endpoint   string         `json:"endpoint"` // as a route writes it
	Messages   uint64         `json:"messages"`
	Bytes      int64          `json:"bytes"`
	Oldest     *time.Time     `json:"oldest,omitempty"` // when the oldest message was stored
	Lanes      int            `json:"lanes"`            // senders with messages; a module's input is one lane
	Resting    int            `json:"resting"`          // of them, whose last attempt failed
	Routed     bool           `json:"routed"`           // a route leads there
	Priorities []PriorityView `json:"priorities"`
	Expired    uint64         `json:"expired"` // since the gateway began, as what follows
	Delivered  uint64         `json:"delivered"`
	Purged     uint64         `json:"purged"`
}

// A PriorityView is how much of a priority waits in a queue.
type PriorityView struct {
	Priority uint32 `json:"priority"`
	Messages uint64 `json:"messages"`
	Bytes    int64  `json:"bytes"`
}

// Queues lists all queues, by name: of the routes in force, and of earlier ones that
// still hold something.
func (g *Gateway) Queues() ([]QueueView, error) {
	routed := map[string]bool{}
	for _, e := range g.routing.Load().table.Endpoints() {
		routed[queueOf(e)] = true
		g.opt.Spool.Queue(queueOf(e)) // which makes it be listed
	}
	var list []QueueView
	for _, q := range g.opt.Spool.Queues() {
		v, err := queueView(q)
		if err != nil {
			return nil, err
		}
		v.Routed = routed[v.Name]
		list = append(list, v)
	}
	return list, nil
}

func queueView(q *spool.Queue) (QueueView, error) {
	stats := q.Stats()
	v := QueueView{
		Name: q.Name(), Endpoint: endpointName(q.Name()),
		Messages: stats.Records, Bytes: stats.Bytes, Lanes: stats.Lanes, Resting: stats.Resting,
		Expired: stats.Counts.Expired, Delivered: stats.Counts.Delivered, Purged: stats.Counts.Purged,
		Priorities: []PriorityView{},
	}
	oldest, err := q.Oldest()
	if err == nil && !oldest.IsZero() {
		v.Oldest = &oldest
	}
	for _, p := range q.Priorities() {
		v.Priorities = append(v.Priorities, PriorityView{p.Priority, p.Records, p.Bytes})
	}
	return v, err
}

func endpointName(queue string) string {
	if queue == UpstreamQueue {
		return "$upstream"
	}
	if e, ok := endpointOf(queue); ok {
		return e.String()
	}
	return queue
}

// Purge removes everything that waits in a queue, and returns how many messages
// that were. They are gone when it returns. The error is NotFound if there is no
// such queue.
func (g *Gateway) Purge(queue string) (messages uint64, err error) {
	for _, q := range g.opt.Spool.Queues() {
		if q.Name() == queue {
			if messages, err = q.Purge(); err == nil {
				g.log.Warn("an operator has purged a queue", "queue", queue, "messages", messages)
			}
			return messages, err
		}
	}
	return 0, iot.Errorf(iot.NotFound, "purge", iot.Identity{}, "there is no queue %q", queue)
}

// Retry puts dead letters back into their queues, behind what waits there, with a
// new time to live. It ends at the first that cannot be, and returns how many were.
func (g *Gateway) Retry(letters ...uint64) (n int, err error) {
	expires := g.expiry(g.routing.Load().ttl, 0)
	for _, seq := range letters {
		if err = g.opt.Spool.Requeue(seq, expires); err != nil {
			break
		}
		n++
	}
	g.inputs.changed() // for modules that listen, and had no such input
	g.log.Info("an operator has sent dead letters again", "letters", n)
	return n, err
}

// Drop removes dead letters for good: all of them, or none.
func (g *Gateway) Drop(letters ...uint64) error {
	err := g.opt.Spool.Bury(letters...)
	if err == nil {
		g.log.Warn("an operator has dropped dead letters", "letters", len(letters))
	}
	return err
}

// A Summary is the gateway in a few figures.
type Summary struct {
	Device   string     `json:"device"`
	Hub      string     `json:"hub"`
	Online   bool       `json:"online"`
	Clients  int        `json:"clients"`
	Members  int        `json:"members"`
	AsOf     *time.Time `json:"asOf,omitempty"` // when the hub last said who they are
	Routes   int        `json:"routes"`
	Received uint64     `json:"received"` // messages, since the gateway began
	Sent     uint64     `json:"sent"`     // that the hub has acknowledged
	Unrouted uint64     `json:"unrouted"`
	Looped   uint64     `json:"looped"` // dropped, for they went round through modules
	Refused  uint64     `json:"refused"`
}

// Summary returns the gateway's figures.
func (g *Gateway) Summary() Summary {
	n, asOf := g.scope.Len()
	s := Summary{
		Device: g.opt.Device, Hub: g.opt.HubHost, Online: g.Online(), Clients: g.Clients(), Members: n,
		Routes:   len(g.routing.Load().table.Rules()),
		Received: g.counts.Received.Load(), Sent: g.counts.Delivered.Load(),
		Unrouted: g.counts.Unrouted.Load(), Looped: g.counts.Looped.Load(), Refused: g.counts.Refused.Load(),
	}
	if !asOf.IsZero() {
		s.AsOf = &asOf
	}
	return s
}
