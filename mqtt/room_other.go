//go:build !linux

package mqtt

// hasRoom cannot tell.
func hasRoom(uintptr) bool { return false }
