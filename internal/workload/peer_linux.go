package workload

import (
	"fmt"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// peer is the process that opened the connection: as of then, whoever has it now.
func peer(c net.Conn) (pid int, known bool, err error) {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return 0, false, fmt.Errorf("%T is no Unix socket", c)
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return 0, false, err
	}
	var cred *unix.Ucred
	var credErr error
	err = raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err == nil {
		err = credErr
	}
	if err != nil {
		return 0, false, err
	}
	return int(cred.Pid), true, nil
}

// makePrivate sets the mode that the file of a socket will have when it is bound.
func makePrivate(c syscall.RawConn) error {
	var no error
	if err := c.Control(func(fd uintptr) { no = unix.Fchmod(int(fd), 0o600) }); err != nil {
		return err
	}
	return no
}
