package sas

import (
	"fmt"
	"strings"

	"sluice/iot"
)

// ConnectionString is a connection string of a device, a module or the service.
// Fields that do not apply are empty.
type ConnectionString struct {
	HostName        string
	Identity        iot.Identity // of a device or module
	PolicyName      string       // SharedAccessKeyName, of the service
	Key             iot.Secret   // SharedAccessKey
	X509            bool         // x509=true: the proof is a certificate
	GatewayHostName string
}

// ParseConnectionString reads the form that the portal, the command line and
// the SDKs share: key=value pairs between semicolons, keys in any case, values
// that may contain an equals sign. Unknown keys are
// ignored, as the SDKs do; one that is there twice is an error.
func ParseConnectionString(s string) (ConnectionString, error) {
	var c ConnectionString
	seen := make(map[string]bool, 6)
	for part := range strings.SplitSeq(strings.TrimSpace(s), ";") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		key, value, ok := strings.Cut(part, "=")
		if !ok {
			// The part may be a key that lost its name: do not repeat it.
			return c, fmt.Errorf("connection string: a part has no '='; write Name=Value;Name=Value")
		}
		key = strings.ToLower(key)
		if seen[key] {
			return c, fmt.Errorf("connection string: %.20q is there twice", key)
		}
		seen[key] = true
		c.set(key, value)
	}
	return c, c.check()
}

func (c *ConnectionString) set(key, value string) {
	switch key {
	case "hostname":
		c.HostName = value
	case "deviceid":
		c.Identity.Device = value
	case "moduleid":
		c.Identity.Module = value
	case "sharedaccesskeyname":
		c.PolicyName = value
	case "sharedaccesskey":
		c.Key = iot.Secret(value)
	case "x509":
		c.X509 = strings.EqualFold(value, "true")
	case "gatewayhostname":
		c.GatewayHostName = value
	}
}

func (c *ConnectionString) check() error {
	switch {
	case c.HostName == "":
		return fmt.Errorf("connection string: HostName= is missing")
	case c.Identity.IsZero() && c.PolicyName == "":
		return fmt.Errorf("connection string: neither DeviceId= (of a device) nor SharedAccessKeyName= (of the service) is there")
	case !c.Identity.IsZero() && c.PolicyName != "":
		return fmt.Errorf("connection string: both DeviceId= and SharedAccessKeyName= are there")
	}
	if !c.Identity.IsZero() {
		if err := c.Identity.Validate(); err != nil {
			return fmt.Errorf("connection string: %w", err)
		}
	}
	if c.X509 {
		return nil
	}
	if _, err := DecodeKey(c.Key); err != nil {
		return fmt.Errorf("connection string: SharedAccessKey: %w", err)
	}
	return nil
}

// String writes the connection string for a log: without the key.
func (c ConnectionString) String() string { return c.text(c.Key.String()) }

// Reveal writes the connection string, the key included.
func (c ConnectionString) Reveal() string { return c.text(c.Key.Reveal()) }

func (c ConnectionString) text(sharedAccessKey string) string {
	var b strings.Builder
	add := func(key, value string) {
		if value == "" {
			return
		}
		if b.Len() > 0 {
			b.WriteByte(';')
		}
		b.WriteString(key + "=" + value)
	}
	add("HostName", c.HostName)
	add("DeviceId", c.Identity.Device)
	add("ModuleId", c.Identity.Module)
	add("SharedAccessKeyName", c.PolicyName)
	add("SharedAccessKey", sharedAccessKey)
	if c.X509 {
		add("x509", "true")
	}
	add("GatewayHostName", c.GatewayHostName)
	return b.String()
}
