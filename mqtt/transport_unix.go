//go:build unix

package mqtt

import (
	"net"
	"os"
	"syscall"
)

// rawConn returns access to a socket. Types that wrap one are left alone, as their
// Read may do more than to read, unless they offer it with a method Socket.
func rawConn(nc net.Conn) syscall.RawConn {
	if s, ok := nc.(interface{ Socket() *net.TCPConn }); ok {
		if tcp := s.Socket(); tcp != nil {
			nc = tcp
		}
	}
	var raw syscall.RawConn
	var err error
	switch s := nc.(type) {
	case *net.TCPConn:
		raw, err = s.SyscallConn()
	case *net.UnixConn:
		raw, err = s.SyscallConn()
	}
	if err != nil {
		return nil
	}
	return raw
}

// readSocket reads without blocking; again says that there is nothing yet.
func readSocket(fd uintptr, p []byte) (n int, again bool, err error) {
	for {
		n, err := syscall.Read(int(fd), p)
		switch err {
		case nil:
			return n, false, nil
		case syscall.EINTR:
		case syscall.EAGAIN:
			return 0, true, nil
		default:
			return 0, false, os.NewSyscallError("read", err)
		}
	}
}
