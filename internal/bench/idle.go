package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// An Idle is connections that do nothing.
type Idle struct {
	Target  Target
	Clients int

	// PID is the server's process, whose resident memory is read before the
	// connections are made and after they have been idle for Settle; 0 for none.
	PID    int
	Settle time.Duration
}

// An IdleResult is what an Idle has measured.
type IdleResult struct {
	Clients       int     `json:"clients"`
	ConnectRate   float64 `json:"connectsPerSecond"`
	Before        int64   `json:"residentBefore,omitempty"` // bytes
	After         int64   `json:"residentAfter,omitempty"`
	PerConnection int64   `json:"residentPerConnection,omitempty"`
}

// Run opens the connections, measures and closes them.
func (i *Idle) Run(ctx context.Context) (IdleResult, error) {
	r := IdleResult{Clients: i.Clients}
	if i.Clients < 1 {
		return r, fmt.Errorf("%d idle connections", i.Clients)
	}
	var err error
	if r.Before, err = i.resident(); err != nil {
		return r, err
	}
	begin := time.Now()
	conns, err := connectAll(ctx, i.Clients, func(ctx context.Context, n int) (net.Conn, error) {
		nc, _, err := i.Target.connect(ctx, n, idleKeepAlive)
		return nc, err
	})
	if err != nil {
		return r, err
	}
	defer func() {
		for _, nc := range conns {
			_ = nc.Close() // nothing is left to be written
		}
	}()
	r.ConnectRate = float64(i.Clients) / time.Since(begin).Seconds()
	select {
	case <-time.After(i.Settle):
	case <-ctx.Done():
		return r, ctx.Err()
	}
	if r.After, err = i.resident(); err != nil {
		return r, err
	}
	r.PerConnection = (r.After - r.Before) / int64(i.Clients)
	return r, nil
}

func (i *Idle) resident() (int64, error) {
	if i.PID == 0 {
		return 0, nil
	}
	return Resident(i.PID)
}

// Resident is the resident memory of a process in bytes. It needs Linux's /proc.
func Resident(pid int) (int64, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("read the memory of a process: %w", err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), "VmRSS:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(value, "kB")), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("read the memory of process %d: %w", pid, err)
			}
			return kib << 10, nil
		}
	}
	return 0, errors.New("read the memory of a process: the system does not tell it")
}
