//go:build !linux

package spool

import "errors"

func fallocate(uintptr, int64, int64) error { return errors.ErrUnsupported }
