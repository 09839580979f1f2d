package cli

import (
	"context"
	"os"

	"golang.org/x/term"
)

// readKeys reads single keys from a terminal until ctx ends. restore makes the
// terminal again what it was; it must be called. Without a terminal there are no
// keys, and nil is returned.
func readKeys(ctx context.Context, in *os.File) (keys <-chan byte, restore func(), err error) {
	fd := int(in.Fd())
	if !term.IsTerminal(fd) {
		return nil, func() {}, nil
	}
	before, err := term.MakeRaw(fd)
	if err != nil {
		return nil, func() {}, err
	}
	pressed := make(chan byte)
	// Reading a terminal cannot be given up: the goroutine ends with the process
	// or at the next key.
	go func() {
		b := make([]byte, 1)
		for {
			if n, err := in.Read(b); n == 0 || err != nil {
				return
			}
			select {
			case pressed <- b[0]:
			case <-ctx.Done():
				return
			}
		}
	}()
	return pressed, func() { _ = term.Restore(fd, before) }, nil // nothing helps if that fails
}
