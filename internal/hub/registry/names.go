package registry

import "sluice/internal/hub/storage"

// Entry is [storage.Entry], for those who have not moved to it.
type Entry = storage.Entry

// Owner is [storage.OwnerPolicy], for those who have not moved to it.
const Owner = storage.OwnerPolicy
