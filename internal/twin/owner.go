package twin

import (
	"encoding/json"
	"time"
)

// Owner is what the registry knows of the identity that a twin belongs to, and
// the service shows with it. The names are the service's.
type Owner struct {
	DeviceID                  string         `json:"deviceId"`
	ModuleID                  string         `json:"moduleId,omitempty"`
	DeviceETag                string         `json:"deviceEtag,omitempty"`
	Status                    string         `json:"status"` // enabled or disabled
	StatusReason              string         `json:"statusReason,omitempty"`
	StatusUpdateTime          time.Time      `json:"statusUpdateTime"`
	ConnectionState           string         `json:"connectionState"` // Connected or Disconnected
	LastActivityTime          time.Time      `json:"lastActivityTime"`
	CloudToDeviceMessageCount int            `json:"cloudToDeviceMessageCount"`
	AuthenticationType        string         `json:"authenticationType"` // as iot.AuthType
	X509Thumbprint            X509Thumbprint `json:"x509Thumbprint"`
	ModelID                   string         `json:"modelId"`
	Capabilities              *Capabilities  `json:"capabilities,omitempty"` // of a device; nil for a module
	DeviceScope               string         `json:"deviceScope,omitempty"`
	ParentScopes              []string       `json:"parentScopes,omitempty"`
}

// X509Thumbprint is empty unless the identity has a certificate of its own.
type X509Thumbprint struct {
	Primary   *string `json:"primaryThumbprint"`
	Secondary *string `json:"secondaryThumbprint"`
}

// Capabilities says whether a device is an edge device.
type Capabilities struct {
	IoTEdge bool `json:"iotEdge"`
}

// members is o as JSON without its braces.
func (o Owner) members() ([]byte, error) {
	o.StatusUpdateTime = ticks(o.StatusUpdateTime)
	o.LastActivityTime = ticks(o.LastActivityTime)
	b, err := json.Marshal(o)
	if err != nil {
		return nil, err // a year past 9999
	}
	return b[1 : len(b)-1], nil
}
