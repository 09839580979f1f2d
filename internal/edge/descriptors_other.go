//go:build !unix

package edge

func descriptors() uint64 { return 0 }
