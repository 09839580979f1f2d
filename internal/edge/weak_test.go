package edge

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/internal/edge/config"
	"sluice/iot"
)

// A spool that cannot be read stops the start, by name. It is neither emptied nor
// replaced by one in memory.
func TestEdgeHubW3_ASpoolThatCannotBeReadStopsTheStart(t *testing.T) {
	s := newSite(t, "dev")
	e := s.open(nil)
	stop := s.run(e.Run)
	s.connect("dev", e.MQTTAddr().String(), nil).send("x")
	stop()
	dir := filepath.Join(s.dir, "data", "spool")
	manifests, err := filepath.Glob(filepath.Join(dir, "*", "MANIFEST-*"))
	if err != nil || len(manifests) == 0 {
		t.Fatalf("%v, %v", manifests, err)
	}
	for _, m := range manifests {
		s.write(m, []byte("not what was there"))
	}
	cfg, err := config.Load(s.configure())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if e, err := Open(cfg, s.log); err == nil {
			s.run(e.Run)
			t.Fatal("it started")
		} else if !strings.Contains(err.Error(), dir) {
			t.Errorf("%v, want %s in it", err, dir)
		}
	}
	if text, err := os.ReadFile(manifests[0]); err != nil || string(text) != "not what was there" {
		t.Errorf("the damaged file was changed: %q, %v", text, err)
	}
}

// A client that the gateway sends away loses its whole connection.
func TestW5_NothingHalfOpenRemains(t *testing.T) {
	s := newSite(t, "dev")
	e := s.open(nil)
	s.run(e.Run)
	d := s.connect("dev", e.MQTTAddr().String(), nil)
	entry, _ := s.hub.Registry().Get(iot.DeviceIdentity("dev"))
	entry.Enabled = false
	if _, err := s.hub.Registry().Update(entry, ""); err != nil {
		t.Fatal(err)
	}
	if err := e.gateway.RefreshScope(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-d.lost:
	case <-time.After(patience):
		t.Fatal("the connection goes on")
	}
}

// What could not be stored is not acknowledged.
func TestW8_WhatWasNotStoredIsNotAcknowledged(t *testing.T) {
	s := newSite(t, "dev")
	e := s.open(func(c *config.Config) { c.Storage.MaxBytes = 1 })
	s.run(e.Run)
	d := s.connect("dev", e.MQTTAddr().String(), nil)
	token := d.publish("x")
	select {
	case <-d.lost:
	case <-token.Done():
		if token.Error() == nil {
			t.Error("it was acknowledged")
		}
	case <-time.After(patience):
		t.Fatal("neither refused nor acknowledged")
	}
	if token.WaitTimeout(0) && token.Error() == nil {
		t.Error("it was acknowledged")
	}
}
