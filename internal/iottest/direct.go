package iottest

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"sluice/internal/hub/code"
	"sluice/iot"
)

// Direct makes the hub do something, or behave so from now on, as a line of a trace says:
//
//	hold                          keep what is sent
//	safe, lost FAULT              what is kept becomes safe, or is lost
//	refuse FAULT, accept          whoever connects
//	refuse-send FAULT             whatever is sent
//	forbid WHAT FAULT             who asks for commands, inputs, methods or desired
//	fail-twin FAULT               who asks for the twin or patches it
//	fail-settle FAULT             who settles
//	fail-method FAULT             who invokes a method
//	answer PAYLOAD                to who invokes a method
//	end IDENTITY FAULT            a session
//	command, input IDENTITY LOCK BODY [repeat] [$system=value or key=value ...]
//	method IDENTITY NAME [PAYLOAD]
//	desired IDENTITY PATCH
//
// For a FAULT see [Fault]. In values, \n is a new line and \s a space.
func (h *Hub) Direct(t testing.TB, words []string) {
	t.Helper()
	verb, arguments := words[0], words[1:]
	switch verb {
	case "hold":
		h.Hold = true
	case "safe":
		h.Release(nil)
	case "accept":
		h.Judge = nil
	case "answer":
		h.Result = iot.MethodResult{Status: 418, Payload: json.RawMessage(arguments[0])}
	case "lost", "refuse", "refuse-send", "forbid", "fail-twin", "fail-settle", "fail-method":
		h.fail(verb, arguments[0], Fault(t, arguments[len(arguments)-1]))
	case "end":
		h.End(Identity(t, arguments[0]), Fault(t, arguments[1]))
	case "command", "input":
		h.Deliver(Identity(t, arguments[0]), Delivery(arguments[1], arguments[2], arguments[3:]...))
	default:
		h.tell(t, verb, h.Session(Identity(t, arguments[0])), arguments[1:])
	}
}

// fail makes what a verb names fail from now on.
func (h *Hub) fail(verb, what string, fault error) {
	failing := func(context.Context) error { return fault }
	switch verb {
	case "lost":
		h.Release(fault)
	case "refuse":
		h.Judge = func(context.Context, iot.Credentials) error { return fault }
	case "refuse-send":
		h.Refusal = fault
	case "forbid":
		h.NotGiven[what] = fault
	case "fail-twin":
		h.Asked = failing
	case "fail-settle":
		h.Settling = failing
	case "fail-method":
		h.Invoked = failing
	}
}

// tell has the client of a session asked or told something.
func (h *Hub) tell(t testing.TB, verb string, to *Session, words []string) {
	t.Helper()
	listens := false
	switch verb {
	case "method":
		call := iot.MethodCall{Name: words[0]}
		if len(words) > 1 {
			call.Payload = json.RawMessage(words[1])
		}
		listens = to.Invoke(call, func(r iot.MethodResult) { h.note("! answer %d %s", r.Status, r.Payload) })
	case "desired":
		listens = to.Change(json.RawMessage(words[0]))
	default:
		t.Fatalf("a hub cannot %s", verb)
	}
	if !listens {
		t.Errorf("%v does not listen for %s", to.id, verb)
	}
}

// Delivery is a command or an input with properties, which are written key=value, those
// of the system with a dollar sign before them. The word "repeat" marks the delivery so.
func Delivery(lock, body string, properties ...string) iot.Delivery {
	d := iot.Delivery{LockToken: lock, Message: iot.Message{Body: []byte(body)}, Repeat: slices.Contains(properties, "repeat")}
	for _, pair := range properties {
		key, value, ok := strings.Cut(pair, "=")
		value = strings.NewReplacer(`\n`, "\n", `\s`, " ").Replace(value)
		if name, system := iot.ParseSystemName(strings.TrimPrefix(key, "$")); system && key[0] == '$' {
			d.Message.System.Set(name, value)
		} else if ok {
			d.Message.Properties.Set(key, value)
		}
	}
	return d
}

// Identity reads an identity, and ends the test if it is none.
func Identity(t testing.TB, text string) iot.Identity {
	t.Helper()
	id, err := iot.ParseIdentity(text)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// Fault is what can go wrong at a hub, by its name in traces: a reason why sessions end,
// a kind of failure, "quota", which has a code of its own, or "bug", which is no
// [iot.Error]. What clients must not be told is marked as secret.
func Fault(t testing.TB, name string) error {
	t.Helper()
	fault, ok := faults[name]
	if !ok {
		t.Fatalf("a trace knows no fault %q", name)
	}
	return fault
}

const (
	said   = "because the test says so"
	secret = "because the test says so, which is secret"
)

var faults = map[string]error{
	"taken-over": iot.ErrTakenOver, "disabled": iot.ErrDisabled, "removed": iot.ErrRemoved,
	"expired": iot.ErrTokenExpired, "closed": iot.ErrClosed,

	"internal":            failure(iot.Internal, secret),
	"invalid":             failure(iot.Invalid, said),
	"unauthorized":        failure(iot.Unauthorized, secret),
	"forbidden":           failure(iot.Forbidden, said),
	"not-found":           failure(iot.NotFound, said),
	"conflict":            failure(iot.Conflict, said),
	"precondition-failed": failure(iot.PreconditionFailed, said),
	"too-large":           failure(iot.TooLarge, said),
	"throttled":           failure(iot.Throttled, said),
	"unavailable":         failure(iot.Unavailable, secret),
	"timeout":             failure(iot.Timeout, said),

	"quota": code.Errorf(code.QuotaExceeded, "test", iot.Identity{}, "over quota; for today"),
	"bug":   errors.New(secret),
}

func failure(kind iot.Kind, text string) error {
	return iot.Errorf(kind, "test", iot.Identity{}, "%s", text)
}
