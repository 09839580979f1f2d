package cli

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"syscall"
)

// networkHint says what usually helps against an error of the network, or "".
func networkHint(err error) string {
	var dns *net.DNSError
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var expired x509.CertificateInvalidError
	var notTLS tls.RecordHeaderError
	switch {
	case errors.As(err, &dns):
		return "if the name does not resolve here, give the address with --address HOST[:PORT]"
	case errors.As(err, &unknown):
		return "give the root certificate that signed the hub's with --ca FILE, or set SLUICE_CA"
	case errors.As(err, &name):
		return "the host name must be one that is in the server's certificate"
	case errors.As(err, &expired) && expired.Reason == x509.Expired:
		return "look at the clock of this machine, and at the certificate with \"sluice certs show\""
	case errors.As(err, &notTLS):
		return "the port does not speak TLS; is it the right one?"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens there; is the hub running?"
	}
	return ""
}
