package provision

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"sluice/internal/await"
	"sluice/internal/leafwire"
	"sluice/internal/service"
	"sluice/iot"
)

func open(t *testing.T, dir string) *journal {
	t.Helper()
	j, err := openJournal(dir)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func asked(leaf string) Request {
	return Request{Sender: iot.ModuleIdentity("site-1", "itm"), Leaf: leaf, Operation: leafwire.Create, At: noon}
}

func leaves(j *journal) (list string) {
	for _, p := range j.pending() {
		list += p.Request.Leaf + " "
	}
	return list
}

func TestAJournalThatIsCutAtAnyByteHasWhatWasWhole(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	var states []string
	note := func() { states = append(states, leaves(j)+fmt.Sprint(j.marks()["3"].Sequence)) }
	note()
	for i := range 4 {
		n, err := j.ask(asked(fmt.Sprint("leaf-", i)), noon)
		if err != nil {
			t.Fatal(err)
		}
		note()
		if i%2 == 1 {
			if err := j.end(n); err != nil {
				t.Fatal(err)
			}
			note()
		}
		if err := j.advance("3", mark{uint64(i + 1), noon}); err != nil {
			t.Fatal(err)
		}
		note()
	}
	if err := j.close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(j.path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range len(whole) + 1 {
		lines := bytes.Count(whole[:cut], []byte{'\n'})
		j := &journal{next: 1, open: map[uint64]opened{}, read: map[string]mark{}}
		if err := j.replay(whole[:cut]); err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		if got := leaves(j) + fmt.Sprint(j.marks()["3"].Sequence); got != states[lines] {
			t.Fatalf("cut at %d: %s, want %s", cut, got, states[lines])
		}
		// Some of them on disk: within a line, and where one ends.
		if cut%97 == 0 || cut > 0 && whole[cut-1] == '\n' {
			goOn(t, whole[:cut])
		}
	}
}

// goOn opens what a crash has left, and fails if it cannot be gone on with.
func goOn(t *testing.T, text []byte) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, journalFile), text, 0o600); err != nil {
		t.Fatal(err)
	}
	j := open(t, dir)
	before := leaves(j)
	n, err := j.ask(asked("later"), noon)
	if err != nil {
		t.Fatal(err)
	}
	if err := j.close(); err != nil {
		t.Fatal(err)
	}
	j = open(t, dir)
	if got := leaves(j); j.open[n].Request.Leaf != "later" || got != before+"later " {
		t.Fatalf("after %d bytes and a request there are %q, before were %q", len(text), got, before)
	}
	if err := j.close(); err != nil {
		t.Fatal(err)
	}
}

func TestADamagedJournalIsNotGuessedAt(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, journalFile), []byte("{\"end\":1}\nx\n{\"end\":2}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openJournal(dir); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("%v", err)
	}
}

func TestAJournalDoesNotGrowWithWhatIsDone(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	kept, err := j.ask(asked("kept"), noon)
	if err != nil {
		t.Fatal(err)
	}
	var syncs sync.WaitGroup
	for range 4 { // others wait for the disk meanwhile
		syncs.Go(func() {
			for range 50 {
				if err := j.sync(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 3 * compactAt / 2 {
		n, err := j.ask(asked("gone"), noon)
		if err == nil {
			err = j.end(n)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	syncs.Wait()
	if err := j.close(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(j.path)
	if err != nil {
		t.Fatal(err)
	}
	if limit := int64(compactAt) * 250; info.Size() > limit {
		t.Errorf("%d bytes", info.Size())
	}
	j = open(t, dir)
	if got := leaves(j); got != "kept " || j.open[kept].Request.Leaf != "kept" {
		t.Errorf("open: %s", got)
	}
	if err := j.close(); err != nil {
		t.Fatal(err)
	}
}

func TestTwoProcessesDoNotShareAJournal(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	dir := filepath.Join(t.TempDir(), "p")
	p := s.start(func(cfg *Config) { cfg.Dir = dir })
	if _, err := Open(Config{Hub: s.client, Dir: dir}); err == nil || !strings.Contains(err.Error(), ErrLocked.Error()) {
		t.Errorf("the second: %v", err)
	}
	p.stop()
	second := s.start(func(cfg *Config) { cfg.Dir = dir })
	second.stop()
}

// TestWhatWasAcknowledgedSurvivesAnyEnd ends the service again and again at some
// moment, by taking the hub from under it and reading its journal as it stands: that
// is what a process that is killed leaves.
func TestWhatWasAcknowledgedSurvivesAnyEnd(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	m := s.connect("site-1")
	dir := t.TempDir()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	want := 0
	for life := range 25 {
		here := filepath.Join(dir, fmt.Sprint(life))
		hub := &severed{Hub: s.client, left: random.IntN(30)}
		p := s.start(func(cfg *Config) { cfg.Dir, cfg.Hub = here, hub })
		var batch []any
		for range 1 + random.IntN(8) {
			batch = append(batch, event("site-1", "itm", fmt.Sprintf("leaf-%d", want), "create"))
			want++
		}
		p.post(batch) // answered: acknowledged
		await.True(t, "the end", func() bool { return hub.cut.Load() || p.Counts().Open == 0 })
		text, err := os.ReadFile(filepath.Join(here, journalFile))
		if err != nil {
			t.Fatal(err)
		}
		p.stop()
		next := filepath.Join(dir, fmt.Sprint(life+1))
		if err := os.Mkdir(next, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(next, journalFile), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := s.start(func(cfg *Config) { cfg.Dir = filepath.Join(dir, "25") })
	await.True(t, "all is done", func() bool { return p.Counts().Open == 0 })
	for i := range want {
		leaf := fmt.Sprintf("leaf-%d", i)
		if !s.exists(leaf) || len(m.answers(leaf)) == 0 {
			t.Errorf("%s was forgotten", leaf)
		}
	}
	if got := s.hub.Registry().Counts().Devices; got != want+2 {
		t.Errorf("%d devices, want %d", got, want+2)
	}
}

// severed is a hub that is cut off after some calls: others wait until their context
// ends, as in a process that is no more.
type severed struct {
	Hub
	cut atomic.Bool

	mu   sync.Mutex
	left int
}

func (h *severed) pass(ctx context.Context) error {
	h.mu.Lock()
	h.left--
	gone := h.left < 0
	h.mu.Unlock()
	if !gone {
		return nil
	}
	h.cut.Store(true)
	<-ctx.Done()
	return ctx.Err()
}

func (h *severed) Device(ctx context.Context, id string) (service.Device, error) {
	if err := h.pass(ctx); err != nil {
		return service.Device{}, err
	}
	return h.Hub.Device(ctx, id)
}

func (h *severed) CreateDevice(ctx context.Context, d service.Device) (service.Device, error) {
	if err := h.pass(ctx); err != nil {
		return service.Device{}, err
	}
	return h.Hub.CreateDevice(ctx, d)
}

func (h *severed) InvokeMethod(ctx context.Context, id iot.Identity, call iot.MethodCall) (iot.MethodResult, error) {
	if err := h.pass(ctx); err != nil {
		return iot.MethodResult{}, err
	}
	return h.Hub.InvokeMethod(ctx, id, call)
}
