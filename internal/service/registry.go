package service

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"sluice/iot"
)

// pageSize is how many devices a hub lists at once.
const pageSize = 1000

// continuation is the header with which the local hub lists on. Azure IoT Hub has
// it on queries alone.
const continuation = "X-Ms-Continuation"

func devicePath(id string) string { return "/devices/" + escape(id) }

func pathOf(id iot.Identity) string {
	if id.IsModule() {
		return devicePath(id.Device) + "/modules/" + escape(id.Module)
	}
	return devicePath(id.Device)
}

// escape is encodeURIComponent, which is what hubs are used to: url.PathEscape
// leaves marks such as $ and + as they are.
func escape(id string) string { return strings.ReplaceAll(url.QueryEscape(id), "+", "%20") }

// The bodies of requests are what a client may say. Azure IoT Hub refuses some of
// what only the hub can know when it is empty.
type deviceBody struct {
	DeviceID       string          `json:"deviceId"`
	Status         string          `json:"status,omitempty"`
	StatusReason   string          `json:"statusReason,omitempty"`
	Authentication *Authentication `json:"authentication,omitempty"`
	Capabilities   *Capabilities   `json:"capabilities,omitempty"`
	DeviceScope    string          `json:"deviceScope,omitempty"`
	ParentScopes   []string        `json:"parentScopes,omitempty"`
}

func bodyOfDevice(d *Device) deviceBody {
	return deviceBody{
		DeviceID: d.DeviceID, Status: d.Status, StatusReason: string(d.StatusReason),
		Authentication: d.Authentication, Capabilities: d.Capabilities,
		DeviceScope: d.DeviceScope, ParentScopes: d.ParentScopes,
	}
}

type moduleBody struct {
	DeviceID       string          `json:"deviceId"`
	ModuleID       string          `json:"moduleId"`
	ManagedBy      string          `json:"managedBy,omitempty"`
	Authentication *Authentication `json:"authentication,omitempty"`
}

func bodyOfModule(m *Module) moduleBody {
	return moduleBody{DeviceID: m.DeviceID, ModuleID: m.ModuleID, ManagedBy: string(m.ManagedBy), Authentication: m.Authentication}
}

// Devices lists at most limit devices. more says that the hub has, or may have,
// others: Azure IoT Hub lists no more than the first thousand.
func (c *Client) Devices(ctx context.Context, limit int) (list []Device, more bool, err error) {
	after := ""
	for len(list) < limit {
		var page []Device
		r := &request{op: "list devices", method: http.MethodGet, path: "/devices", out: &page}
		top := min(limit-len(list), pageSize)
		r.query = url.Values{"top": {strconv.Itoa(top)}}
		if after != "" {
			r.header = http.Header{continuation: {after}}
		}
		if err := c.do(ctx, r); err != nil {
			return nil, false, err
		}
		list = append(list, page...)
		next := r.response.Get(continuation)
		if len(page) < top || next == "" || next == after {
			return list, len(page) == top, nil
		}
		after = next
	}
	return list, true, nil
}

// Device returns a device.
func (c *Client) Device(ctx context.Context, id string) (Device, error) {
	var d Device
	err := c.do(ctx, &request{op: "show", id: iot.DeviceIdentity(id), method: http.MethodGet, path: devicePath(id), out: &d})
	return d, err
}

// CreateDevice registers a device and returns it as the hub completed it. A
// device with the same id is the error code.DeviceAlreadyExists.
func (c *Client) CreateDevice(ctx context.Context, d Device) (Device, error) {
	var created Device
	err := c.do(ctx, &request{
		op: "create", id: iot.DeviceIdentity(d.DeviceID), method: http.MethodPut, path: devicePath(d.DeviceID),
		in: bodyOfDevice(&d), out: &created,
	})
	return created, err
}

// UpdateDevice replaces what is registered of a device with d, if its entity tag
// is d.ETag, or whatever it is if d has none.
func (c *Client) UpdateDevice(ctx context.Context, d Device) (Device, error) {
	var updated Device
	err := c.do(ctx, &request{
		op: "update", id: iot.DeviceIdentity(d.DeviceID), method: http.MethodPut, path: devicePath(d.DeviceID),
		ifMatch: orAny(d.ETag), in: bodyOfDevice(&d), out: &updated,
	})
	return updated, err
}

// Delete removes a device with its modules, or a module, if its entity tag is
// etag, or whatever it is if etag is "".
func (c *Client) Delete(ctx context.Context, id iot.Identity, etag string) error {
	return c.do(ctx, &request{op: "delete", id: id, method: http.MethodDelete, path: pathOf(id), ifMatch: orAny(etag)})
}

// Modules lists the modules of a device.
func (c *Client) Modules(ctx context.Context, device string) ([]Module, error) {
	var list []Module
	err := c.do(ctx, &request{
		op: "list modules", id: iot.DeviceIdentity(device), method: http.MethodGet, path: devicePath(device) + "/modules", out: &list,
	})
	return list, err
}

// Module returns a module.
func (c *Client) Module(ctx context.Context, id iot.Identity) (Module, error) {
	var m Module
	err := c.do(ctx, &request{op: "show", id: id, method: http.MethodGet, path: pathOf(id), out: &m})
	return m, err
}

// CreateModule registers a module and returns it as the hub completed it. A
// module with the same id is the error code.ModuleAlreadyExistsOnDevice.
func (c *Client) CreateModule(ctx context.Context, m Module) (Module, error) {
	id := iot.ModuleIdentity(m.DeviceID, m.ModuleID)
	var created Module
	err := c.do(ctx, &request{op: "create", id: id, method: http.MethodPut, path: pathOf(id), in: bodyOfModule(&m), out: &created})
	return created, err
}

// UpdateModule replaces what is registered of a module with m, if its entity tag
// is m.ETag, or whatever it is if m has none.
func (c *Client) UpdateModule(ctx context.Context, m Module) (Module, error) {
	id := iot.ModuleIdentity(m.DeviceID, m.ModuleID)
	var updated Module
	err := c.do(ctx, &request{
		op: "update", id: id, method: http.MethodPut, path: pathOf(id), ifMatch: orAny(m.ETag), in: bodyOfModule(&m), out: &updated,
	})
	return updated, err
}

// Statistics counts the devices that are registered.
func (c *Client) Statistics(ctx context.Context) (DeviceStatistics, error) {
	var s DeviceStatistics
	err := c.do(ctx, &request{op: "statistics", method: http.MethodGet, path: "/statistics/devices", out: &s})
	return s, err
}

func orAny(etag string) string {
	if etag == "" {
		return "*"
	}
	return etag
}
