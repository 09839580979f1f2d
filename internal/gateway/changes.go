package gateway

import (
	"encoding/json"
	"time"

	"sluice/internal/gateway/meter"
	"sluice/internal/route"
	"sluice/iot"
)

// twinChange is the type and the schema of a message that says how the reported
// properties of an identity have changed, as edgeHub writes it.
const twinChange = "twinChangeNotification"

// changeOf makes that message: one of the gateway's own, that names whose twin it is.
func (g *Gateway) changeOf(id iot.Identity, patch json.RawMessage) iot.Message {
	m := iot.Message{Body: patch, System: iot.System{
		{Name: iot.EnqueuedTime, Value: g.opt.Now().UTC().Format(time.RFC3339Nano)},
		{Name: iot.MessageSchema, Value: twinChange},
		{Name: iot.MessageType, Value: twinChange},
		{Name: iot.ReporterDeviceID, Value: id.Device},
	}}
	m.System.Set(iot.ReporterModuleID, id.Module)
	m.Stamp(g.own.id)
	return m
}

// announce gives routes FROM /twinChangeNotifications a patch that was taken. It
// returns when the message is safe, so that nobody is told that a patch was taken
// whose message is not. The twin's lock is held: messages are in the order of the
// patches.
//
// edgeHub also routes patches that it then refuses. This gateway does not.
func (g *Gateway) announce(id iot.Identity, patch json.RawMessage) {
	routing := g.routing.Load()
	m := g.changeOf(id, patch)
	targets := g.match(routing, &m, nil)
	if len(targets) == 0 {
		return
	}
	if err := g.keepChange(&m, targets, routing); err != nil {
		g.meters.Of(g.own.id).Add(meter.Series{Quantity: meter.MessagesUnacked, Reason: storageFailure}, 1)
		g.log.Error("a change of reported properties was taken, and could not be routed", "identity", id, "err", err)
	}
}

func (g *Gateway) keepChange(m *iot.Message, targets []route.Target, r *routing) error {
	entries, err := g.appendEntries(nil, m, targets, r)
	if err != nil {
		return err
	}
	safe := make(chan error, 1)
	g.opt.Spool.Append(entries, func(err error) { safe <- err })
	return <-safe
}
