package workload

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Limits of a socket. A module needs one connection; a few more are for libraries
// that do not keep theirs.
const (
	maxConnections = 32
	readTimeout    = 5 * time.Second
	idleTimeout    = 2 * time.Minute
)

// Access says who may use a socket.
type Access struct {
	// UID is the user that the module runs as, who alone may open the socket; -1
	// for the user of this process.
	UID int
	// Owns reports whether a process is of the module. It is asked once for each
	// connection, on systems that tell who connects; nil means any is.
	Owns func(pid int) bool
}

// A Socket is where one module finds the API.
type Socket struct {
	api      *API
	module   string
	path     string
	access   Access
	listener *net.UnixListener
	open     atomic.Int32
	once     sync.Once
}

// maxPath is how long the name of a socket may be, everywhere.
const maxPath = 103

// Listen opens the socket of a module at path, in place of one that an earlier
// process left there. Its directory must exist. Connections wait for
// [Socket.Serve].
func (a *API) Listen(path, module string, access Access) (*Socket, error) {
	if len(path) > maxPath {
		return nil, fmt.Errorf("workload API of %s: the name of its socket, %s, is longer than the %d bytes that the system allows; choose a shorter name or data_dir", module, path, maxPath)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("workload API of %s: %w", module, err)
	}
	l, err := listenPrivate(path)
	if err != nil {
		return nil, fmt.Errorf("workload API of %s: %w", module, err)
	}
	s := &Socket{api: a, module: module, path: path, access: access, listener: l}
	if access.UID >= 0 && access.UID != os.Getuid() {
		if err := os.Chown(path, access.UID, -1); err != nil {
			s.Close()
			return nil, fmt.Errorf("workload API of %s: %w", module, err)
		}
	}
	return s, nil
}

// listenPrivate opens a socket that its owner alone may connect to, on Linux from
// the first moment.
func listenPrivate(path string) (*net.UnixListener, error) {
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error { return makePrivate(c) }}
	l, err := config.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		_ = l.Close()
		return nil, err
	}
	return l.(*net.UnixListener), nil
}

// member is the key under which a connection's context tells whether it is of the
// module.
type member struct{}

// Serve answers until ctx ends, and returns when the last request has been
// answered or cut off. The socket is closed and removed then.
func (s *Socket) Serve(ctx context.Context) error {
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ok, _ := r.Context().Value(member{}).(bool)
			s.api.serve(w, r, s.module, ok)
		}),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, member{}, s.owns(c))
		},
		ConnState:         s.count,
		ReadHeaderTimeout: readTimeout, ReadTimeout: readTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: 16 << 10,
		ErrorLog:       slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, end := context.WithCancel(ctx)
	defer end()
	wg.Go(func() {
		<-ctx.Done()
		_ = server.Close() // nothing to say of it
	})
	defer s.Close()
	err := server.Serve(s.listener)
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("workload API of %s: %w", s.module, err)
}

// owns reports whether the process at the other end is of the module.
func (s *Socket) owns(c net.Conn) bool {
	if s.access.Owns == nil {
		return true
	}
	pid, known, err := peer(c)
	switch {
	case err != nil:
		s.api.opt.Log.Warn("workload API: who connects is not known", "module", s.module, "err", err)
		return false
	case !known:
		return true // the system does not tell; the file's mode must do
	case !s.access.Owns(pid):
		s.api.opt.Log.Warn("workload API: a process that is not of the module connects", "module", s.module, "pid", pid)
		return false
	}
	return true
}

// count closes connections above the limit.
func (s *Socket) count(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		if s.open.Add(1) > maxConnections {
			s.api.opt.Log.Warn("workload API: too many connections; one more is closed", "module", s.module, "limit", maxConnections)
			_ = c.Close() // the server finds out
		}
	case http.StateClosed, http.StateHijacked:
		s.open.Add(-1)
	}
}

// Path is the name of the socket.
func (s *Socket) Path() string { return s.path }

// Close closes and removes the socket, if Serve has not.
func (s *Socket) Close() {
	s.once.Do(func() { _ = s.listener.Close() }) // removes the file too
}
