//go:build !linux

package edge

import "errors"

func limitFiles(uint64) error { return errors.ErrUnsupported }
