package amqphead

import (
	"errors"

	"sluice/amqp10"
	"sluice/iot"
)

// Conditions of Microsoft's that SDKs know, beside those of the standard.
const (
	errArgument     amqp10.Condition = "com.microsoft:argument-error"
	errThrottled    amqp10.Condition = "com.microsoft:device-container-throttled"
	errPrecondition amqp10.Condition = "com.microsoft:precondition-failed"
	errTimeout      amqp10.Condition = "com.microsoft:timeout"
)

// conditions are what SDKs make the right error of: they try again after
// device-container-throttled and timeout, and not after unauthorized-access,
// not-found and stolen.
var conditions = [...]amqp10.Condition{
	iot.Internal:           amqp10.ErrInternal,
	iot.Invalid:            errArgument,
	iot.Unauthorized:       amqp10.ErrUnauthorized,
	iot.Forbidden:          amqp10.ErrUnauthorized,
	iot.NotFound:           amqp10.ErrNotFound,
	iot.Conflict:           amqp10.ErrStolen,
	iot.PreconditionFailed: errPrecondition,
	iot.TooLarge:           amqp10.ErrMessageSizeExceeded,
	iot.Throttled:          errThrottled,
	iot.Unavailable:        errTimeout,
	iot.Timeout:            errTimeout,
}

// refusal is err as a client is told.
func refusal(err error) *amqp10.Error {
	return &amqp10.Error{Condition: conditions[iot.KindOf(err)], Description: explain(err), Cause: err}
}

// explain says to a client what was wrong with its request. What is wrong with us,
// and which of identity and proof was wrong, is for the log alone.
func explain(err error) string {
	kind := iot.KindOf(err)
	var e *iot.Error
	if errors.As(err, &e) && e.Detail != "" && kind != iot.Unauthorized && kind.HTTPStatus() < 500 {
		return e.Detail
	}
	return kind.String()
}
