package iot

import (
	"context"
	"log/slog"
	"time"
)

// AuthType is how an identity proves itself, in IoT Hub's own words.
type AuthType string

// The kinds of authentication.
const (
	AuthSAS        AuthType = "sas"
	AuthSelfSigned AuthType = "selfSigned"
	AuthCA         AuthType = "certificateAuthority"
	AuthNone       AuthType = "none" // never authenticates by itself
)

// Authentication is what a hub knows of an identity's proof. The keys are
// secrets: they are base64 text, as connection strings have them, and are never
// logged.
type Authentication struct {
	Type         AuthType
	PrimaryKey   Secret
	SecondaryKey Secret
	// Thumbprints are SHA-1 (40 digits) or SHA-256 (64 digits) in hex of
	// either case.
	PrimaryThumbprint   string
	SecondaryThumbprint string
}

// Registration is what a hub tells a gateway about an identity in its scope,
// and all that is needed to authenticate it while the hub is away.
type Registration struct {
	Identity     Identity
	GenerationID string
	ETag         string
	Enabled      bool
	Edge         bool   // an edge device
	Scope        string // of an edge device and of its children: ms-azure-iot-edge://{edge}-{number}
	ParentScopes []string
	Auth         Authentication
}

// ScopePage is one page of the identities in a gateway's scope.
type ScopePage struct {
	Identities []Registration
	Next       string // continuation of the listing; "" on the last page
}

// Scopes is the part of a hub that a gateway asks whom it may serve. The caller
// proves with creds that it is the $edgeHub module of an edge device.
type Scopes interface {
	// InScope lists the caller's edge device, its modules and children.
	InScope(ctx context.Context, creds Credentials, continuation string) (ScopePage, error)

	// Lookup returns the registrations needed to authenticate one identity:
	// it and, for a module, its device. NotFound if it does not exist or is
	// not in the caller's scope.
	Lookup(ctx context.Context, creds Credentials, target Identity) ([]Registration, error)
}

// Parent is what a gateway needs of the hub above it.
type Parent interface {
	Hub
	Scopes
}

// Secret is text that must not reach a log. It prints as dots.
type Secret string

// String hides the secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "…"
}

// GoString hides the secret from %#v.
func (s Secret) GoString() string { return `"` + s.String() + `"` }

// LogValue hides the secret from handlers that write JSON.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return string(s) }

// ConnectionState is whether an identity is connected, as the hub shows it.
type ConnectionState struct {
	Connected bool
	Since     time.Time
}
