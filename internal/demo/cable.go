package demo

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
)

// cable is the line between gateway and hub: a TCP proxy that can be cut. While
// it is cut, connections are refused, and those that were open are dead.
type cable struct {
	to string // address of the far end

	mu       sync.Mutex
	listener net.Listener // nil while cut
	addr     string
	conns    map[net.Conn]bool
	group    sync.WaitGroup
}

// layCable listens on a loopback address and carries connections to the
// address to. An addr with port 0 lets the system choose.
func layCable(addr, to string) (*cable, error) {
	c := &cable{to: to, addr: addr, conns: make(map[net.Conn]bool)}
	return c, c.mend()
}

// port is where the near end listens.
func (c *cable) port() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	a, err := net.ResolveTCPAddr("tcp", c.addr)
	if err != nil {
		return 0
	}
	return a.Port
}

// mend restores the line.
func (c *cable) mend() error {
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
	if c.listener == nil {
		return
	}
	_ = c.listener.Close()
	c.listener = nil
	for conn := range c.conns {
		_ = conn.Close()
	}
}

// close cuts the line for good and waits for everything in it to end.
func (c *cable) close() {
	c.cut()
	c.group.Wait()
}

func (c *cable) accept(l net.Listener) {
	for {
		near, err := l.Accept()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				continue
			}
			return
		}
		c.group.Go(func() { c.carry(near) })
	}
}

// carry copies both ways until either end or the cable is gone.
func (c *cable) carry(near net.Conn) {
	if !c.hold(near) {
		return
	}
	defer c.release(near)
	far, err := net.Dial("tcp", c.to)
	if err != nil {
		return
	}
	if !c.hold(far) {
		return
	}
	defer c.release(far)
	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.Copy(near, far) // its end is the connection's
		_ = near.Close()
	})
	_, _ = io.Copy(far, near)
	_ = far.Close()
	_ = near.Close()
	back.Wait()
}

// hold registers a connection, or closes it if the cable is cut.
func (c *cable) hold(conn net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.listener == nil {
		_ = conn.Close()
		return false
	}
	c.conns[conn] = true
	return true
}

func (c *cable) release(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = conn.Close()
	delete(c.conns, conn)
}
