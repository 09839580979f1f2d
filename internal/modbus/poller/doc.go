// Package poller is a protocol translator for Modbus TCP. A description says which
// registers of which units are read, and how often; each unit is a leaf device. Its
// values are telemetry, and its direct methods "read" and "write" reach it at once.
//
// Each address has one goroutine, which asks one thing at a time. A unit that does
// not answer is asked less and less often, up to once a minute, and the leaf's
// reported properties say so. When the gateway takes no messages nothing is read:
// what nobody keeps is not worth asking for.
package poller
