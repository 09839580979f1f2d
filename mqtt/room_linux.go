package mqtt

import (
	"syscall"
	"unsafe"
)

// fewBytes on their way leave room in any socket's buffer.
const fewBytes = 2 << 10

// hasRoom reports whether the socket's buffer has room for a little: whether few bytes
// are in it that the peer has not acknowledged (SIOCOUTQ, tcp(7) and unix(7)).
func hasRoom(fd uintptr) bool {
	var queued int32
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, fd, syscall.TIOCOUTQ, uintptr(unsafe.Pointer(&queued)))
	return errno == 0 && queued < fewBytes
}
