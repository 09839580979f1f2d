package translate

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sluice/internal/await"
	"sluice/internal/moduleclient"
	"sluice/internal/translate"
	"sluice/iot"
)

// A rope is the way of a module to its gateway. When it is cut, nothing that the
// module does reaches the gateway any more, as if it had been killed.
type rope struct {
	iot.Hub

	mu   sync.RWMutex
	cut  bool
	open []iot.Session
}

func (r *rope) Connect(ctx context.Context, creds iot.Credentials, client iot.Client) (iot.Session, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cut {
		return nil, iot.ErrClosed
	}
	session, err := r.Hub.Connect(ctx, creds, client)
	if err != nil {
		return nil, err
	}
	r.open = append(r.open, session)
	return &ropeSession{session, r}, nil
}

// sever cuts the rope. What the module did before is done.
func (r *rope) sever() {
	r.mu.Lock()
	r.cut = true
	open := r.open
	r.mu.Unlock()
	for _, s := range open {
		_ = s.Close()
	}
}

// A ropeSession does nothing any more once its rope is cut.
type ropeSession struct {
	iot.Session
	rope *rope
}

func (s *ropeSession) whole(do func()) bool {
	s.rope.mu.RLock()
	defer s.rope.mu.RUnlock()
	if !s.rope.cut {
		do()
	}
	return !s.rope.cut
}

func (s *ropeSession) Send(batch []iot.Message, done func(error)) {
	if !s.whole(func() { s.Session.Send(batch, done) }) {
		done(iot.ErrClosed)
	}
}

func (s *ropeSession) Settle(ctx context.Context, token string, outcome iot.Outcome) (err error) {
	s.whole(func() { err = s.Session.Settle(ctx, token, outcome) })
	return err
}

func (s *ropeSession) Methods(invoke func(iot.MethodCall, func(iot.MethodResult))) (iot.Subscription, error) {
	return s.Session.Methods(func(call iot.MethodCall, reply func(iot.MethodResult)) {
		invoke(call, func(r iot.MethodResult) { s.whole(func() { reply(r) }) })
	})
}

// killModule ends the module as a power cut would, and starts it from what was on
// disk then.
func (s *site) killModule(r *rope, rng *rand.Rand) {
	s.t.Helper()
	r.sever()
	left := s.leaves.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rng})
	s.stopModule()
	s.leaves = left
	s.startModule()
}

// Whatever is killed, whenever: each leaf is created once, and all that it said
// arrives, in order.
func TestKillsAtAnyMoment(t *testing.T) {
	seeds := 12
	if os.Getenv("SLUICE_FULL") == "1" {
		seeds = 60
	}
	if n, err := strconv.Atoi(os.Getenv("SLUICE_SEEDS")); err == nil {
		seeds = n // by hand
	}
	turns := make(chan struct{}, 4)
	for seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			turns <- struct{}{}
			defer func() { <-turns }()
			killRun(t, uint64(seed))
		})
	}
}

func killRun(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	var r *rope
	s := newSiteWith(t, func(s *site) {
		s.leaves = vfs.NewCrashableMem()
		s.change = func(o *translate.Options) {
			o.Patience.AskAgain, o.Patience.AskLongest = 100*time.Millisecond, 200*time.Millisecond
		}
		s.moduleClient = func() *moduleclient.Client {
			r = &rope{Hub: front{s}}
			return s.clientOver(r, itm)
		}
	})
	p := s.translator(ptm, 0)
	said := map[string][]string{}
	for step := range 60 {
		switch n := rng.IntN(20); {
		case n < 15:
			leaf := fmt.Sprint("leaf-", rng.IntN(4))
			body := fmt.Sprint(step)
			p.tell(leaf, body)
			said[leaf] = append(said[leaf], body)
		case n < 16:
			s.cloud.set(func() { s.cloud.mute = rng.IntN(2) == 0 })
		case n < 17:
			for range rng.IntN(1000) { // to move what is next to another moment
				runtime.Gosched()
			}
		case n < 19:
			s.killModule(r, rng)
		default:
			s.restartGateway()
			p = s.translator(ptm, 0)
		}
	}
	s.cloud.set(func() { s.cloud.mute = false })
	for leaf, want := range said {
		await.Success(s.t, fmt.Sprintf("seed %d: all of %s", seed, leaf), func() error { return s.cloud.firsts(leaf, want) })
		if n := s.cloud.createdTimes(leaf); n != 1 {
			t.Errorf("seed %d: %s was created %d times", seed, leaf, n)
		}
	}
}

// firsts checks that a leaf's messages are all there, in order, whichever came twice.
func (c *cloud) firsts(leaf string, want []string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var first []string
	for _, body := range c.got[leaf] {
		if !slices.Contains(first, body) {
			first = append(first, body)
		}
	}
	if !slices.Equal(first, want) {
		return fmt.Errorf("the hub has %q, want %q", c.got[leaf], want)
	}
	return nil
}
