package rest

import (
	"net/http"

	"sluice/internal/hub/storage"
	"sluice/internal/service"
	"sluice/iot"
)

// An edge device may see and change its own modules: its runtime does.
func (a *api) moduleRoutes() []route {
	const read, write = storage.RegistryRead, storage.RegistryRead | storage.RegistryWrite
	return []route{
		{method: http.MethodGet, path: "/devices/{device}/modules", right: read, callers: ownDevice, handle: listModules},
		{method: http.MethodGet, path: "/devices/{device}/modules/{module}", right: read, callers: ownDevice, handle: getModule},
		{method: http.MethodPut, path: "/devices/{device}/modules/{module}", right: write, callers: ownDevice, handle: putModule},
		{method: http.MethodDelete, path: "/devices/{device}/modules/{module}", right: write, callers: ownDevice, handle: deleteIdentity},
	}
}

func listModules(c *call) (answer, error) {
	device, err := c.entry()
	if err != nil {
		return answer{}, err
	}
	return answer{body: c.modulesOf(device.Identity)}, nil
}

// modulesOf lists the modules of a device; the list is empty, not nil, for none.
func (a *api) modulesOf(device iot.Identity) []service.Module {
	found := a.Registry.Modules(device.Device)
	list := make([]service.Module, len(found))
	for i := range found {
		list[i] = a.module(&found[i])
	}
	return list
}

func getModule(c *call) (answer, error) {
	e, err := c.entry()
	if err != nil {
		return answer{}, err
	}
	return c.moduleAnswer(&e), nil
}

// putModule creates a module or, with If-Match, changes one.
func putModule(c *call) (answer, error) {
	e, err := c.put()
	if err != nil {
		return answer{}, err
	}
	return c.moduleAnswer(&e), nil
}

func (c *call) moduleAnswer(e *storage.Entry) answer {
	return answer{etag: e.ETag, body: c.module(e)}
}
