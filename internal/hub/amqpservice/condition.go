package amqpservice

import (
	"errors"
	"fmt"

	"sluice/amqp10"
	"sluice/internal/hub/code"
	"sluice/iot"
)

// Conditions of Microsoft's that SDKs know, beside those of the standard.
const (
	errArgument   amqp10.Condition = "com.microsoft:argument-error"
	errOutOfRange amqp10.Condition = "com.microsoft:argument-out-of-range"
	errTimeout    amqp10.Condition = "com.microsoft:timeout"
	errThrottled  amqp10.Condition = "com.microsoft:device-container-throttled"
)

// conditionOf is err as an application is told: azure-iothub makes
// DeviceNotFoundError of amqp:not-found and DeviceMaximumQueueDepthExceededError of
// amqp:resource-limit-exceeded.
func conditionOf(err error) *amqp10.Error {
	c := amqp10.ErrInternal
	switch kind := iot.KindOf(err); {
	case code.Of(err) == code.QueueDepthExceeded:
		c = amqp10.ErrResourceLimit
	case kind == iot.Invalid:
		c = errArgument
	case kind == iot.NotFound:
		c = amqp10.ErrNotFound
	case kind == iot.TooLarge:
		c = amqp10.ErrMessageSizeExceeded
	case kind == iot.Unauthorized, kind == iot.Forbidden:
		c = amqp10.ErrUnauthorized
	case kind == iot.Throttled:
		c = errThrottled
	case kind == iot.Unavailable, kind == iot.Timeout:
		c = errTimeout
	}
	return &amqp10.Error{Condition: c, Description: explain(err), Cause: err}
}

// explain says to an application what was wrong with its request. What is wrong with
// us is for the log alone.
func explain(err error) string {
	var e *iot.Error
	if errors.As(err, &e) && e.Detail != "" && e.Kind.HTTPStatus() < 500 {
		return fmt.Sprintf("%s: %s", code.Of(err), e.Detail)
	}
	return iot.KindOf(err).String()
}
