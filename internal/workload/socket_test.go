package workload

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"sluice/internal/sockettest"
)

func TestS14_TheSocketIsItsModulesAlone(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("files have no such modes")
	}
	api, log := testAPI(t, nil)
	c := serve(t, api, log, "filter", Access{UID: -1})
	if info, err := os.Stat(c.path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if os.Getuid() != 0 {
		t.Skip("only root can give files away")
	}
	given := serve(t, api, log, "filter", Access{UID: 65534})
	if info, err := os.Stat(given.path); err != nil || info.Mode().Perm() != 0o600 || ownerOf(info) != 65534 {
		t.Errorf("%v, %v", info, err)
	}
}

func TestAProcessThatIsNotOfTheModuleMayReadTheTrustBundleAlone(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the system does not tell who connects")
	}
	api, log := testAPI(t, nil)
	asked := make(chan int, 10)
	stranger := serve(t, api, log, "filter", Access{UID: -1, Owns: func(pid int) bool { asked <- pid; return false }})
	if status, _ := stranger.do("POST", "/modules/filter/genid/1/sign?api-version=2019-01-30", `{"data":"QQ=="}`); status != 403 {
		t.Errorf("it may sign: %d", status)
	}
	if pid := <-asked; pid != os.Getpid() {
		t.Errorf("process %d is said to connect, and not %d", pid, os.Getpid())
	}
	if status, _ := stranger.do("GET", "/trust-bundle?api-version=2019-01-30", ""); status != 200 {
		t.Errorf("it may not read the trust bundle: %d", status)
	}
	member := serve(t, api, log, "filter", Access{UID: -1, Owns: func(pid int) bool { return pid == os.Getpid() }})
	if status, _ := member.do("POST", "/modules/filter/genid/1/sign?api-version=2019-01-30", `{"data":"QQ=="}`); status != 200 {
		t.Errorf("the module may not sign: %d", status)
	}
}

// A module that leaks connections is stopped before the gateway runs out of
// descriptors, and can go on when it has closed some.
func TestConnectionsAreBounded(t *testing.T) {
	api, log := testAPI(t, nil)
	c := serve(t, api, log, "filter", Access{UID: -1})
	var open []net.Conn
	for range maxConnections {
		conn := c.dial(t)
		c.ask(t, conn) // so that it is counted
		open = append(open, conn)
	}
	more := c.dial(t)
	if _, err := more.Read(make([]byte, 1)); err == nil {
		t.Error("one more connection is not closed")
	}
	_ = more.Close() // it was closed by the other side
	for _, conn := range open {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
	for late := time.Now().Add(time.Minute); ; {
		conn := c.dial(t)
		_, err := fmt.Fprint(conn, request)
		if err == nil {
			_, err = conn.Read(make([]byte, 1))
		}
		_ = conn.Close() // was only tried
		if err == nil {
			break
		}
		if time.Now().After(late) {
			t.Fatalf("no connection is taken any more: %v", err)
		}
	}
}

const request = "GET /trust-bundle?api-version=2018-06-28 HTTP/1.1\r\nHost: x\r\n\r\n"

func (c *caller) dial(t *testing.T) net.Conn {
	t.Helper()
	conn, err := net.Dial("unix", c.path)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func (c *caller) ask(t *testing.T, conn net.Conn) {
	t.Helper()
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "HTTP/1.1 200") {
		t.Fatalf("%q, %v", line, err)
	}
}

func TestASocketWhoseNameIsTooLongSaysSo(t *testing.T) {
	api, _ := testAPI(t, nil)
	_, err := api.Listen("/tmp/"+strings.Repeat("x", 100), "filter", Access{UID: -1})
	if err == nil || !strings.Contains(err.Error(), "longer than the 103 bytes") {
		t.Errorf("error %v", err)
	}
}

func TestASocketTakesThePlaceOfOneThatWasLeft(t *testing.T) {
	api, _ := testAPI(t, nil)
	path := sockettest.Dir(t) + "/s"
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := api.Listen(path, "filter", Access{UID: -1})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	s.Close()
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("it is still there: %v", err)
	}
}
