//go:build unix

package edge

import "syscall"

// descriptors is how many this process may have open; 0 is unknown. Go has raised
// the limit as far as it goes.
func descriptors() uint64 {
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) != nil {
		return 0
	}
	return uint64(l.Cur) // signed on some systems
}
