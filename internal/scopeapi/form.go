package scopeapi

import "sluice/iot"

// scope is an answer, as IoT Hub writes it.
type scope struct {
	Devices          []identity `json:"devices"`
	Modules          []identity `json:"modules"`
	ContinuationLink *string    `json:"continuationLink"`
}

type identity struct {
	DeviceID       string         `json:"deviceId"`
	ModuleID       string         `json:"moduleId,omitempty"`
	GenerationID   string         `json:"generationId"`
	ETag           string         `json:"etag"`
	Status         string         `json:"status,omitempty"`
	Capabilities   *capabilities  `json:"capabilities,omitempty"`
	DeviceScope    string         `json:"deviceScope,omitempty"`
	ParentScopes   []string       `json:"parentScopes,omitempty"`
	Authentication authentication `json:"authentication"`
}

type capabilities struct {
	IoTEdge bool `json:"iotEdge"`
}

type authentication struct {
	Type         iot.AuthType `json:"type"`
	SymmetricKey struct {
		PrimaryKey   string `json:"primaryKey"`
		SecondaryKey string `json:"secondaryKey"`
	} `json:"symmetricKey"`
	X509Thumbprint struct {
		Primary   string `json:"primaryThumbprint"`
		Secondary string `json:"secondaryThumbprint"`
	} `json:"x509Thumbprint"`
}

func form(found []iot.Registration) scope {
	s := scope{Devices: []identity{}, Modules: []identity{}}
	for i := range found {
		if id := identityForm(&found[i]); id.ModuleID == "" {
			s.Devices = append(s.Devices, id)
		} else {
			s.Modules = append(s.Modules, id)
		}
	}
	return s
}

func identityForm(r *iot.Registration) identity {
	id := identity{
		DeviceID: r.Identity.Device, ModuleID: r.Identity.Module, GenerationID: r.GenerationID, ETag: r.ETag,
		DeviceScope: r.Scope, ParentScopes: r.ParentScopes,
	}
	if !r.Identity.IsModule() {
		id.Status, id.Capabilities = "disabled", &capabilities{r.Edge}
		if r.Enabled {
			id.Status = "enabled"
		}
	}
	a := &id.Authentication
	a.Type = r.Auth.Type
	a.SymmetricKey.PrimaryKey, a.SymmetricKey.SecondaryKey = r.Auth.PrimaryKey.Reveal(), r.Auth.SecondaryKey.Reveal()
	a.X509Thumbprint.Primary, a.X509Thumbprint.Secondary = r.Auth.PrimaryThumbprint, r.Auth.SecondaryThumbprint
	return id
}
