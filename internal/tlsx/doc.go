// Package tlsx makes listeners fit for the open network: certificates that are
// exchanged while connections go on, and limits on connections and handshakes.
//
//	cert, err := tlsx.LoadCertificate("server.pem", "server-key.pem")
//	go cert.Watch(ctx, log)
//	ln = tlsx.Listen(ln, tlsx.Limits{}, log)
//	server := &http.Server{TLSConfig: tlsx.ServerConfig(cert)}
//	server.ServeTLS(ln, "", "")
//
// A certificate that is exchanged is offered to the handshakes that begin
// afterwards; connections that exist are not touched.
//
// [Listen] knows nothing of the protocol above it, but watches the TLS records go
// by until the handshake is over, so that it can bound the time that takes,
// whichever server does it.
package tlsx
