package module

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"sluice/internal/await"
	"sluice/internal/sockettest"

	"golang.org/x/sys/unix"
)

// A gateway that is killed takes its modules with it. What they started and hid from
// it is gone when the next gateway has started them again.
func TestKilledGatewayLeavesNoModules(t *testing.T) {
	dir := sockettest.Dir(t)
	if err := os.WriteFile(filepath.Join(dir, "modules.json"), deployment(t, map[string]any{"m": acts("family")}), 0o600); err != nil {
		t.Fatal(err)
	}
	mark := dir + "//m"
	t.Cleanup(func() {
		if _, err := killMarked(mark, true, patience); err != nil {
			t.Error(err)
		}
	})
	var before []int
	for round := range 5 {
		gateway, pids := startGateway(t, dir)
		leader := <-pids
		awaitFamily(t, mark, 3)
		now := markedProcesses(mark)
		for _, pid := range before {
			if alive(pid, mark) {
				t.Errorf("round %d: process %d of the round before is still there", round, pid)
			}
		}
		before = now
		module, err := unix.PidfdOpen(leader, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := gateway.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := gateway.Wait(); err == nil {
			t.Error("the gateway was not killed")
		}
		if err := awaitPidfd(module, time.Now().Add(patience)); err != nil {
			t.Errorf("round %d: the module: %v", round, err)
		}
		if err := unix.Close(module); err != nil {
			t.Error(err)
		}
	}
	gateway, pids := startGateway(t, dir)
	<-pids
	awaitFamily(t, mark, 3)
	if err := gateway.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := gateway.Wait(); err != nil {
		t.Error(err)
	}
	if left := markedProcesses(mark); len(left) > 0 {
		t.Errorf("a gateway that was told to end left %v", left)
	}
}

// However early or late a gateway is killed, the next one runs each module once.
func TestGatewayKilledAtAnyMoment(t *testing.T) {
	dir := sockettest.Dir(t)
	if err := os.WriteFile(filepath.Join(dir, "modules.json"), deployment(t, map[string]any{"m": acts("family")}), 0o600); err != nil {
		t.Fatal(err)
	}
	mark := dir + "//m"
	t.Cleanup(func() {
		if _, err := killMarked(mark, true, patience); err != nil {
			t.Error(err)
		}
	})
	for range 25 {
		gateway, _ := startGateway(t, dir)
		<-time.After(rand.N(150 * time.Millisecond)) // the moment
		if err := gateway.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = gateway.Wait() // it was killed
	}
	gateway, pids := startGateway(t, dir)
	<-pids
	awaitFamily(t, mark, 3)
	if err := gateway.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := gateway.Wait(); err != nil {
		t.Error(err)
	}
	if left := markedProcesses(mark); len(left) > 0 {
		t.Errorf("a gateway that was told to end left %v", left)
	}
}

// startGateway starts a runtime as a process of its own, which tells the numbers of
// its modules' processes.
func startGateway(t *testing.T, dir string) (*exec.Cmd, <-chan int) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), actVariable+"=gateway "+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // it may have ended
	pids := make(chan int, 100)
	go func() {
		defer close(pids)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var pid int
			if json.Unmarshal(lines.Bytes(), &pid) == nil {
				select {
				case pids <- pid:
				default:
				}
			}
		}
	}()
	return cmd, pids
}

func markedProcesses(mark string) (pids []int) {
	names, _ := filepath.Glob("/proc/[0-9]*") // the pattern is right
	for _, name := range names {
		if pid, err := strconv.Atoi(filepath.Base(name)); err == nil && alive(pid, mark) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func alive(pid int, mark string) bool {
	is, _ := belongs(pid, mark, true)
	return is
}

// awaitFamily waits until a module and its children are there.
func awaitFamily(t *testing.T, mark string, n int) {
	t.Helper()
	await.Success(t, "the family is there", func() error {
		if got := markedProcesses(mark); len(got) != n {
			return fmt.Errorf("there are %v, want %d", got, n)
		}
		return nil
	})
}

// What a module started is of the module too, wherever it went.
func TestDescendantsAreOfTheModule(t *testing.T) {
	g := newRig(t, map[string]any{"m": acts("family")}, nil)
	leader := g.is("m", Running).PID
	awaitFamily(t, g.mark("m"), 3)
	u, err := g.unit("m")
	if err != nil {
		t.Fatal(err)
	}
	for _, pid := range markedProcesses(g.mark("m")) {
		if !u.owns(pid) {
			t.Errorf("process %d is not of the module, whose first is %d", pid, leader)
		}
	}
	for _, pid := range []int{1, os.Getpid(), os.Getppid()} {
		if u.owns(pid) {
			t.Errorf("process %d is of the module", pid)
		}
	}
}

func TestAModuleMayRunAsAUserOfItsOwn(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can start processes of others")
	}
	run := sockettest.Dir(t)
	if err := os.Chmod(run, 0o755); err != nil {
		t.Fatal(err)
	}
	g := newRig(t, map[string]any{
		"m": shell(`echo $(id -u):$(id -g) $(id -G) $PWD; [ -w "${IOTEDGE_WORKLOADURI#unix://}" ] && echo reachable; exec sleep 600`).options("User", "65534:12"),
	}, func(o *Options) { o.RunDir = run })
	if got := g.says("m", "65534"); got != "65534:12 12 /" {
		t.Errorf("it runs as %s", got)
	}
	g.says("m", "reachable")
}

func TestAUserOfItsOwnNeedsSocketsOutsideTheData(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can start processes of others")
	}
	g := newRig(t, map[string]any{"m": shell("exec sleep 600").options("User", "65534")}, nil)
	if s := g.is("m", Waiting); !strings.Contains(s.Description, "RuntimeDirectory") {
		t.Errorf("%q", s.Description)
	}
}

func TestDirectoryOfSocketsThatOthersMayChangeIsRefused(t *testing.T) {
	dir := sockettest.Dir(t)
	opt, err := testOptions(dir, new(transcript))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Mkdir(opt.RunDir, 0o700), os.Chmod(opt.RunDir, 0o777)); err != nil {
		t.Fatal(err)
	}
	r, err := New(opt)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "may be changed by others") {
		t.Errorf("error %v", err)
	}
}
