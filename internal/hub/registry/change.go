package registry

import (
	"slices"

	"sluice/internal/hub/code"
	"sluice/internal/hub/storage"
	"sluice/iot"
)

// Create adds identities, all of them or none, and returns them as they were
// stored. What an entry leaves open is filled in: keys, entity tag, generation
// id, the scope of an edge device and its two modules.
//
// Errors carry a [code.Code]: DeviceAlreadyExists, ModuleAlreadyExistsOnDevice,
// DeviceNotFound (of a module), ArgumentInvalid, TooManyDevices,
// TooManyModulesOnDevice.
func (s *Store) Create(entries ...storage.Entry) ([]storage.Entry, error) {
	s.changing.Lock()
	defer s.changing.Unlock()
	t := s.begin()
	created := make([]storage.Entry, 0, len(entries))
	for i := range entries {
		e, err := t.create(&entries[i])
		if err != nil {
			return nil, err
		}
		created = append(created, *e)
	}
	return created, s.commitAll(t)
}

// Update changes an identity, if its entity tag is ifMatch, and returns it as it
// was stored. Keys that are left open stay what they are; the generation id and
// the scope of an edge device cannot be changed.
//
// Errors carry a [code.Code]: DeviceNotFound, ModuleNotFound, PreconditionFailed,
// ArgumentInvalid.
func (s *Store) Update(e storage.Entry, ifMatch string) (storage.Entry, error) {
	s.changing.Lock()
	defer s.changing.Unlock()
	t := s.begin()
	updated, err := t.update(&e, ifMatch)
	if err != nil {
		return storage.Entry{}, err
	}
	return *updated, s.commitAll(t)
}

// SetModel notes the plug and play model that an identity of this generation says
// it is. That leaves the entity tag as it is: nobody who manages identities is to
// be disturbed. Of an identity that is gone nothing is noted.
func (s *Store) SetModel(id iot.Identity, generation, model string) error {
	if e, ok := s.Get(id); ok && e.ModelID == model {
		return nil // as with nearly every connection
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	t := s.begin()
	old := t.get(id)
	if old == nil || old.GenerationID != generation || old.ModelID == model {
		return nil
	}
	e := clone(old)
	e.ModelID = model
	t.set(id, e)
	return s.commitAll(t)
}

// Delete removes an identity, if its entity tag is ifMatch: a device with its
// modules. Children of an edge device are left without a parent.
//
// Errors carry a [code.Code]: DeviceNotFound, ModuleNotFound, PreconditionFailed,
// and ArgumentInvalid for the modules that belong to every edge device.
func (s *Store) Delete(id iot.Identity, ifMatch string) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	t := s.begin()
	if err := t.delete(id, ifMatch); err != nil {
		return err
	}
	return s.commitAll(t)
}

func (s *Store) commitAll(t *transaction) error {
	if len(t.changes) == 0 {
		return nil
	}
	return s.commit(t.changes)
}

// A transaction is changes that are not made yet. It sees its own.
type transaction struct {
	s       *Store
	changes []storage.Change
	pending map[iot.Identity]*storage.Entry // nil: deleted
	added   int                             // devices
}

func (s *Store) begin() *transaction {
	return &transaction{s: s, pending: map[iot.Identity]*storage.Entry{}}
}

// get returns an entry that is not to be changed, or nil.
func (t *transaction) get(id iot.Identity) *storage.Entry {
	if e, ok := t.pending[id]; ok {
		return e
	}
	t.s.mu.RLock()
	defer t.s.mu.RUnlock()
	return t.s.entries[id]
}

func (t *transaction) set(id iot.Identity, after *storage.Entry) {
	t.changes = append(t.changes, storage.Change{Before: t.get(id), After: after})
	t.pending[id] = after
}

func (t *transaction) create(want *storage.Entry) (*storage.Entry, error) {
	if err := t.mayCreate(want.Identity); err != nil {
		return nil, err
	}
	e := clone(want)
	e.Created = t.s.opt.Now().UTC()
	e.GenerationID = t.s.generation()
	e.ETag = t.s.etag()
	if !e.Identity.IsModule() {
		t.added++
		if err := t.place(e); err != nil {
			return nil, err
		}
	}
	if err := fillAuth(e, nil); err != nil {
		return nil, err
	}
	t.set(e.Identity, e)
	if e.Edge {
		return e, t.addSystemModules(e)
	}
	return e, nil
}

func (t *transaction) mayCreate(id iot.Identity) error {
	if err := id.Validate(); err != nil {
		return code.Errorf(code.ArgumentInvalid, "create", id, "%v", err)
	}
	exists := t.get(id) != nil
	if !id.IsModule() {
		switch {
		case exists:
			return code.Errorf(code.DeviceAlreadyExists, "create", id, "a device with ID '%s' is already registered", id.Device)
		case t.s.Counts().Devices+t.added >= t.s.opt.MaxDevices:
			return code.Errorf(code.TooManyDevices, "create", id, "the hub has %d devices, its limit", t.s.opt.MaxDevices)
		}
		return nil
	}
	switch {
	case exists:
		return code.Errorf(code.ModuleAlreadyExistsOnDevice, "create", id, "module '%s' already exists on device '%s'", id.Module, id.Device)
	case t.get(id.Owner()) == nil:
		return deviceNotFound("create", id)
	case isSystemModule(id):
		return code.Errorf(code.ArgumentInvalid, "create", id, "module ids that begin with $ come with edge devices")
	case t.moduleCount(id.Device) >= maxModules:
		return code.Errorf(code.TooManyModulesOnDevice, "create", id, "the device has %d modules, its limit", maxModules)
	}
	return nil
}

func (t *transaction) moduleCount(device string) int {
	t.s.mu.RLock()
	n := len(t.s.modules[device])
	t.s.mu.RUnlock()
	for _, c := range t.changes {
		if id := c.Identity(); id.Device == device && id.IsModule() && c.Before == nil {
			n++
		}
	}
	return n
}

// addSystemModules gives an edge device the modules that each has.
func (t *transaction) addSystemModules(device *storage.Entry) error {
	for _, name := range []string{iot.EdgeAgentModule, iot.EdgeHubModule} {
		m := &storage.Entry{Created: t.s.opt.Now().UTC(), ManagedBy: "IotEdge"}
		m.Identity = iot.ModuleIdentity(device.Identity.Device, name)
		m.GenerationID, m.ETag = t.s.generation(), t.s.etag()
		m.Enabled = true
		// Without keys of the device's kind they could not prove themselves:
		// an edge device with a certificate still has modules with keys.
		if err := fillAuth(m, nil); err != nil {
			return err
		}
		t.set(m.Identity, m)
	}
	return nil
}

func (t *transaction) update(want *storage.Entry, ifMatch string) (*storage.Entry, error) {
	id := want.Identity
	old, err := t.match("update", id, ifMatch)
	if err != nil {
		return nil, err
	}
	e := clone(want)
	e.Created, e.GenerationID, e.ETag = old.Created, old.GenerationID, t.s.etag()
	e.StatusUpdated, e.ModelID = old.StatusUpdated, old.ModelID
	if e.Enabled != old.Enabled {
		e.StatusUpdated = t.s.opt.Now().UTC()
	}
	if err := fillAuth(e, old); err != nil {
		return nil, err
	}
	if id.IsModule() {
		e.Enabled = true // modules have no status of their own
		t.set(id, e)
		return e, nil
	}
	return e, t.updateDevice(old, e)
}

func (t *transaction) updateDevice(old, e *storage.Entry) error {
	id := e.Identity
	if old.Edge && e.Edge {
		if e.Scope != "" && scopeKey(e.Scope) != scopeKey(old.Scope) {
			return code.Errorf(code.ArgumentInvalid, "update", id, "the deviceScope of an edge device cannot be changed; its parents are in parentScopes")
		}
		e.Scope = old.Scope
	}
	if err := t.place(e); err != nil {
		return err
	}
	t.set(id, e)
	switch {
	case e.Edge && !old.Edge:
		return t.addSystemModules(e)
	case old.Edge && !e.Edge:
		for _, name := range []string{iot.EdgeAgentModule, iot.EdgeHubModule} {
			t.remove(iot.ModuleIdentity(id.Device, name))
		}
		t.orphan(old.Scope)
	}
	return nil
}

func (t *transaction) delete(id iot.Identity, ifMatch string) error {
	old, err := t.match("delete", id, ifMatch)
	switch {
	case err != nil:
		return err
	case id.IsModule() && isSystemModule(id):
		return code.Errorf(code.ArgumentInvalid, "delete", id, "it belongs to its edge device and goes with it")
	}
	if !id.IsModule() {
		for _, m := range t.s.Modules(id.Device) {
			t.remove(m.Identity)
		}
	}
	t.set(id, nil)
	if old.Edge {
		t.orphan(old.Scope)
	}
	return nil
}

// remove deletes what may be there.
func (t *transaction) remove(id iot.Identity) {
	if t.get(id) != nil {
		t.set(id, nil)
	}
}

// orphan takes the scope of an edge device that is no more from its children.
func (t *transaction) orphan(scope string) {
	for _, child := range t.s.Children(scope, "", 1<<30) {
		if t.get(child.Identity) == nil {
			continue
		}
		e := clone(&child)
		e.ParentScopes = slices.DeleteFunc(e.ParentScopes, func(p string) bool { return scopeKey(p) == scopeKey(scope) })
		if !e.Edge {
			e.Scope = ""
		}
		e.ETag = t.s.etag()
		t.set(e.Identity, e)
	}
}

// match finds an entry whose entity tag is ifMatch.
func (t *transaction) match(op string, id iot.Identity, ifMatch string) (*storage.Entry, error) {
	e := t.get(id)
	switch {
	case e == nil && id.IsModule() && t.get(id.Owner()) != nil:
		return nil, code.Errorf(code.ModuleNotFound, op, id, "module '%s' is not registered on device '%s'", id.Module, id.Device)
	case e == nil:
		return nil, deviceNotFound(op, id)
	case ifMatch != "" && ifMatch != storage.Any && ifMatch != e.ETag:
		return nil, code.Errorf(code.PreconditionFailed, op, id, "the entity tag is no longer %q: it was changed meanwhile", ifMatch)
	}
	return e, nil
}

func deviceNotFound(op string, id iot.Identity) error {
	return code.Errorf(code.DeviceNotFound, op, id, "device '%s' is not registered", id.Device)
}

func isSystemModule(id iot.Identity) bool {
	return id.Module == iot.EdgeAgentModule || id.Module == iot.EdgeHubModule
}
