package provision

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"sluice/internal/hub/code"
	"sluice/internal/leafwire"
	"sluice/internal/sas"
	"sluice/internal/service"
	"sluice/iot"
)

// A Hub is what the service needs of a hub's service API; a service.Client is one.
type Hub interface {
	Device(ctx context.Context, id string) (service.Device, error)
	Module(ctx context.Context, id iot.Identity) (service.Module, error)
	CreateDevice(ctx context.Context, d service.Device) (service.Device, error)
	UpdateDevice(ctx context.Context, d service.Device) (service.Device, error)
	Delete(ctx context.Context, id iot.Identity, etag string) error
	InvokeMethod(ctx context.Context, id iot.Identity, call iot.MethodCall) (iot.MethodResult, error)
}

// moduleLife is how long what is known of a module is believed. Keys that were
// changed meanwhile are found by the leaf's next request.
const moduleLife = 5 * time.Second

// A translator is the module that asks, and the edge device that it is on.
type translator struct {
	identity iot.Identity
	scope    string // of the edge device
	keys     service.SymmetricKey
}

// errGone says that the module that asked, or its device, is there no more.
var errGone = errors.New("the module that asks is not at the hub, or not on an edge device, or has no keys")

// cachedModule remembers a translator for a while, for the leaves that come together.
type cachedModule struct {
	mu    sync.Mutex
	value translator
	until time.Time
}

// translator reads who asks from the hub.
func (c *cachedModule) translator(ctx context.Context, hub Hub, id iot.Identity) (translator, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Now().Before(c.until) {
		return c.value, nil
	}
	module, err := hub.Module(ctx, id)
	if notFound(err) {
		return translator{}, errGone
	}
	if err != nil {
		return translator{}, err
	}
	device, err := hub.Device(ctx, id.Device)
	switch {
	case notFound(err):
		return translator{}, errGone
	case err != nil:
		return translator{}, err
	case !device.Edge() || device.DeviceScope == "" || module.Authentication == nil || module.Authentication.SymmetricKey == nil:
		return translator{}, errGone
	}
	c.value = translator{id, device.DeviceScope, *module.Authentication.SymmetricKey}
	c.until = time.Now().Add(moduleLife)
	return c.value, nil
}

func notFound(err error) bool {
	return errors.Is(err, code.DeviceNotFound) || errors.Is(err, code.ModuleNotFound)
}

// keysOf derives the two keys of a leaf.
func (t *translator) keysOf(leaf string) (service.SymmetricKey, error) {
	primary, err := sas.DeriveKey(t.keys.PrimaryKey, leaf)
	if err != nil {
		return service.SymmetricKey{}, errGone
	}
	secondary, err := sas.DeriveKey(t.keys.SecondaryKey, leaf)
	if err != nil {
		return service.SymmetricKey{}, errGone
	}
	return service.SymmetricKey{PrimaryKey: primary, SecondaryKey: secondary}, nil
}

// What a device's status reason says of it.
const (
	reasonMade    = "leaf of module "
	reasonRetired = "retired by module "
)

// maxReason is the hub's limit of a status reason, in characters.
const maxReason = 128

func (t *translator) reason(what string) service.OrNull {
	text := what + t.identity.Module
	return service.OrNull(text[:min(len(text), maxReason)])
}

// A decision is what was done about a request, in the words of the callback.
type decision struct {
	code int
	text string
}

func refuse(status int, format string, args ...any) decision {
	return decision{status, fmt.Sprintf(format, args...)}
}

// decide does what a request asks for, if it may be done.
func (s *Service) decide(ctx context.Context, t *task) (decision, error) {
	r := t.request
	if r.Fault != "" {
		return refuse(http.StatusForbidden, "%s", r.Fault), nil
	}
	listing := s.allow(r.Leaf)
	if r.Operation == leafwire.Create && listing == Unlisted {
		return refuse(http.StatusBadRequest, "the device is not on the allow list"), nil
	}
	by, err := t.desk.cache.translator(ctx, s.hub, r.Sender)
	if err != nil {
		return decision{}, err
	}
	d, err := s.hub.Device(ctx, r.Leaf)
	exists := !notFound(err)
	if exists && err != nil {
		return decision{}, err
	}
	keys, err := by.keysOf(r.Leaf)
	if err != nil {
		return decision{}, err
	}
	if exists {
		if no, ok := by.refusal(r.Leaf, &d, keys, listing); ok {
			return no, nil
		}
	}
	switch r.Operation {
	case leafwire.Create:
		if exists {
			return s.restore(ctx, &by, d, keys)
		}
		return s.create(ctx, &by, r.Leaf, keys)
	case leafwire.Disable:
		if !exists {
			return refuse(http.StatusNotFound, "there is no such device"), nil
		}
		return s.disable(ctx, &by, d)
	}
	if !exists {
		return decision{http.StatusOK, "the device is not there any more"}, nil
	}
	return s.remove(ctx, d)
}

// refusal says why the module may not touch a device that exists, if it may not.
func (t *translator) refusal(leaf string, d *service.Device, keys service.SymmetricKey, listing Listing) (decision, bool) {
	switch {
	case d.DeviceID != leaf:
		return refuse(http.StatusForbidden, "the hub knows this id in another case of letters"), true
	case d.Edge():
		return refuse(http.StatusForbidden, "the device is an edge device"), true
	case d.Parent() != t.scope:
		return refuse(http.StatusForbidden, "the device exists and is not in this gateway's scope"), true
	case !t.made(d, keys) && listing != ByID:
		return refuse(http.StatusForbidden, "the device exists and was not made for a leaf of this module; it is only taken over if its very id is on the allow list"), true
	}
	return decision{}, false
}

// made reports whether a device was made for a leaf of this module.
func (t *translator) made(d *service.Device, keys service.SymmetricKey) bool {
	return d.StatusReason == t.reason(reasonMade) || d.StatusReason == t.reason(reasonRetired) || hasKeys(d, keys)
}

func hasKeys(d *service.Device, keys service.SymmetricKey) bool {
	if d.Authentication == nil || d.Authentication.Type != iot.AuthSAS || d.Authentication.SymmetricKey == nil {
		return false
	}
	have := d.Authentication.SymmetricKey
	return same(have.PrimaryKey, keys.PrimaryKey) && same(have.SecondaryKey, keys.SecondaryKey)
}

func same(a, b iot.Secret) bool {
	return subtle.ConstantTimeCompare([]byte(a.Reveal()), []byte(b.Reveal())) == 1
}

func proof(keys service.SymmetricKey) *service.Authentication {
	return &service.Authentication{Type: iot.AuthSAS, SymmetricKey: &keys}
}

// create makes the device of a leaf. If somebody else has made it meanwhile, the
// error is the hub's, and the request is looked at again.
func (s *Service) create(ctx context.Context, by *translator, leaf string, keys service.SymmetricKey) (decision, error) {
	_, err := s.hub.CreateDevice(ctx, service.Device{
		DeviceID: leaf, Status: "enabled", StatusReason: by.reason(reasonMade), Authentication: proof(keys),
		DeviceScope: by.scope, ParentScopes: []string{by.scope},
	})
	if err != nil {
		return decision{}, err
	}
	s.counts.created.Add(1)
	return decision{http.StatusCreated, "the device was created"}, nil
}

// restore brings a device that exists into the state of a new one.
func (s *Service) restore(ctx context.Context, by *translator, d service.Device, keys service.SymmetricKey) (decision, error) {
	enabled := d.Status != "disabled"
	switch {
	case !enabled && d.StatusReason != by.reason(reasonRetired):
		return refuse(http.StatusForbidden, "the device is disabled at the hub"), nil
	case enabled && hasKeys(&d, keys):
		return decision{http.StatusOK, "the device exists"}, nil
	}
	d.Status, d.StatusReason, d.Authentication = "enabled", by.reason(reasonMade), proof(keys)
	if _, err := s.hub.UpdateDevice(ctx, d); err != nil {
		return decision{}, err
	}
	s.counts.updated.Add(1)
	return decision{http.StatusOK, "the device existed, and was updated"}, nil
}

func (s *Service) disable(ctx context.Context, by *translator, d service.Device) (decision, error) {
	if d.Status == "disabled" {
		return decision{http.StatusOK, "the device is disabled"}, nil // by whomever: it stays theirs
	}
	d.Status, d.StatusReason = "disabled", by.reason(reasonRetired)
	if _, err := s.hub.UpdateDevice(ctx, d); err != nil {
		return decision{}, err
	}
	s.counts.disabled.Add(1)
	return decision{http.StatusOK, "the device was disabled"}, nil
}

func (s *Service) remove(ctx context.Context, d service.Device) (decision, error) {
	err := s.hub.Delete(ctx, iot.DeviceIdentity(d.DeviceID), d.ETag)
	if err != nil && !notFound(err) {
		return decision{}, err
	}
	s.counts.deleted.Add(1)
	return decision{http.StatusOK, "the device was deleted"}, nil
}
