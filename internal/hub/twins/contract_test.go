package twins

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sluice/internal/hub/storage"
	"sluice/internal/hub/storage/storagetest"
)

func TestTwinsKeepTheirPromises(t *testing.T) {
	storagetest.Twins(t, func(t *testing.T) (storage.Twins, func() storage.Twins) {
		on := func(fs vfs.FS) storage.Twins {
			db := openDB(t, fs)
			t.Cleanup(func() {
				if err := db.Close(); err != nil {
					t.Error(err)
				}
			})
			return New(db, nil)
		}
		fs := vfs.NewCrashableMem()
		return on(fs), func() storage.Twins { return on(fs.CrashClone(vfs.CrashCloneCfg{})) }
	})
}
