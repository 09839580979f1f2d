package commands

import (
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"sluice/internal/hub/storage"
	"sluice/internal/hub/storage/storagetest"
)

func TestCommandsKeepTheirPromises(t *testing.T) {
	storagetest.Commands(t, func(t *testing.T) (storage.Commands, func() storage.Commands) {
		on := func(fs vfs.FS) storage.Commands {
			db, err := pebble.Open("state", &pebble.Options{FS: fs, Logger: silent{}})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := db.Close(); err != nil {
					t.Error(err)
				}
			})
			s, err := Open(db, Options{Generation: storagetest.Generation})
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		fs := vfs.NewCrashableMem()
		return on(fs), func() storage.Commands { return on(fs.CrashClone(vfs.CrashCloneCfg{})) }
	})
}
