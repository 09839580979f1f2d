//go:build !unix

package mqtt

import (
	"errors"
	"net"
	"syscall"
)

func rawConn(net.Conn) syscall.RawConn { return nil }

func readSocket(uintptr, []byte) (int, bool, error) {
	return 0, false, errors.ErrUnsupported
}
