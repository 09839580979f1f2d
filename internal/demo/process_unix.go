//go:build unix

package demo

import (
	"os"
	"syscall"
)

// apart keeps Ctrl-C at the terminal from reaching the gateway too: it is the
// demonstration that ends it.
func apart() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func terminate(p *os.Process) error { return p.Signal(syscall.SIGTERM) }
