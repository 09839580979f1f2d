package amqp10

import (
	"sluice/amqp10/internal/frame"
	"sluice/amqp10/internal/wire"
)

// Types of the AMQP type system that Go has no own type for. Values of any
// type are held in interfaces as follows:
//
//	null                      nil
//	boolean                   bool
//	ubyte ushort uint ulong   uint8 uint16 uint32 uint64
//	byte short int long       int8 int16 int32 int64
//	float double              float32 float64
//	decimal32/64/128          Decimal32 Decimal64 Decimal128 (bits passed through)
//	char                      Char
//	timestamp                 time.Time (UTC, milliseconds)
//	uuid                      UUID
//	binary                    []byte
//	string symbol             string Symbol
//	list                      []any
//	map                       Map (in wire order)
//	array                     Array
//	described value           Described
//
// Encoding also takes int and uint (as long and ulong), []Symbol and []string
// (as arrays), and Fields.
type (
	// Symbol is a name from a constrained domain, in ASCII.
	Symbol = wire.Symbol
	// Char is one Unicode character.
	Char = wire.Char
	// UUID is an RFC 4122 identifier in network order, [16]byte.
	UUID = wire.UUID
	// Decimal32 is an IEEE 754 decimal in network order, [4]byte.
	Decimal32 = wire.Decimal32
	// Decimal64 is an IEEE 754 decimal in network order, [8]byte.
	Decimal64 = wire.Decimal64
	// Decimal128 is an IEEE 754 decimal in network order, [16]byte.
	Decimal128 = wire.Decimal128
	// Described is a Value with a Descriptor, which is a Symbol or a uint64.
	Described = wire.Described
	// Map is a slice of MapEntry, in wire order, with Get(key).
	Map = wire.Map
	// MapEntry is one Key and its Value.
	MapEntry = wire.MapEntry
	// Array holds Elems of one type: Code is its widest format code (zero: that
	// of the first element), Descriptor not nil if the elements are described.
	Array = wire.Array
	// Fields is a slice of Field, a map with symbols for keys in wire order:
	// annotations, filters, properties of connections and links. It has
	// Get(key), Text(key) and Set(key, value).
	Fields = wire.Fields
	// Field is one Key and its Value.
	Field = wire.Field
	// ApplicationProperties is like Fields with strings for keys.
	ApplicationProperties = wire.Pairs[string]
	// ApplicationProperty is one Key and its Value.
	ApplicationProperty = wire.Pair[string]
)

// ParseUUID reads the form 8-4-4-4-12 of hex digits.
func ParseUUID(s string) (UUID, error) { return wire.ParseUUID(s) }

// Types that links and deliveries are made of.
type (
	// Error is why a connection, session or link ended, or a message was
	// rejected: Condition, Description, Info. Remote says that the peer sent
	// it, Cause is the local error behind it. errors.Is with an Error that has
	// only a Condition compares conditions.
	Error = frame.Error
	// Condition is the machine-readable part of an Error.
	Condition = frame.Condition
	// Source is where a link's messages come from [AMQP 3.5.3].
	Source = frame.Source
	// Target is where a link's messages go [AMQP 3.5.4].
	Target = frame.Target
	// Outcome is the state of a delivery at its receiver: Kind, and what goes
	// with it. The zero value is settlement without an outcome.
	Outcome = frame.Outcome
	// OutcomeKind says which outcome an Outcome is.
	OutcomeKind = frame.OutcomeKind
	// Role is the end of a link that a peer is.
	Role = frame.Role
	// SenderSettleMode says whether a sender settles what it sends.
	SenderSettleMode = frame.SenderSettleMode
	// ReceiverSettleMode says when a receiver settles.
	ReceiverSettleMode = frame.ReceiverSettleMode
)

// The two roles [AMQP 2.8.1].
const (
	RoleSender   = frame.RoleSender
	RoleReceiver = frame.RoleReceiver
)

// Settlement modes [AMQP 2.8.2, 2.8.3].
const (
	SendUnsettled = frame.SendUnsettled
	SendSettled   = frame.SendSettled
	SendMixed     = frame.SendMixed
	ReceiveFirst  = frame.ReceiveFirst
	ReceiveSecond = frame.ReceiveSecond
)

// Kinds of outcome [AMQP 3.4].
const (
	None         = frame.None
	KindAccepted = frame.KindAccepted
	KindRejected = frame.KindRejected
	KindReleased = frame.KindReleased
	KindModified = frame.KindModified
	KindReceived = frame.KindReceived
	KindOther    = frame.KindOther
)

// Outcomes without fields.
var (
	Accepted = Outcome{Kind: KindAccepted}
	Released = Outcome{Kind: KindReleased}
)

// Rejected is the outcome of an invalid message; err may be nil.
func Rejected(err *Error) Outcome { return Outcome{Kind: KindRejected, Error: err} }

// Modified is the outcome of a message given back with a change: failed counts
// the delivery attempt, undeliverable keeps the message from this receiver.
func Modified(failed, undeliverable bool) Outcome {
	return Outcome{Kind: KindModified, DeliveryFailed: failed, UndeliverableHere: undeliverable}
}

// Errorf returns an error of ours, for the peer to read.
func Errorf(c Condition, format string, args ...any) *Error {
	return frame.Errorf(c, format, args...)
}

// Error conditions [AMQP 2.8.15 to 2.8.18].
const (
	ErrInternal              Condition = "amqp:internal-error"
	ErrNotFound              Condition = "amqp:not-found"
	ErrUnauthorized          Condition = "amqp:unauthorized-access"
	ErrDecode                Condition = "amqp:decode-error"
	ErrResourceLimit         Condition = "amqp:resource-limit-exceeded"
	ErrNotAllowed            Condition = "amqp:not-allowed"
	ErrInvalidField          Condition = "amqp:invalid-field"
	ErrNotImplemented        Condition = "amqp:not-implemented"
	ErrResourceLocked        Condition = "amqp:resource-locked"
	ErrPreconditionFailed    Condition = "amqp:precondition-failed"
	ErrResourceDeleted       Condition = "amqp:resource-deleted"
	ErrIllegalState          Condition = "amqp:illegal-state"
	ErrFrameSizeTooSmall     Condition = "amqp:frame-size-too-small"
	ErrConnectionForced      Condition = "amqp:connection:forced"
	ErrFraming               Condition = "amqp:connection:framing-error"
	ErrConnectionRedirect    Condition = "amqp:connection:redirect"
	ErrWindowViolation       Condition = "amqp:session:window-violation"
	ErrErrantLink            Condition = "amqp:session:errant-link"
	ErrHandleInUse           Condition = "amqp:session:handle-in-use"
	ErrUnattachedHandle      Condition = "amqp:session:unattached-handle"
	ErrDetachForced          Condition = "amqp:link:detach-forced"
	ErrTransferLimitExceeded Condition = "amqp:link:transfer-limit-exceeded"
	ErrMessageSizeExceeded   Condition = "amqp:link:message-size-exceeded"
	ErrLinkRedirect          Condition = "amqp:link:redirect"
	ErrStolen                Condition = "amqp:link:stolen"
)
