package commands

import (
	"time"

	"sluice/internal/hub/notices"
)

// A Record is what a sender is told of a command's end, in IoT Hub's words.
type Record struct {
	OriginalMessageID  string    `json:"originalMessageId"`
	Description        string    `json:"description"`
	DeviceGenerationID string    `json:"deviceGenerationId"`
	DeviceID           string    `json:"deviceId"`
	ModuleID           string    `json:"moduleId,omitempty"`
	EnqueuedTime       time.Time `json:"enqueuedTimeUtc"` // of the end
	StatusCode         string    `json:"statusCode"`
}

// Time implements [notices.Record].
func (r Record) Time() time.Time { return r.EnqueuedTime }

// Feedback is the records that wait for an application.
type Feedback = notices.Queue[Record]

// feedbackKey is the kind of their keys.
const feedbackKey = 'b'
