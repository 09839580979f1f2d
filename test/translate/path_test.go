package translate

import (
	"testing"

	"sluice/internal/await"
)

func TestALeafAppearsAndItsKeptMessagesComeFirst(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	s.cloud.set(func() { s.cloud.mute = true })
	p := s.translator(ptm, 16)
	p.tell("leaf-1", "a", "b")
	await.Success(s.t, "the cloud is asked", func() error { return s.asked("leaf-1") })
	p.tell("leaf-1", "c")
	s.cloud.set(func() { s.cloud.mute = false })
	s.cloud.has("leaf-1", "a", "b", "c")
	p.tell("leaf-1", "d")
	s.cloud.has("leaf-1", "a", "b", "c", "d")
	if n := s.cloud.createdTimes("leaf-1"); n != 1 {
		t.Errorf("created %d times", n)
	}
	m := p.hears("leaf-1", "LeafState")
	if state, _ := m.Properties.Get("state"); state != "registered" {
		t.Errorf("the translator is told %q", state)
	}
}
