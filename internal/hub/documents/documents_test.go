package documents

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

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
	db, err := pebble.Open("state", &pebble.Options{FS: fs, Logger: silent{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return New(db)
}

type silent struct{}

func (silent) Infof(string, ...any)              {}
func (silent) Errorf(string, ...any)             {}
func (silent) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
