// Package pki makes, reads and judges the certificates of a site: the root that
// devices trust, the authorities below it, the server certificates of gateways
// and hubs, and the client certificates of devices.
//
//	root, err := pki.NewRoot("Site root", pki.Options{})
//	edge, err := root.Intermediate("gateway.local edge CA", pki.Options{})
//	server, err := edge.Server([]string{"gateway.local", "10.0.0.7"}, pki.Options{})
//	device, err := root.Device("pump-7", pki.Options{})
//	listener.TLSConfig = &tls.Config{Certificates: []tls.Certificate{server.TLS()}}
//
// What is issued follows RFC 5280 as strict verifiers read it: serial numbers of
// 128 random bits, key identifiers everywhere, names of servers in the subject
// alternative names, one extended key usage, and a life that begins an hour ago,
// for devices whose clocks are late, and never ends after the issuer's.
//
// A [Pair] or an [Authority] is not changed once made and may be used by several
// goroutines. Chains leave the root out, as a server sends them: who verifies
// must have the root already. [Verify] says why somebody would refuse a chain.
package pki
