package commands

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sluice/internal/dbtest"
	"sluice/internal/hub/storage"
	"sluice/internal/hub/storage/storagetest"
)

func TestCommandsKeepTheirPromises(t *testing.T) {
	storagetest.Commands(t, func(t *testing.T) (storage.Commands, func() storage.Commands) {
		on := func(fs vfs.FS) storage.Commands {
			s, err := Open(dbtest.Open(t, fs), Options{Generation: storagetest.Generation})
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		fs := vfs.NewCrashableMem()
		return on(fs), func() storage.Commands { return on(fs.CrashClone(vfs.CrashCloneCfg{})) }
	})
}
