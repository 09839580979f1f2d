// Package edge is the gateway as a program: configuration, certificates,
// listeners, spool and gateway, wired together.
//
//	e, err := edge.Open(cfg, log)    // takes the data directory, binds the ports
//	err = e.Run(ctx)                 // serves until ctx ends
//
// # The data directory
//
//	DATA/spool/            messages on their way to the hub (package spool); its
//	                       lock is the lock on all of DATA
//	DATA/sessions/         subscriptions of MQTT clients with clean session 0
//	DATA/scope.json        who may connect while the hub is away
//	DATA/certs/            server.pem and server-key.pem, if Sluice makes them
//	DATA/root.pem          the root that devices must trust, if Sluice made it
//	DATA/private/          its key, and the one that encrypts for modules
//	DATA/deployment.json, DATA/modules/, DATA/logs/, DATA/run/
//	                       of modules, if a deployment is configured (package module)
//	DATA/operate.sock      for the operator, while the gateway runs (package operate)
//
// One process at a time has it. Everything in it is for its owner only.
//
// # Certificates
//
// The certificate of the server is, in this order, the one of the configuration,
// which is read again when its files change; one made from the configuration's
// edge CA; one made from a root of Sluice's own. Those that Sluice made are
// renewed in time. No renewal ends a connection.
//
// # Stopping
//
// When its context ends, Run stops accepting, gives what devices have sent two
// seconds to reach the disk and be acknowledged, ends the sessions, and closes the
// spool. Nothing that was acknowledged depends on any of this.
package edge
