package iot

import (
	"errors"
	"fmt"
)

// Kind says in what way an operation failed. Each protocol head has one table
// from Kind to its wire; the REST APIs use [Kind.HTTPStatus].
type Kind uint8

// The kinds of failure. The zero Kind is Internal, so that a forgotten one is
// never taken for success or for the client's fault.
const (
	Internal           Kind = iota // our fault, or the disk's
	Invalid                        // the request cannot be right, whoever sends it
	Unauthorized                   // who the client is has not been proved
	Forbidden                      // proved, but not allowed
	NotFound                       // no such identity, message, method target
	Conflict                       // exists already, or was taken over by another
	PreconditionFailed             // the etag or version is not the current one
	TooLarge                       // over a size limit
	Throttled                      // over a rate, count or quota; try later
	Unavailable                    // the next hub, or the disk, cannot be had now; try later
	Timeout                        // no answer in time
)

var kinds = [...]struct {
	name string
	http int
}{
	Internal:           {"internal error", 500},
	Invalid:            {"invalid", 400},
	Unauthorized:       {"unauthorized", 401},
	Forbidden:          {"forbidden", 403},
	NotFound:           {"not found", 404},
	Conflict:           {"conflict", 409},
	PreconditionFailed: {"precondition failed", 412},
	TooLarge:           {"too large", 413},
	Throttled:          {"throttled", 429},
	Unavailable:        {"unavailable", 503},
	Timeout:            {"timeout", 504},
}

// String is the kind in words, for logs.
func (k Kind) String() string {
	if int(k) >= len(kinds) {
		return "unknown"
	}
	return kinds[k].name
}

// HTTPStatus is the status code of IoT Hub's REST API for k.
func (k Kind) HTTPStatus() int {
	if int(k) >= len(kinds) {
		return 500
	}
	return kinds[k].http
}

// KindFromHTTP is the inverse of [Kind.HTTPStatus] for the client of a hub.
// Codes that no Kind has map to Invalid (other 4xx) or Unavailable (other 5xx).
func KindFromHTTP(status int) Kind {
	for k, v := range kinds {
		if v.http == status {
			return Kind(k)
		}
	}
	if status >= 400 && status < 500 {
		return Invalid
	}
	return Unavailable
}

// Retryable reports whether the same operation may succeed later without
// anybody changing it.
func (k Kind) Retryable() bool {
	switch k {
	case Internal, Throttled, Unavailable, Timeout:
		return true
	}
	return false
}

// Error says which operation failed for whom, and in what way. It carries no
// secret; what a client may learn of it is decided by the heads.
type Error struct {
	Kind     Kind
	Op       string   // what was being done: "connect", "twin.patch"
	Identity Identity // zero if none was involved
	Detail   string   // for people; says what to do if that is known
	Err      error    // cause, or nil
}

// Error formats as "op identity: kind: detail: cause", leaving out what is not
// set.
func (e *Error) Error() string {
	s := e.Op
	if !e.Identity.IsZero() {
		s = join(s, " ", e.Identity.String())
	}
	s = join(s, ": ", e.Kind.String())
	s = join(s, ": ", e.Detail)
	if e.Err != nil {
		s = join(s, ": ", e.Err.Error())
	}
	return s
}

func join(a, sep, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + sep + b
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an Error with a formatted detail. The identity is optional: pass
// the zero Identity.
func Errorf(kind Kind, op string, id Identity, format string, args ...any) *Error {
	return &Error{Kind: kind, Op: op, Identity: id, Detail: fmt.Sprintf(format, args...)}
}

// KindOf finds the kind of err: that of the first [Error] in its chain, else
// Internal.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}

// Why a hub ends a session. [Client.Ended] receives one of these, wrapped or
// bare, or the error of the transport below.
var (
	ErrTakenOver    = &Error{Kind: Conflict, Op: "session", Detail: "the same identity connected again"}
	ErrDisabled     = &Error{Kind: Unauthorized, Op: "session", Detail: "the identity was disabled"}
	ErrRemoved      = &Error{Kind: Unauthorized, Op: "session", Detail: "the identity was removed"}
	ErrTokenExpired = &Error{Kind: Unauthorized, Op: "session", Detail: "the token expired"}
	ErrClosed       = &Error{Kind: Unavailable, Op: "session", Detail: "closed"}
)
