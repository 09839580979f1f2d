package module

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// attributes put a process into a session of its own, and let the kernel kill it
// when the gateway ends in whatever way.
func attributes(a account) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL, Credential: a.credential()}
}

// awaitExit waits until a child has ended, and leaves its number taken.
func awaitExit(pid int) bool {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return err == nil
		}
	}
}
