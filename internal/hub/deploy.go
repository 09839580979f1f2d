package hub

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"sluice/internal/hub/code"
	"sluice/internal/hub/deploy"
	"sluice/internal/hub/jobs"
	"sluice/internal/hub/query"
	"sluice/internal/hub/storage"
	"sluice/internal/service"
	"sluice/internal/twin"
	"sluice/iot"
)

// deployPause is between two looks at what has changed: what configurations set
// may make others match, and two of them may never agree.
const deployPause = 100 * time.Millisecond

// Configurations are those of the hub, or nil.
func (h *Hub) Configurations() *deploy.Store { return h.opt.Configurations }

// touch has the configurations of an identity looked at again, and those of its
// device, which may be about its modules.
func (h *Hub) touch(id iot.Identity) {
	if h.opt.Configurations == nil {
		return
	}
	h.deployed.touch(id)
	if id.IsModule() {
		h.deployed.touch(id.Owner())
	}
}

// deploy keeps twins as configurations say, until ctx ends.
func (h *Hub) deploy(ctx context.Context) {
	if h.opt.Configurations == nil {
		return
	}
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.deployed.wake:
		}
		begun := time.Now()
		all, ids := h.deployed.take()
		if all {
			h.deployAll(ctx)
		}
		for _, id := range ids {
			h.reconcile(id)
		}
		// At most half of the time goes into it, however much changes.
		pause.Reset(max(deployPause, time.Since(begun)))
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
		}
	}
}

// deployAll looks at all identities.
func (h *Hub) deployAll(ctx context.Context) {
	if h.opt.Configurations.Len() == 0 {
		h.deployed.clear()
		return
	}
	for _, from := range []query.Collection{query.Devices, query.Modules} {
		next := h.lister(from, nil, "")
		for list := next(); len(list) > 0; list = next() {
			for i := range list {
				if ctx.Err() != nil {
					return
				}
				h.reconcile(list[i].Identity)
			}
		}
	}
}

// reconcile makes one twin as the configurations say.
func (h *Hub) reconcile(id iot.Identity) {
	e, ok := h.opt.Registry.Get(id)
	if !ok || h.opt.Configurations.Len() == 0 {
		h.deployed.assign(id, nil)
		return
	}
	t, err := h.opt.Twins.Get(id, e.GenerationID)
	if err != nil {
		h.opt.Log.Error("the twin could not be read for its configurations", "identity", id, "err", err)
		return
	}
	plan := h.opt.Configurations.Plan(twin.NewView(h.Owner(&e), t), id.IsModule(), e.Edge)
	h.deployed.assign(id, plan.Configurations)
	if err := h.apply(id, plan.Settings); err != nil {
		h.opt.Log.Warn("a configuration could not be applied", "identity", id, "err", err)
	}
}

// ApplyContent makes a content that of one device: settings of its own twin, or of
// the modules of an edge device, which are created if they are missing. What
// cannot be for one of them is not done for any.
//
// Errors carry a [code.Code]: DeviceNotFound, ArgumentInvalid,
// TooManyModulesOnDevice, MessageTooLarge for a twin that would be.
func (h *Hub) ApplyContent(device string, content service.ConfigurationContent) error {
	id := iot.DeviceIdentity(device)
	e, err := h.entry("configuration", id)
	if err != nil {
		return err
	}
	c, err := deploy.ParseContent(content)
	switch {
	case err != nil:
		return err
	case c.Target == deploy.Modules:
		return code.Errorf(code.ArgumentInvalid, "configuration", id, "moduleContent is for configurations of modules; modulesContent is for the modules of an edge device")
	case c.Target == deploy.Edge && !e.Edge:
		return code.Errorf(code.ArgumentInvalid, "configuration", id, "device '%s' is not an edge device", device)
	}
	return h.apply(id, c.Settings)
}

// apply makes settings of an identity, under "", and of modules beside it: first all
// modules that are missing, and what the agent is told last, so that it finds the
// identities and the twins of those that it is to start.
func (h *Hub) apply(id iot.Identity, settings map[string][]deploy.Setting) error {
	var todo []iot.Identity
	for _, module := range deploy.ModuleIDs(settings) {
		target := id
		if module != "" {
			target = iot.ModuleIdentity(id.Device, module)
		}
		changed, err := h.wouldChange(target, settings[module])
		if err != nil {
			return err
		}
		if changed {
			todo = append(todo, target)
		}
	}
	for _, target := range todo {
		if err := h.createModule(target); err != nil {
			return err
		}
	}
	slices.SortStableFunc(todo, func(a, b iot.Identity) int { return cmp.Compare(agent(a), agent(b)) })
	for _, target := range todo {
		module := target.Module
		if target == id {
			module = "" // its own settings, though it may be a module itself
		}
		if err := h.settle(target, settings[module]); err != nil {
			return err
		}
	}
	return nil
}

// agent is 1 for the agent of an edge device, else 0.
func agent(id iot.Identity) int {
	if id.Module == iot.EdgeAgentModule {
		return 1
	}
	return 0
}

// wouldChange reports whether there is something to do for target, and whether it
// can be done.
func (h *Hub) wouldChange(target iot.Identity, list []deploy.Setting) (bool, error) {
	e, ok := h.opt.Registry.Get(target)
	var desired twin.Document
	if ok {
		t, err := h.opt.Twins.Get(target, e.GenerationID)
		if err != nil {
			return false, err
		}
		desired = t.Desired
	}
	_, changed, err := deploy.Apply(desired, list, h.opt.Now())
	return changed || !ok, err
}

// createModule registers a module that a deployment names, if it is missing.
func (h *Hub) createModule(id iot.Identity) error {
	if _, ok := h.opt.Registry.Get(id); ok || !id.IsModule() {
		return nil
	}
	e := storage.Entry{ManagedBy: "IotEdge"}
	e.Identity, e.Enabled = id, true
	if _, err := h.opt.Registry.Create(e); err != nil && !errors.Is(err, code.ModuleAlreadyExistsOnDevice) {
		return err
	}
	return nil
}

// settle makes the settings of one twin.
func (h *Hub) settle(target iot.Identity, list []deploy.Setting) error {
	if len(list) == 0 {
		return nil
	}
	_, err := h.changeTwin(target, "", updateTwin, func(t twin.Twin, now time.Time) (twin.Twin, error) {
		after, _, err := deploy.Apply(t.Desired, list, now)
		if err != nil {
			return t, err
		}
		var patch service.TwinChange
		patch.Properties = &service.TwinProperties{Desired: t.Desired.Diff(after)}
		body, err := json.Marshal(patch)
		if err != nil {
			return t, err
		}
		return t.Patch(body, now)
	})
	return err
}

// Jobs are those of the hub, or nil.
func (h *Hub) Jobs() *jobs.Store { return h.opt.Jobs }
