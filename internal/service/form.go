package service

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"sluice/iot"
)

// Device is the identity of a device, in the form of GET /devices/{id}. A client
// sets the ids, Status, StatusReason, Authentication, Capabilities and the
// scopes; the hub sets the rest.
type Device struct {
	DeviceID                   string          `json:"deviceId"`
	GenerationID               string          `json:"generationId"`
	ETag                       string          `json:"etag"`
	ConnectionState            string          `json:"connectionState"` // Connected or Disconnected
	Status                     string          `json:"status"`          // enabled or disabled
	StatusReason               OrNull          `json:"statusReason"`
	ConnectionStateUpdatedTime Time            `json:"connectionStateUpdatedTime"`
	StatusUpdatedTime          Time            `json:"statusUpdatedTime"`
	LastActivityTime           Time            `json:"lastActivityTime"`
	CloudToDeviceMessageCount  int             `json:"cloudToDeviceMessageCount"`
	Authentication             *Authentication `json:"authentication,omitempty"`
	Capabilities               *Capabilities   `json:"capabilities,omitempty"`
	DeviceScope                string          `json:"deviceScope,omitempty"`
	ParentScopes               []string        `json:"parentScopes,omitempty"`
}

// Edge reports whether the device is an edge device.
func (d *Device) Edge() bool { return d.Capabilities != nil && d.Capabilities.IoTEdge }

// Parent is the scope of the edge device directly above d, or "". Older hubs say
// it of a leaf in its own scope only.
func (d *Device) Parent() string {
	switch {
	case len(d.ParentScopes) > 0:
		return d.ParentScopes[0]
	case d.Edge():
		return ""
	}
	return d.DeviceScope
}

// Module is the identity of a module, in the form of
// GET /devices/{id}/modules/{id}. A client sets the ids, ManagedBy and
// Authentication; the hub sets the rest.
type Module struct {
	ModuleID                   string          `json:"moduleId"`
	ManagedBy                  OrNull          `json:"managedBy"`
	DeviceID                   string          `json:"deviceId"`
	GenerationID               string          `json:"generationId"`
	ETag                       string          `json:"etag"`
	ConnectionState            string          `json:"connectionState"`
	ConnectionStateUpdatedTime Time            `json:"connectionStateUpdatedTime"`
	LastActivityTime           Time            `json:"lastActivityTime"`
	CloudToDeviceMessageCount  int             `json:"cloudToDeviceMessageCount"`
	Authentication             *Authentication `json:"authentication,omitempty"`
}

// Capabilities are what a device is besides a device.
type Capabilities struct {
	IoTEdge bool `json:"iotEdge"`
}

// Authentication is how an identity proves itself.
type Authentication struct {
	SymmetricKey   *SymmetricKey `json:"symmetricKey,omitempty"`
	X509Thumbprint *Thumbprints  `json:"x509Thumbprint,omitempty"`
	Type           iot.AuthType  `json:"type,omitempty"`
}

// SymmetricKey is the two keys of an identity, null where there are none.
type SymmetricKey struct {
	PrimaryKey   iot.Secret `json:"primaryKey"`
	SecondaryKey iot.Secret `json:"secondaryKey"`
}

// MarshalJSON reveals the keys: that is what the form is for.
func (k SymmetricKey) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		PrimaryKey   OrNull `json:"primaryKey"`
		SecondaryKey OrNull `json:"secondaryKey"`
	}{OrNull(k.PrimaryKey.Reveal()), OrNull(k.SecondaryKey.Reveal())})
}

// Thumbprints are those of self-signed certificates, null where there are none.
type Thumbprints struct {
	PrimaryThumbprint   OrNull `json:"primaryThumbprint"`
	SecondaryThumbprint OrNull `json:"secondaryThumbprint"`
}

// DeviceStatistics is the answer of GET /statistics/devices.
type DeviceStatistics struct {
	Total    int `json:"totalDeviceCount"`
	Enabled  int `json:"enabledDeviceCount"`
	Disabled int `json:"disabledDeviceCount"`
}

// ServiceStatistics is the answer of GET /statistics/service.
type ServiceStatistics struct {
	Connected int `json:"connectedDeviceCount"`
}

// BulkResult is the answer of POST /devices.
type BulkResult struct {
	IsSuccessful bool        `json:"isSuccessful"`
	Errors       []BulkError `json:"errors"`
	Warnings     []BulkError `json:"warnings"` // none are known; Azure sends an empty list
}

// BulkError says why one identity of a bulk request was refused.
type BulkError struct {
	DeviceID    string `json:"deviceId"`
	ModuleID    string `json:"moduleId,omitempty"`
	ErrorCode   string `json:"errorCode"` // the name of the code
	ErrorStatus string `json:"errorStatus"`
}

// Scope is the answer about the identities that a gateway may serve.
type Scope struct {
	Devices          []Device `json:"devices"`
	Modules          []Module `json:"modules"`
	ContinuationLink OrNull   `json:"continuationLink"`
}

// OrNull is text that is null in JSON when it is empty.
type OrNull string

// MarshalJSON writes null for the empty text.
func (s OrNull) MarshalJSON() ([]byte, error) {
	if s == "" {
		return []byte("null"), nil
	}
	return json.Marshal(string(s))
}

// Time is a time as the hub writes it: in UTC to 100 ns, and, if it never was,
// as the first day of the year 1.
type Time struct{ time.Time }

// The hub writes the time that never was without a zone.
const (
	timeLayout = "2006-01-02T15:04:05.0000000Z"
	never      = "0001-01-01T00:00:00"
)

// MarshalJSON writes t as a hub does.
func (t Time) MarshalJSON() ([]byte, error) {
	if t.IsZero() {
		return []byte(`"` + never + `"`), nil
	}
	return []byte(t.UTC().Format(`"` + timeLayout + `"`)), nil
}

// UnmarshalJSON reads a time with or without a zone; without one it is UTC.
func (t *Time) UnmarshalJSON(b []byte) error {
	if bytes.Equal(b, []byte("null")) {
		return nil
	}
	text, err := strconv.Unquote(string(b))
	if err != nil {
		return fmt.Errorf("%s is not a time", b)
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		at, err = time.Parse("2006-01-02T15:04:05.999999999", text)
	}
	if err != nil {
		return fmt.Errorf("%s is not a time", b)
	}
	t.Time = at.UTC()
	return nil
}
