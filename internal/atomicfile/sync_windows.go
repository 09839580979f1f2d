package atomicfile

// SyncDir does nothing: Windows makes a rename durable with the file itself and
// cannot flush a directory.
func SyncDir(string) error { return nil }
