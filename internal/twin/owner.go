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

	// Configurations are the automatic deployments that name the identity, by id.
	Configurations map[string]Configuration `json:"configurations,omitempty"`
}

// Configuration says how far an automatic deployment has got with an identity.
type Configuration struct {
	Status string `json:"status"` // Targeted or Applied
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

// lookup finds a member of o by its path. Questions about many twins are mostly
// about the first few.
func (o Owner) lookup(path []string) (Value, bool) {
	var v Value
	switch path[0] {
	case "deviceId":
		v = StringValue(o.DeviceID)
	case "moduleId":
		if o.ModuleID == "" {
			return Value{}, false
		}
		v = StringValue(o.ModuleID)
	case "status":
		v = StringValue(o.Status)
	case "connectionState":
		v = StringValue(o.ConnectionState)
	case "lastActivityTime":
		v = StringValue(ticks(o.LastActivityTime).Format(timeFormat))
	default:
		return o.lookupRare(path)
	}
	return v.Lookup(path[1:])
}

func (o Owner) lookupRare(path []string) (Value, bool) {
	members, err := o.members()
	if err != nil {
		return Value{}, false
	}
	text := append(append([]byte{'{'}, members...), '}')
	all, err := ParseValue(text)
	if err != nil {
		return Value{}, false
	}
	return all.Lookup(path)
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
