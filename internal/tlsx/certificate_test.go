package tlsx

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// name is what the current certificate is for.
func (c *Certificate) name() string { return c.Get().Leaf.Subject.CommonName }

func TestCertificateWithoutFilesCannotBeReloaded(t *testing.T) {
	c := NewCertificate(newPair(t, "one").tls(t))
	if _, err := c.Reload(); !errors.Is(err, ErrNoFiles) {
		t.Errorf("Reload: %v, want ErrNoFiles", err)
	}
	c.Watch(t.Context(), nil) // returns although ctx goes on
	c.Set(newPair(t, "two").tls(t))
	if c.name() != "two" {
		t.Errorf("after Set: %s", c.name())
	}
}

func TestReload(t *testing.T) {
	one, two := newPair(t, "one"), newPair(t, "two")
	dir := newDirectory(t, one)
	c, err := LoadCertificate(dir.cert, dir.key)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		name    string
		disk    pair
		changed bool
		fails   bool
		now     string
	}{
		{"nothing new", one, false, false, "one"},
		{"the certificate without its key", pair{two.cert, one.key}, false, true, "one"},
		{"both", two, true, false, "two"},
		{"half a certificate", pair{one.cert[:len(one.cert)/2], one.key}, false, true, "two"},
		{"empty files", pair{}, false, true, "two"},
		{"the old ones again", one, true, false, "one"},
	} {
		dir.write(t, step.disk)
		changed, err := c.Reload()
		if changed != step.changed || (err != nil) != step.fails || c.name() != step.now {
			t.Errorf("%s: changed %v, error %v, now %s", step.name, changed, err, c.name())
		}
	}
}

func TestLoadCertificateNamesTheFile(t *testing.T) {
	dir := newDirectory(t, newPair(t, "one"))
	if _, err := LoadCertificate(dir.cert, dir.key+"x"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing key: %v", err)
	}
}

func TestF8_RenewedCertificateIsTakenFromDiskWithoutARestart(t *testing.T) {
	one, two := newPair(t, "one"), newPair(t, "two")
	dir := newDirectory(t, one)
	c, err := LoadCertificate(dir.cert, dir.key)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		var log journal
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); c.Watch(ctx, log.logger()) }()

		put(t, dir.cert, two.cert)
		time.Sleep(10 * lookEvery)
		synctest.Wait()
		if c.name() != "one" || log.count("not exchanged") != 1 {
			t.Errorf("with half of the new pair: %s, and %d lines, want the old one and 1", c.name(), log.count("not exchanged"))
		}

		put(t, dir.key, two.key)
		time.Sleep(lookEvery + 1)
		synctest.Wait()
		if c.name() != "two" || log.count("certificate exchanged") != 1 {
			t.Errorf("with the whole pair: %s, and %d lines", c.name(), log.count("certificate exchanged"))
		}
		stop()
		<-done
	})
}

// A tool may write a file of the same length within the file system's clock's
// resolution, or copy the time of another.
func TestChangeThatTheClockDoesNotShowIsFound(t *testing.T) {
	one, two := newPair(t, "one"), newPair(t, "two")
	for len(two.cert) != len(one.cert) || len(two.key) != len(one.key) {
		two = newPair(t, "two")
	}
	dir := newDirectory(t, one)
	same := time.Unix(1e9, 0)
	back := func() {
		for _, f := range []string{dir.cert, dir.key} {
			if err := os.Chtimes(f, same, same); err != nil {
				t.Fatal(err)
			}
		}
	}
	back()
	c, err := LoadCertificate(dir.cert, dir.key)
	if err != nil {
		t.Fatal(err)
	}
	dir.write(t, two)
	back()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); c.Watch(ctx, nil) }()
		time.Sleep(readEvery + 2*lookEvery)
		synctest.Wait()
		if c.name() != "two" {
			t.Error("not found")
		}
		stop()
		<-done
	})
}

// echo serves TLS connections until the listener is closed, and waits for them.
func echo(t *testing.T, l net.Listener, config *tls.Config) {
	t.Helper()
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer nc.Close()
				c := tls.Server(nc, config)
				_, _ = io.Copy(c, c) // ends with the connection
			})
		}
	})
	t.Cleanup(wg.Wait)
	t.Cleanup(func() { _ = l.Close() })
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// dial returns a connection after its handshake.
func dial(t testing.TB, addr net.Addr, config *tls.Config) *tls.Conn {
	t.Helper()
	d := &tls.Dialer{NetDialer: &net.Dialer{Timeout: patience}, Config: config}
	nc, err := d.DialContext(t.Context(), "tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	if err := nc.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return nc.(*tls.Conn)
}

func ping(t testing.TB, c net.Conn) {
	t.Helper()
	var got [4]byte
	if _, err := c.Write([]byte("ping")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, got[:]); err != nil || string(got[:]) != "ping" {
		t.Fatalf("%q, %v", got, err)
	}
}

func anyServer() *tls.Config { return &tls.Config{InsecureSkipVerify: true} }

func TestS5_RotationDropsNobodyAndTheNextHandshakeHasTheNewCertificate(t *testing.T) {
	cert := NewCertificate(newPair(t, "one").tls(t))
	l := Listen(listen(t), Limits{}, nil)
	echo(t, l, ServerConfig(cert))

	old := make([]*tls.Conn, 20)
	for i := range old {
		old[i] = dial(t, l.Addr(), anyServer())
		ping(t, old[i])
	}
	cert.Set(newPair(t, "two").tls(t))
	fresh := dial(t, l.Addr(), anyServer())
	ping(t, fresh)
	if got := fresh.ConnectionState().PeerCertificates[0].Subject.CommonName; got != "two" {
		t.Errorf("new handshake got %q", got)
	}
	for _, c := range old {
		ping(t, c)
	}
}
