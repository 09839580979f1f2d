package gateway

import (
	"sync/atomic"

	"sluice/internal/gateway/meter"
)

// Counts are what a gateway has done since it was made.
type Counts struct {
	Connected       atomic.Uint64 // sessions begun
	ConnectFailed   atomic.Uint64 // refused
	Disconnected    atomic.Uint64 // sessions ended
	Received        atomic.Uint64 // messages stored and acknowledged
	Unrouted        atomic.Uint64 // of those received: messages that no route wants
	Looped          atomic.Uint64 // of those received: messages that went round through modules
	Refused         atomic.Uint64 // messages not stored
	Delivered       atomic.Uint64 // messages that the hub has acknowledged
	DeliveredInputs atomic.Uint64 // messages that a module has completed
	Retries         atomic.Uint64 // deliveries given up for now
	Dead            atomic.Uint64 // messages moved to the dead letters
	ReportsRefused  atomic.Uint64 // patches of reported properties that the hub would not have, after all
	Offline         atomic.Uint64 // times the uplink was lost
}

// Counts returns the gateway's counters, which go on counting.
func (g *Gateway) Counts() *Counts { return &g.counts }

// Meters returns the figures of each identity, which go on counting.
func (g *Gateway) Meters() *meter.Book { return g.meters }

// Clients is how many identities are connected.
func (g *Gateway) Clients() int { return g.sessions.Len() }
