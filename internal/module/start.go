package module

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// start prepares all that a process needs, and starts it.
func (u *unit) start(s *Spec, orders int, generation string, api *socket) (*process, error) {
	who, err := accountOf(s.options.User)
	if err == nil {
		err = u.r.reachable(who)
	}
	if err != nil {
		return nil, err
	}
	dir, err := u.r.workingDir(s)
	if err != nil {
		return nil, err
	}
	if err := api.open(u, who); err != nil {
		return nil, err
	}
	if len(s.options.idle) > 0 {
		u.r.log.Warn("createOptions that mean nothing to a process", "module", u.name, "options", s.options.idle)
	}
	// The process may connect before its number is noted; who asks for it waits.
	u.mu.Lock()
	defer u.mu.Unlock()
	p, err := start(launch{
		argv: s.command(), env: u.r.environment(s, generation, dir), mark: u.r.mark(u.name),
		dir: dir, user: who, log: u.book,
	})
	if err == nil {
		u.status.begin(p.pid(), time.Now())
		u.answered = max(u.answered, orders)
	}
	return p, err
}

// workingDir is the directory of a module, private to it, if it names none. One with
// a user of its own begins at the root, as with Docker: the data directory is not
// for it.
func (r *Runtime) workingDir(s *Spec) (string, error) {
	switch {
	case s.options.WorkingDir != "":
		return s.options.WorkingDir, nil
	case s.options.User != "":
		return "/", nil
	}
	dir := filepath.Join(r.opt.Dir, "modules", s.Name)
	return dir, os.MkdirAll(dir, 0o700)
}

// reachable reports an error if an account cannot come to the sockets.
func (r *Runtime) reachable(who account) error {
	if who.uid >= 0 && who.uid != os.Getuid() && strings.HasPrefix(r.opt.RunDir, r.opt.Dir+string(filepath.Separator)) {
		return errors.New("a module with a User of its own cannot come to its socket in the data directory; let systemd make another with RuntimeDirectory=sluice")
	}
	return nil
}
