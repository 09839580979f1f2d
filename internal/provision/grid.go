package provision

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Types of Event Grid events.
const (
	typeValidation = "Microsoft.EventGrid.SubscriptionValidationEvent"
	typeTelemetry  = "Microsoft.Devices.DeviceTelemetry"
)

// A gridEvent is an event in Event Grid's own schema, or in that of CloudEvents, in
// which type and time have other names.
type gridEvent struct {
	ID        string    `json:"id"`
	EventType string    `json:"eventType"`
	Type      string    `json:"type"`
	Data      gridData  `json:"data"`
	EventTime time.Time `json:"eventTime"`
	Time      time.Time `json:"time"`
}

type gridData struct {
	ValidationCode string            `json:"validationCode"`
	Properties     map[string]string `json:"properties"`
	System         gridSystem        `json:"systemProperties"`
	Body           json.RawMessage   `json:"body"`
}

type gridSystem struct {
	Device   string    `json:"iothub-connection-device-id"`
	Module   string    `json:"iothub-connection-module-id"`
	Enqueued time.Time `json:"iothub-enqueuedtime"`
}

func (e *gridEvent) kind() string {
	if e.EventType != "" {
		return e.EventType
	}
	return e.Type
}

// at is when the hub received the event.
func (e *gridEvent) at() time.Time {
	for _, t := range []time.Time{e.Data.System.Enqueued, e.EventTime, e.Time} {
		if !t.IsZero() {
			return t
		}
	}
	return time.Time{}
}

// parseGrid reads what Event Grid posts: a list of events, or one event. Each is read
// for itself, so that one that is wrong does not keep the others from being read.
func parseGrid(text []byte) ([]json.RawMessage, error) {
	text = bytes.TrimSpace(text)
	if len(text) > 0 && text[0] == '{' {
		if !json.Valid(text) {
			return nil, errors.New("the body is not JSON")
		}
		return []json.RawMessage{text}, nil
	}
	var list []json.RawMessage
	if err := json.Unmarshal(text, &list); err != nil || list == nil {
		return nil, errors.New("the body is not a list of events in JSON")
	}
	return list, nil
}

// parseEvent reads one event of a list.
func parseEvent(text []byte) (*gridEvent, error) {
	var e gridEvent
	if err := json.Unmarshal(text, &e); err != nil {
		return nil, fmt.Errorf("event: %w", err)
	}
	if e.kind() == "" {
		return nil, errors.New("event: it has no type")
	}
	return &e, nil
}

// fromGrid makes a Request of an event.
func fromGrid(e *gridEvent) (Request, error) {
	if !strings.EqualFold(e.kind(), typeTelemetry) || !isLeafEvent(e.Data.Properties) {
		return Request{}, errOther
	}
	body, err := unquote(e.Data.Body)
	if err != nil {
		return Request{}, err
	}
	return request(e.Data.System.Device, e.Data.System.Module, e.at(), body)
}
