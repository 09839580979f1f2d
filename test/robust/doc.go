// Package robust holds the tests that break things: the program runs as its
// users run it, as processes, and is killed, cut off, starved and lied to while
// devices send through it. CASES.md lists the cases by id, and where each is
// tested.
//
// A [site] is a hub, a gateway and the two lines between them. Devices are
// MQTT clients of this package's own, which write down what they see in
// ledgers (package ledger) and nothing else; the hub's event log, read over its
// service API, is written down as well. When everything has been healed and
// drained, the ledgers are judged: what was acknowledged is at the hub, in the
// order in which its sender sent it, once, or more often if a fault caught it
// in flight.
//
// Chance decides when faults strike. The seed is logged first, and set with
// SLUICE_SEED; scheduling stays the machine's own, so a seed brings back the
// faults of a run and usually, not always, what they hit. SLUICE_KILLS sets how
// often the gateway is killed in a row: 5, or 50 with SLUICE_FULL=1, which takes
// seven minutes for everything.
package robust
