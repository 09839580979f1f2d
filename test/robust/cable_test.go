//go:build unix

package robust

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"
)

// A cable is a line that can be cut or plugged: a TCP proxy. Cut, it refuses
// connections and resets those there were. Plugged, it accepts connections and
// carries nothing, in one direction or both: a peer that is silent without a
// word, as behind a firewall that forgot the connection.
type cable struct {
	to string // address of the far end

	mu       sync.Mutex
	listener net.Listener // nil while cut
	addr     string
	conns    map[net.Conn]bool
	group    sync.WaitGroup

	up, down valve
}

// A valve lets one direction flow while it is open, each piece after a delay.
type valve struct {
	mu    sync.Mutex
	shut  chan struct{} // not nil while shut; closed when it opens
	delay time.Duration
}

func (v *valve) set(open bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case open && v.shut != nil:
		close(v.shut)
		v.shut = nil
	case !open && v.shut == nil:
		v.shut = make(chan struct{})
	}
}

func (v *valve) slow(d time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.delay = d
}

// pass returns when a piece may go on.
func (v *valve) pass(ended <-chan struct{}) {
	v.mu.Lock()
	shut, delay := v.shut, v.delay
	v.mu.Unlock()
	if shut != nil {
		select {
		case <-shut:
		case <-ended:
		}
	}
	if delay > 0 {
		select {
		case <-time.After(delay):
		case <-ended:
		}
	}
}

// layCable carries connections from a port of host to the address to, until the
// end of the test.
func layCable(t *testing.T, host, to string) *cable {
	t.Helper()
	c := &cable{to: to, addr: net.JoinHostPort(host, "0"), conns: make(map[net.Conn]bool)}
	if err := c.mend(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.cut()
		c.group.Wait()
	})
	return c
}

// port is where the near end listens, cut or not.
func (c *cable) port() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return portOf(c.addr)
}

func portOf(addr string) int {
	a, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return 0
	}
	return a.Port
}

// mend restores the line.
func (c *cable) mend() error {
	c.up.set(true)
	c.down.set(true)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.listener != nil {
		return nil
	}
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", c.addr)
	if err != nil {
		return err
	}
	c.listener, c.addr = l, l.Addr().String()
	c.group.Go(func() { c.accept(l) })
	return nil
}

// cut takes the line away.
func (c *cable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.listener != nil {
		_ = c.listener.Close() // a listener's end cannot fail
		c.listener = nil
	}
	for conn := range c.conns {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // a reset, not an end
		}
		_ = conn.Close() // is what ends it
	}
}

// plug stops what flows towards the far end, and what comes back.
func (c *cable) plug(up, down bool) {
	c.up.set(!up)
	c.down.set(!down)
}

func (c *cable) accept(l net.Listener) {
	for {
		near, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			c.group.Go(func() { c.carry(near) })
		}
	}
}

// carry copies both ways until either end or the cable is gone.
func (c *cable) carry(near net.Conn) {
	if !c.hold(near) {
		return
	}
	defer c.release(near)
	far, err := new(net.Dialer).DialContext(context.Background(), "tcp", c.to)
	if err != nil || !c.hold(far) {
		return
	}
	defer c.release(far)
	ended := make(chan struct{})
	var once sync.Once
	end := func() {
		once.Do(func() {
			close(ended)
			_ = near.Close() // one way's end is the other's
			_ = far.Close()
		})
	}
	var back sync.WaitGroup
	back.Go(func() { defer end(); pour(near, far, &c.down, ended) })
	pour(far, near, &c.up, ended)
	end()
	back.Wait()
}

// pour copies through a valve.
func pour(to, from net.Conn, v *valve, ended <-chan struct{}) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			v.pass(ended)
			if _, werr := to.Write(buf[:n]); werr != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// hold registers a connection, or closes it if the cable is cut.
func (c *cable) hold(conn net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.listener == nil {
		_ = conn.Close() // nobody has used it
		return false
	}
	c.conns[conn] = true
	return true
}

func (c *cable) release(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = conn.Close() // perhaps once more
	delete(c.conns, conn)
}
