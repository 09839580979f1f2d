package documents

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sluice/internal/dbtest"
	"sluice/internal/hub/storage"
	"sluice/internal/hub/storage/storagetest"
)

func TestDocumentsKeepTheirPromises(t *testing.T) {
	storagetest.Documents(t, func(t *testing.T) (storage.Documents, func() storage.Documents) {
		fs := vfs.NewCrashableMem()
		return open(t, fs), func() storage.Documents { return open(t, fs.CrashClone(vfs.CrashCloneCfg{})) }
	})
}

func open(t *testing.T, fs vfs.FS) Store {
	t.Helper()
	return New(dbtest.Open(t, fs))
}
