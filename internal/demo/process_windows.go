package demo

import (
	"os"
	"syscall"
)

// apart keeps Ctrl-C at the console from reaching the gateway too: it is the
// demonstration that ends it.
func apart() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
}

// terminate kills: Windows has no signal that asks.
func terminate(p *os.Process) error { return p.Kill() }
