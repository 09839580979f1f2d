// Package hubtest makes hubs for tests, which keep what they keep as real ones do, on a
// disk in memory. Only tests import it.
package hubtest

import (
	"errors"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sluice/internal/await"
	"sluice/internal/dbtest"
	"sluice/internal/hub"
	"sluice/internal/hub/commands"
	"sluice/internal/hub/deploy"
	"sluice/internal/hub/documents"
	"sluice/internal/hub/eventlog"
	"sluice/internal/hub/jobs"
	"sluice/internal/hub/registry"
	"sluice/internal/hub/storage"
	"sluice/internal/hub/twins"
)

// A Hub is a hub with what its tests look at.
type Hub struct {
	*hub.Hub
	Devices storage.Identities
	Events  storage.Events

	// Close closes what the hub keeps, when it no longer runs and nobody asks it for
	// anything. It is called when the test ends, if not before.
	Close func()
}

// Start runs a new hub of that name until the test ends.
func Start(t testing.TB, name string) *Hub {
	t.Helper()
	h := Open(t, vfs.NewMem(), hub.Options{Hosts: []string{name}})
	t.Cleanup(await.Run(h.Run))
	return h
}

// Open makes a hub that keeps everything on a disk, and finds there what an earlier one
// kept; a registry in opt is taken instead. Whatever opt.Now says, commands expire by the
// real clock, which is that of those who send them. The hub does not run.
func Open(t testing.TB, disk vfs.FS, opt hub.Options) *Hub {
	t.Helper()
	db, closeDB := dbtest.OpenUntil(t, disk)
	log, err := eventlog.Open("events", eventlog.Options{FS: disk, MinFree: -1})
	must(t, err)
	end := sync.OnceFunc(func() {
		if err := log.Close(); err != nil {
			t.Error(err)
		}
		closeDB()
	})
	t.Cleanup(end)
	if opt.Registry == nil {
		opt.Registry, err = registry.Open(db, registry.Options{Now: opt.Now})
		must(t, err)
	}
	opt.Events, opt.Twins = log, twins.New(db, opt.Now)
	var failed [3]error
	opt.Commands, failed[0] = commands.Open(db, commands.Options{Generation: opt.Registry.Generation})
	opt.Jobs, failed[1] = jobs.Open(documents.New(db), jobs.Options{Now: opt.Now})
	opt.Configurations, failed[2] = deploy.Open(documents.New(db), opt.Now)
	must(t, errors.Join(failed[:]...))
	h, err := hub.New(opt)
	must(t, err)
	return &Hub{h, opt.Registry, log, end}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
