// Package demo shows the whole system at work from one command: a hub, a gateway
// and simulated devices, with certificates made on the spot, and an uplink that
// is cut and a gateway that is killed before the eyes of who watches.
//
// The hub and the devices live in this process. The gateway is a process of its
// own, this very program run as "sluice edge", because only a process can really
// be killed: its messages must survive on disk, as they would have to at a user's.
//
// What is shown, and the verdict of a bounded run, come from the two ends alone:
// what devices had acknowledged, and what stands in the hub's event log.
package demo
