package killed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sluice/internal/hub/storage"
	"sluice/internal/leafwire"
	"sluice/internal/sas"
	"sluice/internal/translate"
	"sluice/iot"
)

// Hub, gateway, module and provisioning are killed at any moment, one or several at a
// time: each leaf is created once, and all that was acknowledged to its translator
// arrives in order. The clock is synctest's: pauses are those of real life, and cost
// nothing.
func TestZ10_AnyOfTheFourKilledAtAnyMoment(t *testing.T) {
	if ran.Swap(true) {
		t.Skip("once in a process: the database's pools belong to the first bubble")
	}
	usual := uint64(10)
	if os.Getenv("SLUICE_FULL") == "1" {
		usual = 20
	}
	first, seeds := number("SLUICE_SEED", 0), number("SLUICE_SEEDS", usual) // by hand
	kills := 0
	synctest.Test(t, func(t *testing.T) {
		for seed := first; seed < first+seeds && !t.Failed(); seed++ {
			t.Logf("seed %d", seed)
			kills += anyOfFour(t, seed)
		}
		t.Logf("%d kills", kills)
	})
}

var ran atomic.Bool

// number is what a variable says, by hand.
func number(variable string, usual uint64) uint64 {
	if n, err := strconv.ParseUint(os.Getenv(variable), 10, 32); err == nil {
		return n
	}
	return usual
}

func anyOfFour(t *testing.T, seed uint64) (kills int) {
	f := newFour(t, seed)
	defer f.end()
	f.eventually("the routes are in force", f.routed)
	v := f.voice()
	defer v.end()
	leaves := []string{"leaf-0", "leaf-1", "leaf-2", "stranger"}
	for phase := range 2 {
		hush := v.speak(phase, leaves, seed)
		for range 6 + f.chance.IntN(8) {
			f.moment(f.someTime())
			f.killOrStart()
		}
		for _, p := range f.parts {
			if p.stop == nil {
				f.begin(p)
			}
		}
		hush()
		f.calm(v)
		leaves = append(leaves, fmt.Sprint("leaf-", len(leaves)), fmt.Sprint("leaf-", len(leaves)+1))
	}
	f.judge(v)
	return f.kills
}

// someTime is until the next kill: things that go over wires, of which a registration
// takes a few dozen, or at most so long.
func (f *four) someTime() (things int, limit time.Duration) {
	most := []int{20, 200}[f.chance.IntN(2)]
	return 1 + f.chance.IntN(most), time.Duration(1+f.chance.IntN(20_000)) * time.Millisecond
}

// killOrStart kills one of the four, or starts it if it is dead.
func (f *four) killOrStart() {
	p := f.parts[f.chance.IntN(len(f.parts))]
	if p.stop == nil {
		f.begin(p)
		return
	}
	f.log.Info("killed", "part", p.name)
	f.kills++
	f.kill(p)
	if f.chance.IntN(2) == 0 {
		f.begin(p)
	}
}

// pastRefusals is longer than the module remembers a refusal.
const pastRefusals = 3 * time.Minute

// calm waits until everything has arrived, and some time more, after which nothing of
// it is in flight any more.
func (f *four) calm(v *voice) {
	f.t.Helper()
	f.eventually("everything arrives", func() error { return errors.Join(f.arrived(v), f.decided()) })
	time.Sleep(pastRefusals)
	got := f.stored()
	for leaf, before := range f.settled {
		if len(got[leaf]) < len(before) || !slices.Equal(got[leaf][:len(before)], before) {
			f.t.Errorf("the hub had %q of %s, and has %q", before, leaf, got[leaf])
			continue
		}
		for _, body := range got[leaf][len(before):] {
			if slices.Contains(before, body) {
				f.t.Errorf("%s of %s came again, though it was not in flight: %q", body, leaf, got[leaf])
			}
		}
	}
	f.settled = got
}

// eventually tries until there is no error.
func (f *four) eventually(what string, try func() error) {
	f.t.Helper()
	for began := time.Now(); ; time.Sleep(time.Second) {
		err := try()
		if err == nil {
			return
		}
		if time.Since(began) > 3*time.Hour {
			f.t.Fatalf("%s: %v", what, err)
		}
	}
}

// routed reports whether the gateway goes by the routes.
func (f *four) routed() error {
	var reported struct {
		Status struct{ Code int } `json:"lastDesiredStatus"`
	}
	twin, err := f.hub.Twin(edgeHub)
	if err == nil {
		err = json.Unmarshal(twin.Reported.JSON(), &reported)
	}
	if err == nil && reported.Status.Code != 200 {
		err = fmt.Errorf("reported %s", twin.Reported.JSON())
	}
	return err
}

// decided reports whether the module knows of every leaf what it is, and provisioning
// has nothing more to do.
func (f *four) decided() error {
	if open := f.provisioning.Counts().Open; open > 0 {
		return fmt.Errorf("%d requests are open", open)
	}
	n := f.module.Stats().Leaves
	if n[translate.Fresh]+n[translate.Registering] > 0 {
		return fmt.Errorf("states of leaves: %v", n)
	}
	return nil
}

// arrived reports whether the hub has what each leaf said, in order, whichever came
// twice, and that nothing came again that was not in flight at a kill.
func (f *four) arrived(v *voice) error {
	got := f.stored()
	v.mu.Lock()
	defer v.mu.Unlock()
	for leaf, want := range v.said {
		if leaf == "stranger" {
			want = nil
		}
		if first := firstOf(got[leaf]); !slices.Equal(first, want) {
			return fmt.Errorf("the hub has %q of %s, want %q", got[leaf], leaf, want)
		}
	}
	return nil
}

func firstOf(all []string) (first []string) {
	for _, body := range all {
		if !slices.Contains(first, body) {
			first = append(first, body)
		}
	}
	return first
}

// stored is what the hub has of each leaf.
func (f *four) stored() map[string][]string {
	f.t.Helper()
	got := map[string][]string{}
	for p := range f.events.Partitions() {
		r, err := f.events.Reader(p, storage.Earliest())
		f.must(err)
		for {
			events, err := r.Poll(1000)
			f.must(err)
			if len(events) == 0 {
				break
			}
			for _, e := range events {
				if sender := e.Message.Sender(); sender.Module == "" {
					got[sender.Device] = append(got[sender.Device], string(e.Message.Body))
				}
			}
		}
	}
	return got
}

// judge looks at what there is in the end.
func (f *four) judge(v *voice) {
	f.t.Helper()
	module, _ := f.devices.Get(itm)
	for leaf := range v.said {
		e, there := f.devices.Get(iot.DeviceIdentity(leaf))
		if leaf == "stranger" {
			if there {
				f.t.Error("a device was made that is not on the list")
			}
			continue
		}
		key, err := sas.DeriveKey(module.Auth.PrimaryKey, leaf)
		f.must(err)
		switch {
		case !there || !e.Enabled:
			f.t.Errorf("%s is not there, or disabled", leaf)
		case !slices.Equal(e.ParentScopes, []string{f.scope}) || e.Auth.PrimaryKey != key:
			f.t.Errorf("%s has the scopes %q, or a wrong key", leaf, e.ParentScopes)
		case f.ledger.generations[leaf] != e.GenerationID:
			f.t.Errorf("%s was made twice", leaf)
		}
	}
}

// A voice is a translator, which is not killed. It says everything until that is
// acknowledged.
type voice struct {
	f      *four
	ctx    context.Context
	end    func()
	client interface {
		Connect(context.Context, iot.Client) (iot.Session, error)
	}

	turn    chan struct{} // is taken by who connects
	mu      sync.Mutex
	session iot.Session // nil: connect anew
	said    map[string][]string
}

func (f *four) voice() *voice {
	from := newLife()
	client := f.client(from, ptm)
	v := &voice{f: f, ctx: from.ctx, client: client, turn: make(chan struct{}, 1), said: map[string][]string{}}
	v.end = func() {
		from.end()
		client.Close()
	}
	return v
}

// speak has leaves say something, until hush, which waits for it.
func (v *voice) speak(phase int, leaves []string, seed uint64) (hush func()) {
	var all sync.WaitGroup
	for n, leaf := range leaves {
		chance := rand.New(rand.NewPCG(seed, uint64(100*phase+n)))
		all.Go(func() {
			for i := range 6 + chance.IntN(10) {
				time.Sleep(time.Duration(chance.IntN(4000)) * time.Millisecond)
				v.say(leaf, fmt.Sprintf("%d-%d", phase, i))
			}
		})
	}
	return all.Wait
}

// say says something until it is acknowledged.
func (v *voice) say(leaf, body string) {
	m := leafwire.Route{Leaf: leaf, Module: ptm.Module}.Telemetry(iot.Message{Body: []byte(body)})
	m.System.Set(iot.OutputName, "out")
	v.mu.Lock()
	v.said[leaf] = append(v.said[leaf], body)
	v.mu.Unlock()
	for v.ctx.Err() == nil {
		session := v.connected()
		if session == nil {
			time.Sleep(200 * time.Millisecond)
			continue
		}
		done := make(chan error, 1)
		session.Send([]iot.Message{m}, func(err error) { done <- err })
		if <-done == nil {
			return
		}
		v.mu.Lock()
		if v.session == session {
			v.session = nil
			_ = session.Close() // it has failed
		}
		v.mu.Unlock()
	}
}

// connected returns the session there is, or nil if there is none for now.
func (v *voice) connected() iot.Session {
	v.turn <- struct{}{}
	defer func() { <-v.turn }()
	if there := v.now(); there != nil {
		return there
	}
	session, err := v.client.Connect(v.ctx, iot.Client{})
	if err != nil {
		return nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.session = session
	return session
}

func (v *voice) now() iot.Session {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.session
}
