package webhead

import (
	"crypto/sha256"

	"sluice/internal/hub/code"
	"sluice/internal/sas"
	"sluice/iot"
)

// callerHeader names the module that calls a method.
const callerHeader = "X-Ms-Edge-Moduleid"

// admit finds out who calls, and gives the call its session. What it returns ends the
// use of that.
func (c *call) admit(rt *route) (leave func(), err error) {
	if rt.as == nobody {
		return func() {}, nil
	}
	version := c.r.URL.Query().Get("api-version")
	// The SDK for Node names none when a module calls a method.
	if err := code.CheckAPIVersion(version); err != nil && (version != "" || rt.as != invoker) {
		return nil, err
	}
	if c.id, err = c.caller(rt.as); err != nil {
		return nil, err
	}
	creds, err := c.credentials()
	if err != nil {
		return nil, err
	}
	among := c.visits
	if rt.as == receiver {
		among = c.seats
	}
	ctx, cancel := c.operate()
	defer cancel()
	c.session, err = among.enter(ctx, creds, iot.Client{
		Protocol:   "https",
		RemoteAddr: c.r.RemoteAddr,
		APIVersion: version,
		Product:    c.r.UserAgent(),
	})
	if err != nil {
		return nil, err
	}
	return c.session.leave, nil
}

// caller is who the request says that it is.
func (c *call) caller(as caller) (iot.Identity, error) {
	if as == invoker {
		id, err := iot.ParseIdentity(c.r.Header.Get(callerHeader))
		if err != nil || !id.IsModule() {
			return id, code.Errorf(code.ArgumentInvalid, "method", iot.Identity{}, "the header x-ms-edge-moduleId must be {device}/{module}, of the module that calls")
		}
		return id, nil
	}
	return c.target()
}

// target is the identity that the path names.
func (c *call) target() (iot.Identity, error) {
	id := iot.Identity{Device: c.vars.device, Module: c.vars.module}
	if err := id.Validate(); err != nil {
		return id, code.Errorf(code.ArgumentInvalid, "request", iot.Identity{}, "%v", err)
	}
	return id, nil
}

// credentials are what the request offers as proof: a token, or else the certificates
// of the TLS handshake.
func (c *call) credentials() (iot.Credentials, error) {
	creds := iot.Credentials{Identity: c.id, Token: c.r.Header.Get("Authorization")}
	switch {
	case len(creds.Token) > sas.MaxTokenLength:
		return creds, code.Errorf(code.Unauthorized, "request", c.id, "a token of %d bytes", len(creds.Token))
	case creds.Token != "":
	case c.r.TLS == nil || len(c.r.TLS.PeerCertificates) == 0:
		c.w.Header().Set("WWW-Authenticate", "SharedAccessSignature")
		return creds, code.Errorf(code.Unauthorized, "request", c.id, "there is neither a header Authorization nor a certificate")
	default:
		creds.Certificates = c.r.TLS.PeerCertificates
	}
	return creds, nil
}

// A proof stands for credentials that were shown, without keeping them.
type proof [sha256.Size]byte

func proofOf(creds iot.Credentials) proof {
	h := sha256.New()
	h.Write([]byte(creds.Token))
	for _, cert := range creds.Certificates {
		h.Write(cert.Raw)
	}
	return proof(h.Sum(nil))
}
