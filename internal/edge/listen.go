package edge

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strconv"
	"syscall"
)

// listen binds an address for a protocol. key is the configuration's for the
// port.
func listen(protocol, host string, port int, key string) (net.Listener, error) {
	addr := net.JoinHostPort(host, strconv.Itoa(port))
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", addr)
	if err == nil {
		return l, nil
	}
	return nil, fmt.Errorf("cannot listen for %s on %s: %w%s", protocol, addr, cause(err), advice(err, port, key))
}

// listenAt is listen for what has host and port in one key.
func listenAt(what, addr, key string) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", addr)
	if err == nil {
		return l, nil
	}
	return nil, fmt.Errorf("cannot listen for %s on %s: %w; choose another %s", what, addr, cause(err), key)
}

// cause leaves out of an error what the message says already.
func cause(err error) error {
	var no syscall.Errno
	if errors.As(err, &no) {
		return no
	}
	return err
}

// advice is what usually helps against an error of listening.
func advice(err error, port int, key string) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Sprintf("; another program has the port: end it, or choose another port with %s under [sluice.listen]", key)
	case errors.Is(err, fs.ErrPermission) && port > 0 && port < 1024:
		return fmt.Sprintf("; ports below 1024 need a privilege: choose another with %s under [sluice.listen], or give the program CAP_NET_BIND_SERVICE", key)
	case errors.Is(err, syscall.EADDRNOTAVAIL), isLookup(err):
		return "; no such address on this machine: correct address under [sluice.listen], or leave it out for all addresses"
	}
	return ""
}

func isLookup(err error) bool {
	var dns *net.DNSError
	return errors.As(err, &dns)
}
