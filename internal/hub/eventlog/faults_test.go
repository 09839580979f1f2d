package eventlog

import (
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// faults is a disk that fails, waits or is looked at as a test says.
type faults struct {
	vfs.FS

	mu   sync.Mutex
	rule func(errorfs.Op) error // called without mu; nil for none
}

func newFaults(fs vfs.FS) *faults {
	f := &faults{}
	f.FS = errorfs.Wrap(fs, f)
	return f
}

func (f *faults) String() string { return "faults" }

// MaybeError is called ahead of every operation.
func (f *faults) MaybeError(op errorfs.Op) error {
	f.mu.Lock()
	rule := f.rule
	f.mu.Unlock()
	if rule == nil {
		return nil
	}
	return rule(op)
}

// set replaces the rule.
func (f *faults) set(rule func(errorfs.Op) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rule = rule
}

// fail makes operations fail that match.
func (f *faults) fail(match func(errorfs.Op) bool, err error) {
	f.set(func(op errorfs.Op) error {
		if match(op) {
			return err
		}
		return nil
	})
}

// stall makes operations wait that match, until release is called.
func (f *faults) stall(match func(errorfs.Op) bool) (release func()) {
	wait := make(chan struct{})
	f.set(func(op errorfs.Op) error {
		if match(op) {
			<-wait
		}
		return nil
	})
	return func() {
		f.set(nil)
		close(wait)
	}
}

func isLog(path string) bool { return strings.HasSuffix(path, ".log") }

func isTable(path string) bool { return strings.HasSuffix(path, ".sst") }

func syncOfLog(op errorfs.Op) bool {
	return isLog(op.Path) && (op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSyncTo)
}

func writeOfLog(op errorfs.Op) bool { return isLog(op.Path) && op.Kind == errorfs.OpFileWrite }
