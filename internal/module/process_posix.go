//go:build unix && !linux

package module

import "syscall"

// attributes put a process into a session of its own.
func attributes(a account) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true, Credential: a.credential()}
}

// awaitExit cannot: there is no way to wait and leave the number taken.
func awaitExit(int) bool { return false }
