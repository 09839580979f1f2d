// Package provision kills the provisioning service as a process, again and again.
package provision

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"sluice/internal/hub/host"
	"sluice/internal/hub/storage"
	"sluice/internal/leafwire"
	"sluice/internal/sas"
	"sluice/iot"
)

// site is a hub in this process with a module that asks for leaves, and provisioning
// as a process.
type site struct {
	t       *testing.T
	dir     string
	program string
	hub     *host.Host
	session iot.Session

	mu    sync.Mutex
	told  map[string]int // answers by leaf
	calls chan struct{}  // an answer came
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), told: map[string]int{}, calls: make(chan struct{}, 1)}
	s.program = filepath.Join(s.dir, "sluice")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", s.program, "sluice/cmd/sluice").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	var err error
	if s.hub, err = host.Open(host.Config{Dir: filepath.Join(s.dir, "hub"), MQTTPort: -1, AMQPPort: -1, HTTPSPort: -1}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.hub.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	s.connect()
	if err := os.WriteFile(filepath.Join(s.dir, "leaves.txt"), []byte("prefix:leaf-\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

// connect registers the gateway and its module, and connects the latter.
func (s *site) connect() {
	s.t.Helper()
	edge, module := storage.Entry{}, storage.Entry{}
	edge.Identity, edge.Enabled, edge.Edge = iot.DeviceIdentity("site-1"), true, true
	module.Identity, module.Enabled = iot.ModuleIdentity("site-1", "itm"), true
	made, err := s.hub.Registry().Create(edge, module)
	if err != nil {
		s.t.Fatal(err)
	}
	var key iot.Secret
	for _, e := range made {
		if e.Identity == module.Identity {
			key = e.Auth.PrimaryKey
		}
	}
	token, err := sas.Sign(key, sas.Resource{Host: s.hub.HostName(), Identity: module.Identity}, "", time.Now().Add(time.Hour))
	if err != nil {
		s.t.Fatal(err)
	}
	s.session, err = s.hub.Hub().Connect(s.t.Context(), iot.Credentials{Identity: module.Identity, Token: token}, iot.Client{Protocol: "mqtt"})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = s.session.Close() })
	if _, err := s.session.Methods(s.called); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) called(call iot.MethodCall, reply func(iot.MethodResult)) {
	reply(iot.MethodResult{Status: 200})
	c, err := leafwire.ParseCallback(call.Payload)
	if err != nil || !c.Succeeded() {
		s.t.Errorf("told %s: %v", call.Payload, err)
		return
	}
	s.mu.Lock()
	s.told[c.DeviceID]++
	s.mu.Unlock()
	select {
	case s.calls <- struct{}{}:
	default:
	}
}

func (s *site) answered() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.told)
}

// ask asks for a leaf, once.
func (s *site) ask(leaf string) {
	s.t.Helper()
	done := make(chan error, 1)
	e := leafwire.Event{LeafDeviceID: leaf, EdgeDeviceID: "site-1", EdgeModuleID: "itm", Operation: leafwire.Create}
	s.session.Send([]iot.Message{e.Message()}, func(err error) { done <- err })
	if err := <-done; err != nil {
		s.t.Fatal(err)
	}
}

// start starts the service; its log is kept in said.
func (s *site) start(said *bytes.Buffer) *exec.Cmd {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), s.program, "provision", "--follow", "--allow", filepath.Join(s.dir, "leaves.txt"),
		"--hub-data", filepath.Join(s.dir, "hub"), "--data", filepath.Join(s.dir, "provision"))
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	return cmd
}

// Whenever the service is killed, each leaf that was asked for, once, is created,
// once, and the module told of it.
func TestProvisioningIsKilledAtAnyMoment(t *testing.T) {
	kills := 12
	if os.Getenv("SLUICE_FULL") == "1" {
		kills = 30
	}
	s := newSite(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 7))
	asked := 0
	for range kills {
		var said bytes.Buffer
		cmd := s.start(&said)
		for range 1 + random.IntN(30) {
			s.ask(fmt.Sprintf("leaf-%d", asked))
			asked++
		}
		// Some moment: after so many answers, or so many milliseconds, from before its
		// first line on.
		s.awhile(s.answered()+random.IntN(30), time.Duration(random.IntN(400))*time.Millisecond)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatalf("it ended by itself: %v\n%s", err, said.String())
		}
		_ = cmd.Wait() // killed
	}
	var said bytes.Buffer
	cmd := s.start(&said)
	s.ask(fmt.Sprintf("leaf-%d", asked)) // answered by this process: it stands, and can be interrupted
	asked++
	s.awhile(asked, 2*time.Minute)
	if got := s.answered(); got != asked {
		t.Errorf("%d of %d leaves were answered", got, asked)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("interrupted: %v\n%s", err, said.String())
	}
	if got := s.hub.Registry().Counts().Devices; got != asked+1 {
		t.Errorf("%d devices, want %d leaves and the gateway", got, asked)
	}
	s.journal()
}

// awhile waits for so many answers in all, but not longer than limit.
func (s *site) awhile(answers int, limit time.Duration) {
	late := time.After(limit)
	for s.answered() < answers {
		select {
		case <-s.calls:
		case <-late:
			return
		}
	}
}

// journal fails if something is open in it at the end.
func (s *site) journal() {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, "provision", "journal.jsonl"))
	if err != nil {
		s.t.Fatal(err)
	}
	open := map[uint64]bool{}
	for line := range bytes.Lines(text) {
		var r struct {
			N    uint64
			Open json.RawMessage
			End  uint64
		}
		if err := json.Unmarshal(line, &r); err != nil {
			s.t.Errorf("%s: %v", line, err)
		}
		if r.Open != nil {
			open[r.N] = true
		}
		delete(open, r.End)
	}
	if len(open) > 0 {
		s.t.Errorf("%d requests are open: %s", len(open), text)
	}
}
