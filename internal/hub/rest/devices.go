package rest

import (
	"net/http"
	"strconv"

	"sluice/internal/hub/code"
	"sluice/internal/hub/storage"
	"sluice/internal/service"
	"sluice/iot"
)

// maxList is how many devices one answer lists, as in IoT Hub.
const maxList = 1000

func (a *api) deviceRoutes() []route {
	return []route{
		{method: http.MethodGet, path: "/devices", right: storage.RegistryRead, handle: listDevices},
		{method: http.MethodGet, path: "/devices/{device}", right: storage.RegistryRead, handle: getDevice},
		{method: http.MethodPut, path: "/devices/{device}", right: storage.RegistryRead | storage.RegistryWrite, handle: putDevice},
		{method: http.MethodDelete, path: "/devices/{device}", right: storage.RegistryRead | storage.RegistryWrite, handle: deleteIdentity},
	}
}

// listDevices lists devices in the order of their ids, at most top of them. More
// is had with the header x-ms-continuation of the answer, which IoT Hub has on
// queries but not here.
func listDevices(c *call) (answer, error) {
	top := maxList
	if text := c.r.URL.Query().Get("top"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return answer{}, code.Errorf(code.ArgumentInvalid, "list", iot.Identity{}, "top is not a number from 1 to %d", maxList)
		}
		top = min(n, maxList)
	}
	found := c.Registry.Devices(c.r.Header.Get("x-ms-continuation"), top)
	list := make([]service.Device, len(found))
	for i := range found {
		list[i] = c.device(&found[i])
	}
	header := http.Header{}
	if len(found) == top {
		header.Set("x-ms-continuation", found[top-1].Identity.Device)
	}
	return answer{body: list, header: header}, nil
}

func getDevice(c *call) (answer, error) {
	e, err := c.entry()
	if err != nil {
		return answer{}, err
	}
	return c.deviceAnswer(&e), nil
}

// putDevice creates a device or, with If-Match, changes one.
func putDevice(c *call) (answer, error) {
	e, err := c.put()
	if err != nil {
		return answer{}, err
	}
	return c.deviceAnswer(&e), nil
}

func (c *call) deviceAnswer(e *storage.Entry) answer {
	return answer{etag: e.ETag, body: c.device(e)}
}

// deleteIdentity deletes a device, with its modules, or one module. Without
// If-Match it does so whatever the entity tag is.
func deleteIdentity(c *call) (answer, error) {
	id, err := c.identity()
	if err != nil {
		return answer{}, err
	}
	etag, _ := c.ifMatch()
	return answer{}, c.Registry.Delete(id, etag)
}

// entry is the identity that the path names.
func (c *call) entry() (storage.Entry, error) {
	id, err := c.identity()
	if err != nil {
		return storage.Entry{}, err
	}
	if e, ok := c.Registry.Get(id); ok {
		return e, nil
	}
	return storage.Entry{}, c.notFound(id)
}

func (c *call) notFound(id iot.Identity) error {
	if _, ok := c.Registry.Get(id.Owner()); ok && id.IsModule() {
		return code.Errorf(code.ModuleNotFound, "get", id, "module '%s' is not registered on device '%s'", id.Module, id.Device)
	}
	return code.Errorf(code.DeviceNotFound, "get", id, "device '%s' is not registered", id.Device)
}

// put stores the identity that path and body name: a new one without If-Match,
// and the changed one with it.
func (c *call) put() (storage.Entry, error) {
	id, err := c.identity()
	if err != nil {
		return storage.Entry{}, err
	}
	var w wanted
	if err := c.read(maxIdentity, &w); err != nil {
		return storage.Entry{}, err
	}
	if err := w.checkIDs(id); err != nil {
		return storage.Entry{}, err
	}
	if etag, ok := c.ifMatch(); ok {
		return c.update(&w, id, etag)
	}
	return c.create(&w, id)
}

func (a *api) create(w *wanted, id iot.Identity) (storage.Entry, error) {
	e, err := w.entry(id, nil)
	if err != nil {
		return storage.Entry{}, err
	}
	created, err := a.Registry.Create(e)
	if err != nil {
		return storage.Entry{}, err
	}
	return created[0], nil
}

// update changes an identity. What is kept of the old one is read first; were it
// changed meanwhile, a caller with an entity tag hears of it, and one with "*"
// did not want to.
func (a *api) update(w *wanted, id iot.Identity, etag string) (storage.Entry, error) {
	var old *storage.Entry
	if e, ok := a.Registry.Get(id); ok {
		old = &e
	}
	e, err := w.entry(id, old)
	if err != nil {
		return storage.Entry{}, err
	}
	return a.Registry.Update(e, etag)
}
