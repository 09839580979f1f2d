package disk

import "fmt"

// A FatalError says that the disk failed in a way after which nothing that the
// database would say could be trusted. Whether what was being written is stored is
// unknown. The process should exit; the next opening recovers.
type FatalError struct {
	Op   string // what was being done: "write", "sync", "commit", "storage"
	File string // path, if the failure is one file's
	Err  error
}

func (e *FatalError) Error() string {
	if e.File == "" {
		return fmt.Sprintf("disk: %s failed: %v", e.Op, e.Err)
	}
	return fmt.Sprintf("disk: %s of %s failed: %v", e.Op, e.File, e.Err)
}

// Unwrap returns the operating system's error.
func (e *FatalError) Unwrap() error { return e.Err }
