// Package auth decides who a client is: credentials and registrations in, an
// identity or an error out. Hub and gateway share it, so that a device that one
// of them lets in, the other lets in too.
//
// The rules are IoT Hub's. A device or module proves itself with a token signed
// by one of its two keys; a module also with a token signed by its device's
// keys. A device may instead prove itself with a certificate: one whose
// thumbprint is registered, or one with the device id as common name that a
// trusted authority signed. The $edgeHub module of an edge device may act for
// itself, for everything below its device, and for nothing else; it proves
// itself with its own token or its device's.
//
// Errors are [iot.Error] of kind Unauthorized. Their text says exactly what was
// wrong and belongs in a log; a client is to learn only that it is not
// authorized.
package auth

import (
	"crypto/x509"
	"slices"
	"strings"
	"time"

	"sluice/internal/sas"
	"sluice/iot"
)

// Directory is what the decision is based on. It answers from memory.
type Directory interface {
	// Registration returns what is known of an identity.
	Registration(id iot.Identity) (iot.Registration, bool)
	// EdgeDevice returns the edge device that has this scope.
	EdgeDevice(scope string) (iot.Registration, bool)
}

// Authenticator decides about credentials. Its fields are set before first use.
type Authenticator struct {
	Directory Directory
	// Hosts are the names that a token's audience may carry: of the hub, and
	// of the gateway in front of it. Case does not matter.
	Hosts []string
	// Roots are the authorities that sign device certificates, or nil for
	// none. It is called at each decision, so the set may change.
	Roots func() *x509.CertPool
	// Now is the wall clock; nil means time.Now.
	Now func() time.Time
}

// Method is how an identity proved itself.
type Method string

// The methods, in the words of IoT Hub's connection auth method.
const (
	ByDeviceKey   Method = "deviceSas"
	ByModuleKey   Method = "moduleSas"
	ByThumbprint  Method = "x509Certificate"
	ByCA          Method = "x509CertificateAuthority"
	OnBehalfOfHub Method = "edgeHub"
)

// Result is a positive decision.
type Result struct {
	Registration iot.Registration // of the identity that the session is for
	Actor        iot.Identity     // who proved itself: the identity, or the $edgeHub acting for it
	Method       Method
	Expires      time.Time // when the proof ends; zero for a certificate
}

const op = "authenticate"

func deny(id iot.Identity, format string, args ...any) error {
	return iot.Errorf(iot.Unauthorized, op, id, format, args...)
}

// Authenticate decides whether creds prove creds.Identity.
func (a *Authenticator) Authenticate(creds iot.Credentials) (Result, error) {
	id := creds.Identity
	if err := id.Validate(); err != nil {
		return Result{}, &iot.Error{Kind: iot.Unauthorized, Op: op, Err: err}
	}
	reg, err := a.enabled(id)
	if err != nil {
		return Result{}, err
	}
	switch {
	case creds.Token != "":
		return a.byToken(reg, creds)
	case len(creds.Certificates) > 0:
		return a.byCertificate(reg, creds.Certificates)
	}
	return Result{}, deny(id, "neither token nor certificate was offered")
}

// enabled returns the registration of id if it and its device may connect.
func (a *Authenticator) enabled(id iot.Identity) (iot.Registration, error) {
	reg, ok := a.Directory.Registration(id)
	if !ok {
		return reg, unknown(id)
	}
	if !reg.Enabled {
		return reg, deny(id, "the identity is disabled")
	}
	if id.IsModule() {
		device, ok := a.Directory.Registration(id.Owner())
		if !ok {
			return reg, unknown(id.Owner())
		}
		if !device.Enabled {
			return reg, deny(id, "its device is disabled")
		}
	}
	return reg, nil
}

// errUnknown marks the refusals that a fresh registration could turn around.
type errUnknown struct{}

func (errUnknown) Error() string { return "the identity is not registered, or not in scope" }

func unknown(id iot.Identity) error {
	return &iot.Error{Kind: iot.Unauthorized, Op: op, Identity: id, Err: errUnknown{}}
}

func (a *Authenticator) byToken(reg iot.Registration, creds iot.Credentials) (Result, error) {
	id := creds.Identity
	token, err := sas.Parse(creds.Token)
	if err != nil {
		return Result{}, &iot.Error{Kind: iot.Unauthorized, Op: op, Identity: id, Err: err}
	}
	if !a.servesHost(token.Resource.Host) {
		return Result{}, deny(id, "the token is for host %q, not for this one", token.Resource.Host)
	}
	now := a.now()
	if token.Expired(now) {
		return Result{}, deny(id, "the token expired %s ago", now.Sub(token.Expiry).Round(time.Second))
	}
	actor := token.Resource.Identity
	switch {
	case actor == id:
		if reg.Auth.Type != iot.AuthSAS && !id.IsModule() {
			return Result{}, deny(id, "it is registered for %s authentication, not for tokens", reg.Auth.Type)
		}
	case actor.Module == iot.EdgeHubModule && creds.Identity != actor:
		if err := a.mayActFor(actor, reg, creds.AuthChain); err != nil {
			return Result{}, err
		}
	default:
		return Result{}, deny(id, "the token is for %q", token.Resource)
	}
	method, ok := a.signer(token, actor)
	if !ok {
		return Result{}, deny(id, "the token is not signed by a key of %s", actor)
	}
	if actor != id {
		method = OnBehalfOfHub
	}
	return Result{Registration: reg, Actor: actor, Method: method, Expires: token.Expiry}, nil
}

// signer finds whose key signed the token: the actor's, or, for a module, its
// device's.
func (a *Authenticator) signer(token sas.Token, actor iot.Identity) (Method, bool) {
	own, ok := a.Directory.Registration(actor)
	if ok && own.Auth.Type == iot.AuthSAS && token.SignedBy(own.Auth.PrimaryKey, own.Auth.SecondaryKey) {
		if actor.IsModule() {
			return ByModuleKey, true
		}
		return ByDeviceKey, true
	}
	if !actor.IsModule() {
		return "", false
	}
	device, ok := a.Directory.Registration(actor.Owner())
	if ok && device.Auth.Type == iot.AuthSAS && token.SignedBy(device.Auth.PrimaryKey, device.Auth.SecondaryKey) {
		return ByDeviceKey, true
	}
	return "", false
}

func (a *Authenticator) servesHost(host string) bool {
	return slices.ContainsFunc(a.Hosts, func(h string) bool { return strings.EqualFold(h, host) })
}

func (a *Authenticator) now() time.Time {
	if a.Now != nil {
		return a.Now()
	}
	return time.Now()
}
