package twins

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sluice/internal/dbtest"
	"sluice/internal/hub/storage"
	"sluice/internal/hub/storage/storagetest"
)

func TestTwinsKeepTheirPromises(t *testing.T) {
	storagetest.Twins(t, func(t *testing.T) (storage.Twins, func() storage.Twins) {
		on := func(fs vfs.FS) storage.Twins { return New(dbtest.Open(t, fs), nil) }
		fs := vfs.NewCrashableMem()
		return on(fs), func() storage.Twins { return on(fs.CrashClone(vfs.CrashCloneCfg{})) }
	})
}
