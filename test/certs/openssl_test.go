package certs

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/internal/cli"
	"sluice/internal/pki"
)

// sluice runs a command line in a directory of certificates.
func sluice(t *testing.T, args ...string) (out string, status int) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	status = cli.Main(t.Context(), append([]string{"certs"}, args...), strings.NewReader(""), &stdout, &stderr)
	return stdout.String() + stderr.String(), status
}

func mustSluice(t *testing.T, args ...string) {
	t.Helper()
	if out, status := sluice(t, args...); status != 0 {
		t.Fatalf("sluice certs %v: status %d\n%s", args, status, out)
	}
}

// run runs openssl and returns what it printed and whether it was content.
func run(t *testing.T, program string, args ...string) (out string, ok bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdin = strings.NewReader("")
	text, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(text), err == nil
}

func TestOpenSSLAcceptsWhatIsMade(t *testing.T) {
	program := openssl(t)
	keys := []string{"p256", "p384", "p521", "rsa2048"}
	if testing.Short() {
		keys = keys[:1]
	}
	for _, key := range keys {
		for _, depth := range []string{"two authorities", "three authorities"} {
			t.Run(key+", "+depth, func(t *testing.T) {
				dir := t.TempDir()
				common := []string{"--dir", dir, "--key-type", key}
				mustSluice(t, append(common, "root")...)
				if depth == "three authorities" {
					mustSluice(t, append(common, "intermediate")...)
				}
				mustSluice(t, append(common, "edge", "--hostname", "gateway.local", "--name", "10.0.0.7,::1")...)
				mustSluice(t, append(common, "device", "pump-7")...)
				root, server, device := filepath.Join(dir, "root.pem"), filepath.Join(dir, "server-gateway.local.pem"), filepath.Join(dir, "device-pump-7.pem")
				verify := []string{"verify", "-x509_strict", "-CAfile", root}
				for _, more := range [][]string{
					{"-purpose", "sslserver", "-verify_hostname", "gateway.local", "-untrusted", server, server},
					{"-purpose", "sslserver", "-verify_ip", "10.0.0.7", "-untrusted", server, server},
					{"-purpose", "sslserver", "-verify_ip", "::1", "-untrusted", server, server},
					{"-purpose", "sslclient", "-untrusted", device, device},
					{root},
				} {
					if out, ok := run(t, program, append(verify, more...)...); !ok {
						t.Errorf("openssl %v:\n%s", more, out)
					}
				}
				if out, ok := run(t, program, append(verify, "-verify_hostname", "other.local", "-untrusted", server, server)...); ok {
					t.Errorf("openssl accepts another name:\n%s", out)
				}
				if out, ok := run(t, program, append(verify, "-purpose", "sslserver", "-untrusted", device, device)...); ok {
					t.Errorf("openssl accepts a device as a server:\n%s", out)
				}
			})
		}
	}
}

// serve answers handshakes with what the files hold until the test ends.
func serve(t *testing.T, dir, cert, key string) (addr string) {
	t.Helper()
	pair, err := pki.ReadPair(filepath.Join(dir, cert), filepath.Join(dir, key))
	if err != nil {
		t.Fatal(err)
	}
	pool, err := pki.ReadPool(filepath.Join(dir, "root.pem"))
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{pair.TLS()}, ClientCAs: pool, ClientAuth: tls.VerifyClientCertIfGiven}
	ln, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { greet(conn) })
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		wg.Wait()
	})
	return ln.Addr().String()
}

// greet names the client and waits for it to leave.
func greet(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	c := conn.(*tls.Conn)
	if c.Handshake() != nil {
		return
	}
	who := "nobody"
	if peers := c.ConnectionState().PeerCertificates; len(peers) > 0 {
		who = peers[0].Subject.CommonName
	}
	_, _ = io.WriteString(conn, "hello "+who+"\n")
	_ = c.CloseWrite()
	_, _ = io.Copy(io.Discard, conn)
}

// A site with one of everything, and a root that is nobody's.
func makeSite(t *testing.T) (dir, strange string) {
	t.Helper()
	dir, strange = t.TempDir(), t.TempDir()
	mustSluice(t, "root", "--dir", strange, "--common-name", "Stranger")
	mustSluice(t, "root", "--dir", dir)
	mustSluice(t, "intermediate", "--dir", dir)
	mustSluice(t, "edge", "--dir", dir, "--hostname", "gateway.local", "--name", "127.0.0.1")
	mustSluice(t, "device", "--dir", dir, "pump-7")
	return dir, strange
}

func TestOpenSSLShakesHandsWithAGatewaysServer(t *testing.T) {
	program := openssl(t)
	dir, strange := makeSite(t)
	addr := serve(t, dir, "server-gateway.local.pem", "server-gateway.local.key")
	client := func(more ...string) (string, bool) {
		return run(t, program, append([]string{"s_client", "-connect", addr, "-verify_return_error", "-ign_eof"}, more...)...)
	}
	root := filepath.Join(dir, "root.pem")
	device := filepath.Join(dir, "device-pump-7.pem")
	tests := []struct {
		name string
		args []string
		ok   bool
		says string
	}{
		{"by its name", []string{"-CAfile", root, "-servername", "gateway.local", "-verify_hostname", "gateway.local"}, true, "Verify return code: 0 (ok)"},
		{"by its address", []string{"-CAfile", root, "-verify_ip", "127.0.0.1"}, true, "hello nobody"},
		{"by another name", []string{"-CAfile", root, "-verify_hostname", "gateway"}, false, "ostname mismatch"},
		{"with a foreign root", []string{"-CAfile", filepath.Join(strange, "root.pem"), "-verify_hostname", "gateway.local"}, false, "unable to get local issuer"},
		{"with a device's certificate", []string{"-CAfile", root, "-cert", device, "-cert_chain", device,
			"-key", filepath.Join(dir, "device-pump-7.key")}, true, "hello pump-7"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out, ok := client(tt.args...)
			if ok != tt.ok || !strings.Contains(out, tt.says) {
				t.Errorf("content %v, want %v and %q:\n%s", ok, tt.ok, tt.says, out)
			}
		})
	}
}

func TestVerifyLooksAtAServerThatRuns(t *testing.T) {
	dir, strange := makeSite(t)
	whole := serve(t, dir, "server-gateway.local.pem", "server-gateway.local.key")
	tests := []struct {
		name   string
		args   []string
		status int
		says   string
	}{
		{"by its address", []string{"--connect", whole}, 0, "holds for 127.0.0.1"},
		{"by its name", []string{"--connect", whole, "--host", "gateway.local"}, 0, "holds for gateway.local"},
		{"by another name", []string{"--connect", whole, "--host", "gateway"}, 1, "wrong-name"},
		{"with a foreign root", []string{"--connect", whole, "--ca", filepath.Join(strange, "root.pem")}, 1, `trusted: "Stranger"`},
		{"without a port", []string{"--connect", "gateway.local"}, 2, "HOST:PORT"},
		{"where nothing listens", []string{"--connect", closedPort(t)}, 4, "nothing listens there"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out, status := sluice(t, append([]string{"verify", "--dir", dir}, tt.args...)...)
			if status != tt.status || !strings.Contains(out, tt.says) {
				t.Errorf("status %d, want %d and %q:\n%s", status, tt.status, tt.says, out)
			}
		})
	}
}

func closedPort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}
