package registry

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sluice/internal/hub/storage"
	"sluice/internal/hub/storage/storagetest"
)

func TestIdentitiesKeepTheirPromises(t *testing.T) {
	storagetest.Identities(t, func(t *testing.T) (storage.Identities, func() storage.Identities) {
		fs := vfs.NewCrashableMem()
		return openOn(t, fs, Options{}), func() storage.Identities {
			return openOn(t, fs.CrashClone(vfs.CrashCloneCfg{}), Options{})
		}
	})
}
