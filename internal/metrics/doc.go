// Package metrics shows what a gateway, or a local hub, does to Prometheus, and its
// health to whoever watches it.
//
//	GET /metrics  the figures, as text
//	GET /health   200 while messages are taken, else 503; JSON either way
//
// What edgeHub measures has edgeHub's names and labels, so that dashboards made
// for it go on working: metrics that begin with edgehub_. What is ours begins with
// sluice_. Figures of single identities are bounded as package meter bounds them.
//
// Reading the figures holds up nobody who works: each is read from counters that
// are kept anyway, when it is asked for.
package metrics
