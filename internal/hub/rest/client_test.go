package rest_test

import (
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sluice/internal/auth"
	"sluice/internal/dbtest"
	"sluice/internal/hub/code"
	"sluice/internal/hub/registry"
	"sluice/internal/hub/rest"
	"sluice/internal/hub/storage"
	"sluice/internal/sas"
	"sluice/internal/service"
	"sluice/internal/upstream"
	"sluice/iot"
)

// hubName is the name that the certificate of httptest is for.
const hubName = "example.com"

// serve serves a registry in memory over TLS.
func serve(t *testing.T) (store *registry.Store, roots *x509.CertPool, address *net.TCPAddr) {
	t.Helper()
	store, err := registry.Open(dbtest.Open(t, vfs.NewMem()), registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewTLSServer(rest.New(rest.Options{
		HostName: hubName, Registry: store, Auth: &auth.Authenticator{Directory: store, Hosts: []string{hubName}},
		Log: slog.New(slog.DiscardHandler),
	}))
	t.Cleanup(server.Close)
	roots = x509.NewCertPool()
	roots.AddCert(server.Certificate())
	return store, roots, server.Listener.Addr().(*net.TCPAddr)
}

func newClient(t *testing.T) (*service.Client, *registry.Store) {
	t.Helper()
	store, roots, address := serve(t)
	owner, _ := store.Policy(storage.OwnerPolicy)
	c, err := service.New(
		sas.ConnectionString{HostName: hubName, PolicyName: owner.Name, Key: owner.Primary},
		service.Options{Roots: roots, Address: address.IP.String(), Port: address.Port})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, store
}

func TestOurClientSeesAllDevicesOfALargeHub(t *testing.T) {
	c, store := newClient(t)
	entries := make([]storage.Entry, 2345)
	for i := range entries {
		entries[i].Identity.Device, entries[i].Enabled = fmt.Sprintf("d%04d", i), true
	}
	if _, err := store.Create(entries...); err != nil {
		t.Fatal(err)
	}
	list, more, err := c.Devices(t.Context(), 10_000)
	if err != nil || more || len(list) != len(entries) {
		t.Fatalf("%d devices, more %v, %v", len(list), more, err)
	}
	for i := range list {
		if list[i].DeviceID != entries[i].Identity.Device {
			t.Fatalf("device %d is %s", i, list[i].DeviceID)
		}
	}
}

func TestAnEtagLetsOneOfTwoWritersWin(t *testing.T) {
	c, _ := newClient(t)
	ctx := t.Context()
	d, err := c.CreateDevice(ctx, service.Device{DeviceID: "d+1"})
	if err != nil {
		t.Fatal(err)
	}
	first, second := d, d
	first.Status, second.Status = "disabled", "enabled"
	if _, err := c.UpdateDevice(ctx, first); err != nil {
		t.Fatal(err)
	}
	if _, err := c.UpdateDevice(ctx, second); !errors.Is(err, code.PreconditionFailed) {
		t.Errorf("the second writer gets %v", err)
	}
	got, err := c.Device(ctx, "d+1")
	if err != nil || got.Status != "disabled" || *got.Authentication.SymmetricKey != *d.Authentication.SymmetricKey {
		t.Errorf("%+v, %v", got, err)
	}
	if err := c.Delete(ctx, iot.DeviceIdentity("d+1"), d.ETag); !errors.Is(err, code.PreconditionFailed) {
		t.Errorf("deleting what was changed gets %v", err)
	}
}

// A gateway's uplink pages through its scope, and looks up one identity.
func TestAGatewayLearnsWhomItMayServe(t *testing.T) {
	store, roots, address := serve(t)
	var edge storage.Entry
	edge.Identity, edge.Enabled, edge.Edge = iot.DeviceIdentity("site"), true, true
	created, err := store.Create(edge)
	if err != nil {
		t.Fatal(err)
	}
	leaves := make([]storage.Entry, 1200)
	for i := range leaves {
		leaves[i].Identity.Device, leaves[i].Enabled, leaves[i].Scope = fmt.Sprintf("leaf%04d", i), true, created[0].Scope
	}
	if _, err := store.Create(leaves...); err != nil {
		t.Fatal(err)
	}
	up, err := upstream.New(upstream.Options{HostName: hubName, Address: address.IP.String(), HTTPSPort: address.Port, Roots: roots})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(up.Close)
	self := iot.ModuleIdentity("site", iot.EdgeHubModule)
	creds := iot.Credentials{Identity: self, Token: tokenOf(t, store, self)}

	seen := map[iot.Identity]iot.Registration{}
	for next, pages := "", 0; pages == 0 || next != ""; pages++ {
		page, err := up.InScope(t.Context(), creds, next)
		if err != nil || pages > 10 {
			t.Fatalf("page %d: %v", pages, err)
		}
		for _, r := range page.Identities {
			seen[r.Identity] = r
		}
		next = page.Next
	}
	if want := 1 + 2 + len(leaves); len(seen) != want {
		t.Errorf("%d identities in scope, want %d", len(seen), want)
	}
	leaf := iot.DeviceIdentity("leaf1199")
	want, _ := store.Registration(leaf)
	if got := seen[leaf]; got.Auth != want.Auth || !got.Enabled || got.Scope != want.Scope || got.GenerationID != want.GenerationID {
		t.Errorf("the gateway knows %+v, the hub %+v", got, want)
	}
	found, err := up.Lookup(t.Context(), creds, leaf)
	if err != nil || len(found) != 1 || found[0].Auth != want.Auth {
		t.Errorf("lookup found %+v, %v", found, err)
	}
	if _, err := up.Lookup(t.Context(), creds, iot.DeviceIdentity("nobody")); iot.KindOf(err) != iot.NotFound {
		t.Errorf("lookup of nobody: %v", err)
	}
}

func tokenOf(t *testing.T, store *registry.Store, id iot.Identity) string {
	t.Helper()
	e, ok := store.Get(id)
	if !ok {
		t.Fatalf("%s is not registered", id)
	}
	token, err := sas.Sign(e.Auth.PrimaryKey, sas.Resource{Host: hubName, Identity: id}, "", time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return token
}
