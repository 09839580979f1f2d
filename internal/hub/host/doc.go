// Package host runs a hub: its files, its certificates and its listeners, put
// together and kept going.
//
// [Open] takes a directory, which it makes if need be, and opens everything in
// it; addresses and connection strings are known from then on. [Host.Run] serves
// until its context ends. A hub that is embedded in another program, for a test
// or a demonstration, is one Open and one Run.
//
// # The directory
//
//	root.pem, root-key.pem  the authority that signs the hub's certificate; made
//	                        at the first start, and left alone if they are there
//	connection-strings.json the policies and their keys, for tools on this machine
//	hub-id                  says that the directory is a hub's
//	state/                  identities, policies and twins: a Pebble database
//	events/                 the event log
//
// All of it is for the owner's eyes only, but root.pem, which devices and
// gateways need.
package host
