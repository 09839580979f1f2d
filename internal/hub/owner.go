package hub

import (
	"sluice/internal/hub/storage"
	"sluice/internal/twin"
)

// Owner is what the service shows of an identity with its twin.
func (h *Hub) Owner(e *storage.Entry) twin.Owner {
	id := e.Identity
	state := h.ConnectionState(id)
	o := twin.Owner{
		DeviceID:                  id.Device,
		ModuleID:                  id.Module,
		DeviceETag:                e.ETag,
		Status:                    "enabled",
		StatusReason:              e.StatusReason,
		StatusUpdateTime:          e.StatusUpdated,
		ConnectionState:           "Disconnected",
		LastActivityTime:          h.LastActivity(id),
		CloudToDeviceMessageCount: h.CommandCount(id),
		AuthenticationType:        string(e.Auth.Type),
		ModelID:                   e.ModelID,
		DeviceScope:               e.Scope,
		ParentScopes:              e.ParentScopes,
		Configurations:            h.deployed.of(id),
	}
	if state.Connected {
		o.ConnectionState = "Connected"
	}
	if !e.Enabled {
		o.Status = "disabled"
	}
	if !id.IsModule() {
		o.Capabilities = &twin.Capabilities{IoTEdge: e.Edge}
	}
	if e.Auth.PrimaryThumbprint != "" {
		o.X509Thumbprint.Primary = &e.Auth.PrimaryThumbprint
	}
	if e.Auth.SecondaryThumbprint != "" {
		o.X509Thumbprint.Secondary = &e.Auth.SecondaryThumbprint
	}
	return o
}
