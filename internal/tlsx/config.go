package tlsx

import "crypto/tls"

// ServerConfig returns a configuration for servers of devices: TLS 1.2 or newer;
// the certificate of the moment, whatever name the client asks for or none at
// all, as small devices do; client certificates asked for and not verified, for
// only the registry knows which are right. The caller may change it before its
// first use, NextProtos for instance, which is empty.
//
// Session tickets are on. A client that resumes a session proves again only what
// it proved in the first handshake, so who a client is must be judged at each
// login, from the certificates that the ticket carries.
func ServerConfig(c *Certificate) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		ClientAuth: tls.RequestClientCert,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return c.Get(), nil
		},
	}
}
