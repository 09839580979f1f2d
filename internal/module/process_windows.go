package module

import (
	"errors"
	"os"
	"syscall"
)

// An account is whom a module runs as: the gateway's own user.
type account struct{ uid int }

func accountOf(name string) (account, error) {
	if name != "" {
		return account{}, errors.New("createOptions.User is not supported on Windows")
	}
	return account{uid: -1}, nil
}

func attributes(account) *syscall.SysProcAttr { return nil }

func awaitExit(int) bool { return false }

func killGroup(p *os.Process) { _ = p.Kill() } // it may have ended

func signalGroup(*os.Process, string) {}

func signalOf(name string) (syscall.Signal, bool) { return syscall.SIGTERM, name == "" }

func exitCode(s *os.ProcessState) int { return s.ExitCode() }
