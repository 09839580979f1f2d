package iot

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"log/slog"
	"time"
)

// Hub is what devices and modules connect to.
type Hub interface {
	// Connect authenticates one identity and begins its session. An earlier
	// session of the same identity is ended with [ErrTakenOver] before
	// Connect returns.
	//
	// The error is an [*Error]: Unauthorized whenever identity or proof is
	// wrong (its text says which, for the log; the client must not be told),
	// Throttled when a limit on connections is reached, Unavailable when the
	// hub cannot decide now.
	Connect(ctx context.Context, creds Credentials, client Client) (Session, error)
}

// Credentials are what a client offers to prove that it is Identity. Either
// Token or Certificates is set.
type Credentials struct {
	Identity Identity

	// Token is a shared access signature. Its audience is Identity, or the
	// $edgeHub module of an edge device above Identity, which then acts on
	// behalf of Identity.
	Token string

	// Certificates is the chain of the TLS client, leaf first, not verified
	// beyond the proof that the client holds the leaf's key.
	Certificates []*x509.Certificate

	// AuthChain, if not empty, lists the ids from the target up to the actor,
	// joined by semicolons, as a gateway acting on behalf sends it.
	AuthChain string
}

// String names the identity and the kind of proof, and hides the proof.
func (c Credentials) String() string {
	proof := "nothing"
	switch {
	case c.Token != "":
		proof = "token"
	case len(c.Certificates) > 0:
		proof = "certificate"
	}
	return c.Identity.String() + " by " + proof
}

// LogValue is [Credentials.String], for handlers that write JSON.
func (c Credentials) LogValue() slog.Value { return slog.StringValue(c.String()) }

// Client describes the connection behind a session, and how to end it.
type Client struct {
	Protocol   string // "mqtt", "amqp", "https", with "-ws" over WebSockets
	RemoteAddr string
	APIVersion string
	Product    string // DeviceClientType, the client's SDK
	ModelID    string // plug and play model, or ""

	// Ended is called once, from any goroutine, when the hub ends the session
	// for a reason of its own: [ErrTakenOver], [ErrDisabled], [ErrRemoved],
	// [ErrTokenExpired], or the loss of the hub behind it. It is not called
	// after Session.Close. It must not block. May be nil.
	Ended func(reason error)
}

// Session is the presence of one identity at a hub. Its methods may be called
// from any goroutine. After it has ended they fail with [ErrClosed] or the
// reason that Client.Ended received.
type Session interface {
	// Identity is whom the session acts for.
	Identity() Identity

	// Send takes over a batch of messages. The hub stamps the sender and, on
	// modules' messages, honours [OutputName]. done is called exactly once,
	// from any goroutine, perhaps before Send returns: with nil when every
	// message of the batch is safe, with an error when the batch was refused
	// as a whole and nothing may be acknowledged. Batches of one session
	// become safe in the order they were sent. Send does not wait for the
	// disk or the network; it may block briefly for backpressure.
	Send(batch []Message, done func(error))

	// Commands asks for the cloud-to-device messages of a device.
	Commands(deliver func(Delivery)) (Subscription, error)

	// Inputs asks for the messages that routes send to a module, on all its
	// inputs; [InputName] says which.
	Inputs(deliver func(Delivery)) (Subscription, error)

	// Settle ends the delivery with this lock token. Unknown tokens are
	// NotFound: the lock expired, or it was settled before.
	Settle(ctx context.Context, lockToken string, outcome Outcome) error

	// Methods asks for direct methods. invoke must return soon; the answer
	// goes to reply, once, from any goroutine, before the call's timeout.
	Methods(invoke func(MethodCall, func(MethodResult))) (Subscription, error)

	// InvokeMethod calls a direct method of target and waits for its answer.
	// NotFound: the target is not there or not listening. Timeout: it did not
	// answer in time.
	InvokeMethod(ctx context.Context, target Identity, call MethodCall) (MethodResult, error)

	// Twin returns the twin of the session's identity.
	Twin(ctx context.Context) (Twin, error)

	// PatchReported merges a JSON object into the reported properties and
	// returns their new version. Invalid: not an object, or over a limit.
	PatchReported(ctx context.Context, patch json.RawMessage) (version int64, err error)

	// DesiredChanges asks for patches of the desired properties, each with
	// its $version.
	DesiredChanges(changed func(patch json.RawMessage)) (Subscription, error)

	// Renew replaces the credentials of a living session, so that it does not
	// end when the old token expires.
	Renew(ctx context.Context, creds Credentials) error

	// Close ends the session. What was handed to Send and not yet safe still
	// gets its done call. Deliveries not settled are abandoned.
	Close() error
}

// Subscription is a session's interest in one kind of thing. A session has at
// most one of each kind; asking again replaces the one before.
type Subscription interface {
	// Grant allows n more deliveries. Commands and inputs start at zero;
	// methods and desired changes are not counted, and Grant does nothing.
	Grant(n int)
	// Revoke withdraws what was granted and not used, and returns how much
	// that was. After it returns nothing more is delivered until the next
	// Grant.
	Revoke() int
	// Close ends the interest and abandons deliveries that are not settled.
	// After it returns deliver is not called again.
	Close()
}

// Delivery is a message handed to a device or module that must be settled, with
// its lock token, by [Session.Settle]. A delivery that is not settled before
// its lock expires, or whose session ends, comes again with a higher count.
type Delivery struct {
	Message   Message
	LockToken string
	Count     int  // times delivered before
	Repeat    bool // this session, or an earlier one of the identity, may have seen it
}

// Outcome is how a receiver settles a delivery.
type Outcome uint8

// The outcomes.
const (
	Complete Outcome = iota + 1 // done with it
	Abandon                     // give it to me again
	Reject                      // nobody should have it; dead-letter it
)

// MethodCall is a direct method invocation.
type MethodCall struct {
	Name            string
	Payload         json.RawMessage // nil for none
	ResponseTimeout time.Duration   // 5 s to 300 s; 0 means 30 s
	ConnectTimeout  time.Duration   // how long to wait for the target to come; 0 to 300 s
}

// MethodResult is the target's answer to a direct method.
type MethodResult struct {
	Status  int
	Payload json.RawMessage
}

// Twin is the part of a twin that its device sees. The documents carry no
// $version; that is in the fields.
type Twin struct {
	Desired         json.RawMessage
	DesiredVersion  int64
	Reported        json.RawMessage
	ReportedVersion int64
}
