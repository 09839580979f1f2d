package scope

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/iot"
)

// fakeHub answers questions about scope, a page of one identity at a time.
type fakeHub struct {
	mu    sync.Mutex
	regs  []iot.Registration
	err   error
	asked int
	hold  chan struct{} // if not nil, lookups wait for it
	// listed counts looks at the whole scope.
	listed int
}

func (h *fakeHub) InScope(_ context.Context, _ iot.Credentials, continuation string) (iot.ScopePage, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	at := 0
	if continuation == "" {
		h.listed++
	}
	if _, err := fmt.Sscan(continuation, &at); continuation != "" && err != nil {
		return iot.ScopePage{}, err
	}
	if h.err != nil || at >= len(h.regs) {
		return iot.ScopePage{}, h.err
	}
	page := iot.ScopePage{Identities: h.regs[at : at+1]}
	if at+1 < len(h.regs) {
		page.Next = fmt.Sprint(at + 1)
	}
	return page, nil
}

func (h *fakeHub) Lookup(_ context.Context, _ iot.Credentials, target iot.Identity) ([]iot.Registration, error) {
	h.mu.Lock()
	h.asked++
	hold := h.hold
	h.mu.Unlock()
	if hold != nil {
		<-hold
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range h.regs {
		if r.Identity == target {
			return []iot.Registration{r}, h.err
		}
	}
	if h.err != nil {
		return nil, h.err
	}
	return nil, iot.Errorf(iot.NotFound, "fake", target, "unknown")
}

func reg(id string) iot.Registration {
	return iot.Registration{
		Identity: iot.DeviceIdentity(id), Enabled: true, ParentScopes: []string{"scope-of-edge"},
		Auth: iot.Authentication{Type: iot.AuthSAS, PrimaryKey: "cHJpbWFyeQ=="},
	}
}

func open(t *testing.T, path string, h *fakeHub, change func(*Options)) *Cache {
	t.Helper()
	opt := Options{
		Source:      h,
		Credentials: func(...string) (iot.Credentials, error) { return iot.Credentials{}, nil },
		Log:         slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	if change != nil {
		change(&opt)
	}
	c, err := Open(path, opt)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestU2_ScopeIsKnownAfterARestartWithoutTheHub(t *testing.T) {
	path := filepath.Join(t.TempDir(), "scope.json")
	edge := iot.Registration{Identity: iot.DeviceIdentity("edge"), Enabled: true, Edge: true, Scope: "scope-of-edge"}
	h := &fakeHub{regs: []iot.Registration{edge, reg("a"), reg("b")}}
	if err := open(t, path, h, nil).Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.err = iot.Errorf(iot.Unavailable, "fake", iot.Identity{}, "away")
	c := open(t, path, h, nil)
	if err := c.Refresh(t.Context()); err == nil {
		t.Error("a refresh without the hub succeeded")
	}
	for _, want := range h.regs {
		got, ok := c.Registration(want.Identity)
		if diff := cmp.Diff(want, got); !ok || diff != "" {
			t.Errorf("%v known %v: -want +got\n%s", want.Identity, ok, diff)
		}
	}
	if got, ok := c.EdgeDevice("scope-of-edge"); !ok || got.Identity != edge.Identity {
		t.Errorf("edge device of the scope: %v, %v", got.Identity, ok)
	}
}

func TestS14_TheStoredScopeIsReadableByItsOwnerOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "scope.json")
	if err := open(t, path, &fakeHub{regs: []iot.Registration{reg("a")}}, nil).Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
}

func TestZ12_ADamagedScopeLetsNobodyInAndIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "scope.json")
	if err := os.WriteFile(path, []byte(`{"identities":[{"Identity":"a"`), 0o600); err != nil {
		t.Fatal(err)
	}
	c := open(t, path, &fakeHub{}, nil)
	if n, _ := c.Len(); n != 0 {
		t.Errorf("%d identities from a damaged file", n)
	}
	if _, err := os.Stat(path + ".damaged"); err != nil {
		t.Error(err)
	}
}

func TestRefreshForgetsWhatTheHubNoLongerNames(t *testing.T) {
	h := &fakeHub{regs: []iot.Registration{reg("a"), reg("b")}}
	changes := 0
	c := open(t, filepath.Join(t.TempDir(), "scope.json"), h, func(o *Options) { o.Changed = func() { changes++ } })
	for range 2 {
		if err := c.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	h.regs = h.regs[:1]
	if err := c.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, ok := c.Registration(iot.DeviceIdentity("b")); ok {
		t.Error("b is still known")
	}
	if changes != 2 {
		t.Errorf("%d changes told, want 2: the second refresh brought nothing new", changes)
	}
}

// Gateways below gateways, each of whose listings comes in pages.
func TestEdgeHubW19_ScopesOfGatewaysBelowComeInPagesToo(t *testing.T) {
	edge := func(id string) iot.Registration {
		r := reg(id)
		r.Edge, r.Scope, r.ParentScopes = true, "scope-of-"+id, nil
		return r
	}
	lists := map[string][]iot.Registration{
		"":       {edge("edge"), reg("a"), edge("lower"), reg("b")},
		"lower":  {edge("lower"), reg("c"), reg("d"), edge("lowest")},
		"lowest": {edge("lowest"), reg("e"), reg("f")},
	}
	h := &nestedHub{lists: lists}
	c := open(t, filepath.Join(t.TempDir(), "scope.json"), &fakeHub{}, func(o *Options) {
		o.Source = h
		o.Credentials = func(path ...string) (iot.Credentials, error) {
			creds := iot.Credentials{Identity: iot.ModuleIdentity("edge", iot.EdgeHubModule)}
			if len(path) > 0 {
				creds.Identity.Device = path[0]
			}
			return creds, nil
		}
	})
	if err := c.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"edge", "lower", "lowest", "a", "b", "c", "d", "e", "f"} {
		if _, ok := c.Registration(iot.DeviceIdentity(id)); !ok {
			t.Errorf("%s is not known", id)
		}
	}
}

// nestedHub has a listing for each gateway, a page of one identity at a time.
type nestedHub struct {
	fakeHub
	lists map[string][]iot.Registration
}

func (h *nestedHub) InScope(ctx context.Context, creds iot.Credentials, continuation string) (iot.ScopePage, error) {
	device := creds.Identity.Device
	if device == "edge" {
		device = ""
	}
	// A continuation is good for its own listing alone.
	owner, page, _ := strings.Cut(continuation, ":")
	if continuation != "" && owner != device {
		return iot.ScopePage{}, fmt.Errorf("a continuation of %q for %q", owner, device)
	}
	answer, err := (&fakeHub{regs: h.lists[device]}).InScope(ctx, creds, page)
	if answer.Next != "" {
		answer.Next = device + ":" + answer.Next
	}
	return answer, err
}

func TestLookupIsHeldOffForTheSameIdentity(t *testing.T) {
	now := time.Now()
	h := &fakeHub{}
	c := open(t, filepath.Join(t.TempDir(), "scope.json"), h, func(o *Options) { o.Now = func() time.Time { return now } })
	id := iot.DeviceIdentity("a")
	for _, step := range []struct {
		wait time.Duration
		asks bool
	}{{0, true}, {0, false}, {HoldOff - time.Millisecond, false}, {time.Millisecond, true}} {
		now = now.Add(step.wait)
		before := h.asked
		c.Lookup(t.Context(), id)
		if asked := h.asked > before; asked != step.asks {
			t.Fatalf("after %v more: asked %v, want %v", step.wait, asked, step.asks)
		}
	}
}

func TestACrowdIsLookedUpTogetherAndStrangersAreNot(t *testing.T) {
	now := time.Now()
	h := &fakeHub{}
	c := open(t, filepath.Join(t.TempDir(), "scope.json"), h, func(o *Options) { o.Now = func() time.Time { return now } })
	known := func(n int) bool {
		t.Helper()
		id := fmt.Sprintf("leaf-%03d", n)
		c.Lookup(t.Context(), iot.DeviceIdentity(id))
		_, ok := c.Registration(iot.DeviceIdentity(id))
		return ok
	}
	for n := range 300 {
		h.regs = append(h.regs, reg(fmt.Sprintf("leaf-%03d", n)))
	}
	for n := range 300 {
		if !known(n) {
			t.Fatalf("leaf %d is not known", n)
		}
	}
	if h.asked != lookupBurst || h.listed != 1 {
		t.Errorf("%d leaves were asked for one by one, and all %d times", h.asked, h.listed)
	}
	h.regs = append(h.regs, reg("leaf-300"))
	if known(300) {
		t.Error("the whole scope was looked at again at once")
	}
	if now = now.Add(CrowdEvery); !known(301 - 1) {
		t.Error("a leaf that came later is not known")
	}
	// Now strangers come, at all times, for an hour.
	h.listed = 0
	for n := range 3600 {
		now = now.Add(time.Second)
		for i := range 10 {
			c.Lookup(t.Context(), iot.DeviceIdentity(fmt.Sprintf("stranger-%d-%d", n, i)))
		}
	}
	if h.listed < 5 || h.listed > 20 {
		t.Errorf("strangers had the whole scope looked at %d times in an hour", h.listed)
	}
}

func TestT1_AClockSetBackDoesNotHoldOffForEver(t *testing.T) {
	now := time.Now()
	h := &fakeHub{}
	c := open(t, filepath.Join(t.TempDir(), "scope.json"), h, func(o *Options) { o.Now = func() time.Time { return now } })
	c.Lookup(t.Context(), iot.DeviceIdentity("a"))
	now = now.AddDate(-10, 0, 0)
	c.Lookup(t.Context(), iot.DeviceIdentity("a"))
	if h.asked != 2 {
		t.Errorf("asked %d times, want 2", h.asked)
	}
}

func TestConcurrentLookupsShareOneQuestion(t *testing.T) {
	h := &fakeHub{regs: []iot.Registration{reg("a")}, hold: make(chan struct{})}
	c := open(t, filepath.Join(t.TempDir(), "scope.json"), h, nil)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() { c.Lookup(t.Context(), iot.DeviceIdentity("a")) })
	}
	close(h.hold)
	wg.Wait()
	if h.asked != 1 {
		t.Errorf("asked %d times", h.asked)
	}
	if _, ok := c.Registration(iot.DeviceIdentity("a")); !ok {
		t.Error("a is not known after the lookup")
	}
}

func TestS12_RegistrationsDoNotPrintTheirKeys(t *testing.T) {
	r := reg("a")
	for _, text := range []string{fmt.Sprint(r), fmt.Sprintf("%+v", r), fmt.Sprintf("%#v", r)} {
		if strings.Contains(text, "cHJpbWFyeQ") {
			t.Errorf("a key is printed: %s", text)
		}
	}
}
