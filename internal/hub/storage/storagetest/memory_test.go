package storagetest

import (
	"testing"

	"sluice/internal/hub/storage"
)

func TestMemoryKeepsThePromisesOfDocuments(t *testing.T) {
	Documents(t, func(*testing.T) (storage.Documents, func() storage.Documents) {
		m := &Memory{}
		return m, func() storage.Documents { return m.PowerCut() }
	})
}
