package edge

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"sluice/internal/edge/config"
	"sluice/internal/spool"
)

// load keeps devices sending until their connections end, and returns what was
// acknowledged.
func (s *site) load(addr, round string, devices []string) (enough <-chan struct{}, acked func() []string) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var all []string
	ready := make(chan struct{})
	for _, id := range devices {
		d := s.connect(id, addr, nil)
		wg.Go(func() {
			for tokens, n := []paho.Token(nil), 0; ; n++ {
				tokens = append(tokens, d.publish(fmt.Sprintf("%s %s %d", id, round, n)))
				if n < 10 {
					continue // in flight at a time
				}
				k := tokens[n-10]
				select {
				case <-k.Done():
				case <-d.lost:
				}
				select {
				case <-k.Done():
				default:
					return
				}
				if k.Error() != nil {
					return
				}
				mu.Lock()
				all = append(all, fmt.Sprintf("%s %s %d", id, round, n-10))
				if len(all) == 1000 {
					close(ready)
				}
				mu.Unlock()
			}
		})
	}
	return ready, func() []string { wg.Wait(); return all }
}

func fleet(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("device%d", i)
	}
	return ids
}

func TestNothingAcknowledgedIsLostHoweverTheGatewayEnds(t *testing.T) {
	devices := fleet(16)
	s := newSite(t, devices...)
	file := s.configure()
	var sent []string
	for i, tt := range []struct {
		name   string
		signal syscall.Signal
	}{
		{"D12 asked to end under load", syscall.SIGTERM},
		{"D1 killed under load", syscall.SIGKILL},
		{"D12 asked to end once more", syscall.SIGTERM},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := spawn(t, file)
			enough, acked := s.load(p.addr, fmt.Sprint(i), devices)
			select {
			case <-enough:
			case <-time.After(patience):
				t.Fatal("no load")
			}
			took, err := p.signal(tt.signal)
			if tt.signal == syscall.SIGTERM && (err != nil || took > ending) {
				t.Errorf("it ended after %v: %v", took, err)
			}
			bodies := acked()
			t.Logf("%d acknowledged, ended after %v", len(bodies), took)
			sent = append(sent, bodies...)
		})
	}
	spawn(t, file)
	s.expect(sent)
}

// The hub takes connections and says nothing: nothing must wait for it.
func TestD12_EndingDoesNotWaitForTheHub(t *testing.T) {
	s := newSite(t, "pump1")
	e := s.open(nil)
	stop := s.run(e.Run)
	s.connect("pump1", e.MQTTAddr().String(), nil).send("before")
	stop()

	dead := deadPort(t)
	e = s.open(func(c *config.Config) { c.Hub.AMQPPort, c.Hub.MQTTPort, c.Hub.HTTPSPort = dead, dead, dead })
	ctx, end := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	d := s.connect("pump1", e.MQTTAddr().String(), nil)
	for n := range 100 {
		d.send(fmt.Sprint("away ", n))
	}
	began := time.Now()
	end()
	if err := <-done; err != nil || time.Since(began) > ending {
		t.Errorf("ended after %v: %v", time.Since(began), err)
	}
	t.Logf("ended after %v", time.Since(began))
	if _, err := net.Dial("tcp", e.MQTTAddr().String()); err == nil {
		t.Error("it still accepts connections")
	}
}

// deadPort accepts connections and says nothing.
func deadPort(t *testing.T) int {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return port(l.Addr())
}

func TestF9_SecondProcessOnTheSameDataIsRefused(t *testing.T) {
	s := newSite(t)
	file := s.configure()
	p := spawn(t, file)
	pid := p.cmd.Process.Pid
	cfg, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Open(cfg, s.log)
	var locked *spool.LockedError
	if !errors.As(err, &locked) || !strings.Contains(err.Error(), fmt.Sprint(pid)) {
		t.Errorf("error %v, want one that names process %d", err, pid)
	}
}

func TestD18_EdgeHubW21_SubscriptionsSurviveACrash(t *testing.T) {
	s := newSite(t, "pump1", "pump2")
	file := s.configure()
	keep := func(o *paho.ClientOptions) { o.SetCleanSession(false) }
	p := spawn(t, file)
	one, two := s.connect("pump1", p.addr, keep), s.connect("pump2", p.addr, keep)
	for _, d := range []*device{one, two} {
		k := d.client.Subscribe("$iothub/twin/res/#", 0, nil)
		if !k.WaitTimeout(patience) || k.Error() != nil {
			t.Fatalf("subscribe: %v", k.Error())
		}
	}
	if k := two.client.Unsubscribe("$iothub/twin/res/#"); !k.WaitTimeout(patience) || k.Error() != nil {
		t.Fatalf("unsubscribe: %v", k.Error())
	}
	if _, err := p.signal(syscall.SIGKILL); err == nil {
		t.Fatal("it was not killed")
	}
	p = spawn(t, file)
	if d := s.connect("pump1", p.addr, keep); !d.resumed {
		t.Error("the session of the client that subscribed is gone")
	}
	if d := s.connect("pump1", p.addr, nil); d.resumed {
		t.Error("a clean session was resumed")
	}
	if d := s.connect("pump1", p.addr, keep); d.resumed {
		t.Error("a session was resumed after a clean one")
	}
}

func TestL7_WhatCannotBeOpenedIsNamed(t *testing.T) {
	s := newSite(t)
	taken, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, tt := range []struct {
		name   string
		change func(*config.Config)
		want   []string
	}{
		{"port in use", func(c *config.Config) { c.Listen.MQTT = port(taken.Addr()) },
			[]string{taken.Addr().String(), "in use", "mqtt_port under [sluice.listen]"}},
		{"address of another machine", func(c *config.Config) { c.Listen.Address = "192.0.2.1" },
			[]string{"192.0.2.1:0", "no such address on this machine"}},
		{"data directory on a disk that is not there", func(c *config.Config) { c.DataDir = filepath.Join(s.dir, "no", "data") },
			[]string{filepath.Join("no", "data")}},
		{"data directory that is a file", func(c *config.Config) { c.DataDir = filepath.Join(s.dir, "config.toml") },
			[]string{"config.toml", "not a directory"}},
		{"data directory of everybody", func(c *config.Config) {
			c.DataDir = filepath.Join(s.dir, "open")
			if err := errors.Join(os.MkdirAll(c.DataDir, 0o700), os.Chmod(c.DataDir, 0o777)); err != nil {
				t.Fatal(err)
			}
		}, []string{"open", "0777", "set it to 0700"}},
		{"certificate that is not there", func(c *config.Config) { c.Server = config.KeyPair{Cert: "/no/cert.pem", Key: "/no/key.pem"} },
			[]string{"server certificate", "/no/cert.pem"}},
		{"edge CA that is none", func(c *config.Config) {
			c.EdgeCA = config.KeyPair{Cert: filepath.Join(s.dir, "config.toml"), Key: filepath.Join(s.dir, "config.toml")}
		}, []string{"edge CA", "config.toml"}},
		{"trust bundle without a certificate", func(c *config.Config) { c.TrustBundle = filepath.Join(s.dir, "config.toml") },
			[]string{"config.toml", "no certificate"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg, err := config.Load(s.configure())
			if err != nil {
				t.Fatal(err)
			}
			cfg.DataDir = filepath.Join(t.TempDir(), "data")
			tt.change(cfg)
			_, err = Open(cfg, s.log)
			if err == nil {
				t.Fatal("opened")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %v\nwant %q in it", err, want)
				}
			}
			if strings.Contains(err.Error(), cfg.DeviceKey.Reveal()) {
				t.Error("S12 the error has the key in it")
			}
		})
	}
}

// What failed to open must not keep the data directory from the next attempt.
func TestOpenMayBeTriedAgain(t *testing.T) {
	s := newSite(t)
	cfg, err := config.Load(s.configure())
	if err != nil {
		t.Fatal(err)
	}
	cfg.Listen.Address = "192.0.2.1"
	if _, err := Open(cfg, s.log); err == nil {
		t.Fatal("opened")
	}
	cfg.Listen.Address = "127.0.0.1"
	e, err := Open(cfg, s.log)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(e.Close(), e.Close()); err != nil {
		t.Error(err)
	}
}

func TestF3_FailedDiskEndsTheGatewayWithItsError(t *testing.T) {
	s := newSite(t, "pump1")
	e := s.open(nil)
	done := make(chan error, 1)
	go func() { done <- e.Run(t.Context()) }()
	d := s.connect("pump1", e.MQTTAddr().String(), nil)
	broken := &spool.FatalError{Op: "sync", File: "000002.log", Err: syscall.EIO}
	e.failed(broken)
	e.failed(errors.New("a second one"))
	select {
	case err := <-done:
		if !errors.Is(err, broken) {
			t.Errorf("ended with %v", err)
		}
	case <-time.After(patience):
		t.Fatal("it goes on")
	}
	<-d.lost
}

func TestS14_FilesAreForTheirOwnerOnly(t *testing.T) {
	s := newSite(t, "pump1")
	e := s.open(nil)
	stop := s.run(e.Run)
	d := s.connect("pump1", e.MQTTAddr().String(), nil)
	d.send("one")
	s.expect([]string{"one"})
	stop()
	data := filepath.Join(s.dir, "data")
	info, err := os.Stat(data)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the data directory: %v %v", info.Mode(), err)
	}
	for _, secret := range []string{"private/root-key.pem", "certs/server-key.pem"} {
		info, err := os.Stat(filepath.Join(data, secret))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", secret, info.Mode(), err)
		}
	}
}
