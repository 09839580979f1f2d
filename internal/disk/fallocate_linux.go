package disk

import "golang.org/x/sys/unix"

// fallocate allocates a range of a file and makes the file that long.
func fallocate(fd uintptr, offset, length int64) error {
	return unix.Fallocate(int(fd), 0, offset, length)
}
