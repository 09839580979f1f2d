package module

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// ControlPath is the socket of [Runtime.Handler] in a data directory.
func ControlPath(dir string) string { return filepath.Join(dir, "modules.sock") }

// serveControl serves the operator until ctx ends. The data directory is its owner's
// alone, and so is the socket.
func (r *Runtime) serveControl(ctx context.Context) error {
	path := ControlPath(r.opt.Dir)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "unix", path)
	if err != nil {
		return err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		_ = l.Close() // it was not used
		return err
	}
	server := &http.Server{
		Handler: r.Handler(), ReadHeaderTimeout: 5 * time.Second,
		ErrorLog: slog.NewLogLogger(r.log.Handler(), slog.LevelDebug),
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, end := context.WithCancel(ctx)
	defer end()
	wg.Go(func() {
		<-ctx.Done()
		_ = server.Close() // nothing to say of it
	})
	err = server.Serve(l)
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("modules: %w", err)
}
