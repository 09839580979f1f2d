package rest

import (
	"encoding/json"
	"strings"

	"sluice/internal/hub/code"
	"sluice/internal/hub/storage"
	"sluice/internal/service"
	"sluice/iot"
)

// maxIdentity bounds the body of one identity, in bytes.
const maxIdentity = 64 << 10

// device is the form of a device for the caller.
func (a *api) device(e *storage.Entry) service.Device {
	id := e.Identity
	state := a.Hub.ConnectionState(id)
	status := "enabled"
	if !e.Enabled {
		status = "disabled"
	}
	return service.Device{
		DeviceID:                   id.Device,
		GenerationID:               e.GenerationID,
		ETag:                       e.ETag,
		ConnectionState:            connection(state),
		Status:                     status,
		StatusReason:               service.OrNull(e.StatusReason),
		ConnectionStateUpdatedTime: service.Time{Time: state.Since},
		StatusUpdatedTime:          service.Time{Time: e.StatusUpdated},
		LastActivityTime:           service.Time{Time: a.Hub.LastActivity(id)},
		CloudToDeviceMessageCount:  a.Hub.CommandCount(id),
		Authentication:             authForm(&e.Auth),
		Capabilities:               &service.Capabilities{IoTEdge: e.Edge},
		DeviceScope:                e.Scope,
		ParentScopes:               e.ParentScopes,
	}
}

// module is the form of a module for the caller.
func (a *api) module(e *storage.Entry) service.Module {
	id := e.Identity
	state := a.Hub.ConnectionState(id)
	return service.Module{
		ModuleID:                   id.Module,
		ManagedBy:                  service.OrNull(e.ManagedBy),
		DeviceID:                   id.Device,
		GenerationID:               e.GenerationID,
		ETag:                       e.ETag,
		ConnectionState:            connection(state),
		ConnectionStateUpdatedTime: service.Time{Time: state.Since},
		LastActivityTime:           service.Time{Time: a.Hub.LastActivity(id)},
		CloudToDeviceMessageCount:  a.Hub.CommandCount(id),
		Authentication:             authForm(&e.Auth),
	}
}

func connection(state iot.ConnectionState) string {
	if state.Connected {
		return "Connected"
	}
	return "Disconnected"
}

func authForm(a *iot.Authentication) *service.Authentication {
	return &service.Authentication{
		Type:         a.Type,
		SymmetricKey: &service.SymmetricKey{PrimaryKey: a.PrimaryKey, SecondaryKey: a.SecondaryKey},
		X509Thumbprint: &service.Thumbprints{
			PrimaryThumbprint:   service.OrNull(a.PrimaryThumbprint),
			SecondaryThumbprint: service.OrNull(a.SecondaryThumbprint),
		},
	}
}

// A wanted identity is what a caller may say of one: of a device or module alone,
// or, with id and importMode, as an item of a bulk request. What the hub knows
// better (times, states, counts) is not read, whatever it is.
type wanted struct {
	DeviceID       string                  `json:"deviceId"`
	ID             string                  `json:"id"` // the device, in a bulk request
	ModuleID       string                  `json:"moduleId"`
	ETag           string                  `json:"etag"`
	Status         string                  `json:"status"`
	StatusReason   string                  `json:"statusReason"`
	ManagedBy      string                  `json:"managedBy"`
	Authentication *service.Authentication `json:"authentication"`
	Capabilities   *service.Capabilities   `json:"capabilities"`
	DeviceScope    string                  `json:"deviceScope"`
	ParentScopes   []string                `json:"parentScopes"`
	ImportMode     string                  `json:"importMode"`
	// Of the twin, in a bulk request.
	Tags       map[string]json.RawMessage `json:"tags"`
	Properties wantedProperties           `json:"properties"`
	TwinETag   string                     `json:"twinETag"`
}

// wantedProperties are those of a twin in a bulk request.
type wantedProperties struct {
	Desired  map[string]json.RawMessage `json:"desired"`
	Reported map[string]json.RawMessage `json:"reported"`
}

// checkIDs compares the ids in a body with those in the path.
func (w *wanted) checkIDs(id iot.Identity) error {
	switch {
	case w.DeviceID == "":
		return code.Errorf(code.ArgumentNull, "request", id, "the body has no deviceId")
	case id.IsModule() && w.ModuleID == "":
		return code.Errorf(code.ArgumentNull, "request", id, "the body has no moduleId")
	case iot.Identity{Device: w.DeviceID, Module: w.ModuleID} != id:
		return code.Errorf(code.ArgumentInvalid, "request", id, "the body is about another identity than the path")
	}
	return nil
}

// entry makes what the registry stores. What the body leaves out is kept from
// old, if that is not nil, for proof and capabilities; it is reset to the default
// otherwise, as a PUT does.
func (w *wanted) entry(id iot.Identity, old *storage.Entry) (storage.Entry, error) {
	e := storage.Entry{StatusReason: w.StatusReason, ManagedBy: w.ManagedBy}
	e.Identity, e.Enabled = id, true
	if old != nil {
		e.Auth, e.Edge = old.Auth, old.Edge
	}
	if w.Authentication != nil {
		e.Auth = w.auth()
	}
	if id.IsModule() {
		return e, nil
	}
	if w.Capabilities != nil {
		e.Edge = w.Capabilities.IoTEdge
	}
	e.Scope, e.ParentScopes = w.DeviceScope, w.ParentScopes
	switch {
	case w.Status == "", strings.EqualFold(w.Status, "enabled"):
	case strings.EqualFold(w.Status, "disabled"):
		e.Enabled = false
	default:
		return e, code.Errorf(code.ArgumentInvalid, "request", id, "status %q: it is enabled or disabled", w.Status)
	}
	return e, nil
}

func (w *wanted) auth() iot.Authentication {
	a := iot.Authentication{Type: w.Authentication.Type}
	for _, known := range []iot.AuthType{iot.AuthSAS, iot.AuthSelfSigned, iot.AuthCA, iot.AuthNone} {
		if strings.EqualFold(string(known), string(a.Type)) {
			a.Type = known
		}
	}
	if k := w.Authentication.SymmetricKey; k != nil {
		a.PrimaryKey, a.SecondaryKey = k.PrimaryKey, k.SecondaryKey
	}
	if x := w.Authentication.X509Thumbprint; x != nil {
		a.PrimaryThumbprint, a.SecondaryThumbprint = string(x.PrimaryThumbprint), string(x.SecondaryThumbprint)
	}
	return a
}
