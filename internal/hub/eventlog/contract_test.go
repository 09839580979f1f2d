package eventlog

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sluice/internal/hub/storage"
	"sluice/internal/hub/storage/storagetest"
)

func TestEventsKeepTheirPromises(t *testing.T) {
	storagetest.Events(t, func(t *testing.T) (storage.Events, func() storage.Events) {
		fs := vfs.NewCrashableMem()
		return open(t, Options{FS: fs, MinFree: -1}), func() storage.Events {
			return open(t, Options{FS: fs.CrashClone(vfs.CrashCloneCfg{}), MinFree: -1})
		}
	})
}
