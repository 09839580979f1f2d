//go:build !linux

package disk

import "errors"

func fallocate(uintptr, int64, int64) error { return errors.ErrUnsupported }
