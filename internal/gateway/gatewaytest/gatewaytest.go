// Package gatewaytest makes gateways for tests, which keep what they keep as real ones
// do, on a disk in memory. Only tests import it.
package gatewaytest

import (
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sluice/internal/await"
	"sluice/internal/dbtest"
	"sluice/internal/gateway"
	"sluice/internal/spool"
)

// A Gateway is a gateway with what its tests look at.
type Gateway struct {
	*gateway.Gateway
	Spool *spool.Store

	// Close closes what the gateway keeps, when it no longer runs and nobody asks it for
	// anything. It is called when the test ends, if not before.
	Close func()
}

// Start runs a gateway of opt, see [Open], until stop is called, or else until the test
// ends. It is closed then.
func Start(t testing.TB, disk vfs.FS, opt gateway.Options) (g *Gateway, stop func()) {
	t.Helper()
	g = Open(t, disk, opt)
	end := await.Run(g.Run)
	stop = sync.OnceFunc(func() {
		end()
		g.Close()
	})
	t.Cleanup(stop)
	return g, stop
}

// Open makes a gateway of opt with a spool and a state on a disk, and finds there what an
// earlier one kept. What it knows of its scope is in opt.Dir, or else in a new directory.
// The gateway does not run.
func Open(t testing.TB, disk vfs.FS, opt gateway.Options) *Gateway {
	t.Helper()
	if opt.Dir == "" {
		opt.Dir = t.TempDir()
	}
	db, closeDB := dbtest.OpenUntil(t, disk)
	store, err := spool.Open("spool", spool.Options{FS: disk, BallastBytes: -1, MinFree: -1})
	if err != nil {
		t.Fatal(err)
	}
	end := sync.OnceFunc(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
		closeDB()
	})
	t.Cleanup(end)
	opt.Spool, opt.State = store, db
	g, err := gateway.New(opt)
	if err != nil {
		t.Fatal(err)
	}
	return &Gateway{g, store, end}
}
