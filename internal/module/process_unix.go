//go:build unix

package module

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// An account is whom a module runs as.
type account struct {
	uid, gid int // -1 for the gateway's own
	groups   []uint32
}

// accountOf finds the user that a deployment names: NAME or NUMBER, perhaps with
// :GROUP.
func accountOf(text string) (account, error) {
	a := account{uid: -1, gid: -1}
	if text == "" {
		return a, nil
	}
	name, group, named := strings.Cut(text, ":")
	u, err := user.Lookup(name)
	if n, no := strconv.ParseUint(name, 10, 31); no == nil {
		a.uid, a.gid = int(n), int(n)
		u, err = user.LookupId(name)
	} else if err != nil {
		return a, fmt.Errorf("user %q: %w", name, err)
	}
	if err == nil {
		if a.uid, err = strconv.Atoi(u.Uid); err == nil {
			a.gid, err = strconv.Atoi(u.Gid)
		}
		if err != nil {
			return a, err
		}
	}
	if named {
		if a.gid, err = groupOf(group); err != nil {
			return a, err
		}
	}
	return a, nil
}

func groupOf(name string) (int, error) {
	if n, err := strconv.ParseUint(name, 10, 31); err == nil {
		return int(n), nil
	}
	g, err := user.LookupGroup(name)
	if err != nil {
		return 0, fmt.Errorf("group %q: %w", name, err)
	}
	return strconv.Atoi(g.Gid)
}

// credential is nil for the gateway's own user.
func (a account) credential() *syscall.Credential {
	if a.uid < 0 || a.uid == os.Getuid() && a.gid == os.Getgid() {
		return nil
	}
	return &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid), Groups: a.groups} //nolint:gosec // 31 bits
}

// killGroup ends a process and its group at once.
func killGroup(p *os.Process) {
	_ = syscall.Kill(-p.Pid, syscall.SIGKILL) // they may all have ended
}

// signalGroup sends the signal of that name to a process and its group.
func signalGroup(p *os.Process, name string) {
	signal, _ := signalOf(name)
	_ = syscall.Kill(-p.Pid, signal) // they may all have ended
}

// signalOf finds a signal by its name or number; SIGTERM if there is none.
func signalOf(name string) (syscall.Signal, bool) {
	if name == "" {
		return syscall.SIGTERM, true
	}
	if n, err := strconv.Atoi(name); err == nil {
		return syscall.Signal(n), n > 0 && n < 65
	}
	name = strings.ToUpper(name)
	if !strings.HasPrefix(name, "SIG") {
		name = "SIG" + name
	}
	s := unix.SignalNum(name)
	return s, s != 0
}

func exitCode(s *os.ProcessState) int {
	if w, ok := s.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		return 128 + int(w.Signal())
	}
	return s.ExitCode()
}
