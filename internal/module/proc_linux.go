package module

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// descends reports whether a process is of the session that leader began, or a
// descendant of leader. Neither can be pretended.
func descends(pid, leader int) bool {
	if sid, err := unix.Getsid(pid); err == nil && sid == leader {
		return true
	}
	for pid > 1 {
		if pid == leader {
			return true
		}
		pid = parentOf(pid)
	}
	return false
}

// parentOf is 0 for a process that has gone.
func parentOf(pid int) int {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0
	}
	// The name, in parentheses, may have anything in it.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 2 {
		return 0
	}
	parent, _ := strconv.Atoi(fields[1])
	return parent
}

// A process that executes a program has no environment for a moment. Some have none
// ever, so it is not waited for long.
const (
	execTries = 10
	execPause = 2 * time.Millisecond
)

// killMarked kills the processes whose environment has the variable: with exactly
// the value, or with one that begins with it. It looks until there are none, as
// those that it kills may start others meanwhile, and waits until they have ended,
// but not after the limit. It returns how many there were.
func killMarked(value string, exact bool, limit time.Duration) (int, error) {
	late := time.Now().Add(limit)
	for n, tries := 0, execTries; ; {
		killed, unsure, err := killThose(value, exact, late)
		n += killed
		switch {
		case err != nil || time.Now().After(late):
			return n, err
		case killed > 0:
		case !unsure || tries == 0:
			return n, nil
		default:
			tries--
			time.Sleep(execPause)
		}
	}
}

// killThose goes through all processes once. unsure tells that one of them did not
// show what it is.
func killThose(value string, exact bool, late time.Time) (killed int, unsure bool, err error) {
	names, err := os.ReadDir("/proc")
	if err != nil {
		return 0, false, err
	}
	var errs []error
	for _, name := range names {
		pid, err := strconv.Atoi(name.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		if is, known := belongs(pid, value, exact); !is {
			unsure = unsure || !known
			continue
		}
		killed++
		errs = append(errs, killOne(pid, value, exact, late))
	}
	return killed, unsure, errors.Join(errs...)
}

// belongs reads the environment that a process was started with. It is not known of
// one that is just executing a program.
func belongs(pid int, value string, exact bool) (is, known bool) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	env, err := os.ReadFile(filepath.Join(dir, "environ"))
	if err != nil {
		return false, true // it has gone, or it is another user's
	}
	if len(env) == 0 {
		_, err := os.Readlink(filepath.Join(dir, "exe"))
		return false, err != nil // it has ended, or is of the kernel
	}
	want := "\x00" + markVariable + "=" + value
	if exact {
		want += "\x00"
	}
	return bytes.Contains(append([]byte{0}, env...), []byte(want)), true
}

// killOne kills a process if its number still is that of a marked one, and waits.
func killOne(pid int, value string, exact bool, late time.Time) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return os.NewSyscallError("pidfd_open", err)
	}
	defer unix.Close(fd) //nolint:errcheck // nothing is written to it
	if is, _ := belongs(pid, value, exact); !is {
		return nil // another's; if it is just executing a program, it is found again
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil {
		if errors.Is(err, unix.ESRCH) {
			return nil
		}
		return os.NewSyscallError("pidfd_send_signal", err)
	}
	return awaitPidfd(fd, late)
}

// awaitPidfd waits for the end of a process.
func awaitPidfd(fd int, late time.Time) error {
	for {
		ready, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(max(0, time.Until(late)).Milliseconds()))
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return os.NewSyscallError("poll", err)
		case ready == 0:
			return errors.New("a process does not end, though it was killed")
		default:
			return nil
		}
	}
}
