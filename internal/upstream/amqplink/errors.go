package amqplink

import (
	"context"
	"errors"
	"fmt"

	"sluice/amqp10"
	"sluice/iot"
)

// kinds are the conditions that hubs give. What is not here may pass by itself.
var kinds = map[amqp10.Condition]iot.Kind{
	amqp10.ErrUnauthorized:                     iot.Unauthorized,
	amqp10.ErrNotFound:                         iot.NotFound,
	amqp10.ErrStolen:                           iot.Conflict,
	amqp10.ErrDecode:                           iot.Invalid,
	amqp10.ErrInvalidField:                     iot.Invalid,
	"com.microsoft:argument-error":             iot.Invalid,
	"com.microsoft:argument-out-of-range":      iot.Invalid,
	amqp10.ErrMessageSizeExceeded:              iot.TooLarge,
	amqp10.ErrPreconditionFailed:               iot.PreconditionFailed,
	"com.microsoft:precondition-failed":        iot.PreconditionFailed,
	amqp10.ErrResourceLimit:                    iot.Throttled,
	amqp10.ErrTransferLimitExceeded:            iot.Throttled,
	"com.microsoft:device-container-throttled": iot.Throttled,
	"com.microsoft:server-busy":                iot.Throttled,
	"com.microsoft:timeout":                    iot.Timeout,
	"com.microsoft:device-already-exists":      iot.Conflict,
	movedAway:                                  iot.Unavailable,
}

// failure is err with its kind, of an operation for an identity.
func failure(op string, id iot.Identity, err error) error {
	var known *iot.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	return &iot.Error{Kind: kindOf(err), Op: op, Identity: id, Err: err}
}

func kindOf(err error) iot.Kind {
	var peer *amqp10.Error
	switch {
	case errors.As(err, &peer):
		if kind, ok := kinds[peer.Condition]; ok {
			return kind
		}
	case errors.Is(err, context.DeadlineExceeded):
		return iot.Timeout
	}
	return iot.Unavailable
}

// connectError is err as Connect returns it: to a hub an identity that is not
// there is one that has not proved itself.
func connectError(id iot.Identity, err error) error {
	err = failure("connect", id, err)
	if kind := iot.KindOf(err); kind == iot.NotFound || kind == iot.Forbidden {
		return &iot.Error{Kind: iot.Unauthorized, Op: "connect", Identity: id, Err: err}
	}
	return err
}

// lost is why a session ends with its connection or one of its links.
func lost(id iot.Identity, err error) error {
	if err == nil {
		err = errors.New("the hub closed it")
	}
	if errors.Is(err, &amqp10.Error{Condition: amqp10.ErrStolen}) {
		return fmt.Errorf("%w: %w", iot.ErrTakenOver, err)
	}
	return failure("session", id, err)
}

// outcomeError is what the hub made of a delivery; nil if it accepted.
func outcomeError(op string, id iot.Identity, o amqp10.Outcome) error {
	switch o.Kind {
	case amqp10.KindAccepted:
		return nil
	case amqp10.KindRejected:
		if o.Error != nil {
			return failure(op, id, o.Error)
		}
		return iot.Errorf(iot.Unavailable, op, id, "the hub rejected it without a reason")
	}
	return iot.Errorf(iot.Unavailable, op, id, "the hub did not take it: %v", o.Kind)
}
