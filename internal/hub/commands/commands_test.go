package commands

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"sluice/internal/dbtest"
	"sluice/internal/hub/code"
	"sluice/internal/hub/storage"
	"sluice/iot"
)

var dev = iot.DeviceIdentity("dev")

// A fixture is a store whose identities are all of one generation.
type fixture struct {
	*Store
	t   *testing.T
	gen map[iot.Identity]string
}

func open(t *testing.T, fs vfs.FS) *fixture {
	t.Helper()
	f := &fixture{t: t, gen: map[iot.Identity]string{dev: "1"}}
	var err error
	f.Store, err = Open(dbtest.Open(t, fs), Options{Generation: func(id iot.Identity) (string, bool) {
		g, ok := f.gen[id]
		return g, ok
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { f.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return f
}

func (f *fixture) send(body string, system ...iot.SystemValue) {
	f.t.Helper()
	m := iot.Message{Body: []byte(body), System: system}
	m.System.Set(iot.MessageID, body)
	if err := f.Send(dev, m); err != nil {
		f.t.Fatal(err)
	}
}

// A reader notes what it is delivered.
type reader struct {
	iot.Subscription
	mu  sync.Mutex
	got []iot.Delivery
}

func (f *fixture) read(grant int) *reader {
	r := &reader{}
	r.Subscription = f.Receive(dev, func(d iot.Delivery) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.got = append(r.got, d)
	})
	r.Grant(grant)
	return r
}

func (r *reader) bodies() (list []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, d := range r.got {
		list = append(list, fmt.Sprint(string(d.Message.Body), " ", d.Count))
	}
	return list
}

func (f *fixture) expect(what string, got []string, want ...string) {
	f.t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		f.t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func (f *fixture) settle(r *reader, i int, outcome iot.Outcome) {
	f.t.Helper()
	r.mu.Lock()
	token := r.got[i].LockToken
	r.mu.Unlock()
	if err := f.Settle(dev, token, outcome); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) feedback() (list []string) {
	lease, _ := f.Feedback().Take(100)
	if lease == nil {
		return nil
	}
	for _, r := range lease.Records {
		list = append(list, r.OriginalMessageID+" "+r.StatusCode)
	}
	lease.Settle(true)
	return list
}

func TestOnlyWhatIsGrantedIsDelivered(t *testing.T) {
	f := open(t, vfs.NewMem())
	f.send("a")
	r := f.read(0)
	f.send("b")
	f.send("c")
	f.expect("before a grant", r.bodies())
	r.Grant(2)
	f.expect("after a grant of two", r.bodies(), "a 0", "b 0")
	f.settle(r, 0, iot.Complete)
	f.expect("settling grants nothing", r.bodies(), "a 0", "b 0")
	r.Grant(1)
	f.expect("after another", r.bodies(), "a 0", "b 0", "c 0")
	if n := f.Count(dev); n != 2 {
		t.Errorf("%d commands, want 2", n)
	}
}

func TestAbandonedComesAgainBeforeTheOthers(t *testing.T) {
	f := open(t, vfs.NewMem())
	r := f.read(1)
	f.send("a")
	f.send("b")
	f.settle(r, 0, iot.Abandon)
	r.Grant(2)
	f.expect("deliveries", r.bodies(), "a 0", "a 1", "b 0")
	if err := f.Settle(dev, r.got[0].LockToken, iot.Complete); iot.KindOf(err) != iot.NotFound {
		t.Errorf("the old lock token: %v, want NotFound", err)
	}
}

func TestAReceiverThatLeavesGivesBack(t *testing.T) {
	f := open(t, vfs.NewMem())
	f.send("a")
	first := f.read(10)
	first.Close()
	second := f.read(10)
	f.expect("the second receiver", second.bodies(), "a 1")
	third := f.read(10) // in the second's place, without its leave
	f.expect("the third receiver", third.bodies(), "a 2")
	second.Grant(5)
	f.expect("the second receiver again", second.bodies(), "a 1")
	if !third.got[0].Repeat {
		t.Error("a repeat is not marked as one")
	}
}

func TestALockThatEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := open(t, vfs.NewMem())
		f.send("a")
		r := f.read(2)
		time.Sleep(DefaultLock + 2*sweepEvery)
		synctest.Wait()
		f.expect("deliveries", r.bodies(), "a 0", "a 1")
	})
}

func TestFeedbackSaysHowACommandEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := open(t, vfs.NewMem())
		full := iot.SystemValue{Name: iot.Ack, Value: "full"}
		soon := iot.SystemValue{Name: iot.ExpiryTime, Value: time.Now().Add(time.Minute).Format(time.RFC3339Nano)}
		f.send("completed", full)
		f.send("rejected", full)
		f.send("silent")
		f.send("bad", iot.SystemValue{Name: iot.Ack, Value: "negative"})
		r := f.read(4)
		f.settle(r, 0, iot.Complete)
		f.settle(r, 1, iot.Reject)
		f.settle(r, 2, iot.Complete)
		f.settle(r, 3, iot.Complete)
		f.expect("feedback", f.feedback(), "completed Success", "rejected Rejected")

		f.send("late", full, soon)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		f.expect("of one that expired", f.feedback(), "late Expired")

		f.send("purged", full)
		if n, err := f.Purge(dev); n != 1 || err != nil {
			t.Errorf("purged %d, %v", n, err)
		}
		f.expect("of one that was purged", f.feedback(), "purged Purged")

		f.send("poison", full)
		r.Grant(2 * MaxDeliveries)
		for range MaxDeliveries {
			f.settle(r, len(r.got)-1, iot.Abandon)
		}
		f.expect("of one that nobody takes", f.feedback(), "poison DeliveryCountExceeded")
	})
}

// .NET and Python do not read times with more than seven digits after the second.
func TestTimesAreNotFinerThanClientsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := open(t, vfs.NewMem())
		time.Sleep(123_456_789 * time.Nanosecond)
		f.send("a", iot.SystemValue{Name: iot.Ack, Value: "full"})
		r := f.read(1)
		enqueued, err := time.Parse(time.RFC3339Nano, r.got[0].Message.System.Get(iot.EnqueuedTime))
		if err != nil || enqueued.Nanosecond() != 123_456_700 {
			t.Errorf("enqueued at %v, %v", enqueued, err)
		}
		f.settle(r, 0, iot.Complete)
		lease, _ := f.Feedback().Take(1)
		if lease == nil || lease.Records[0].EnqueuedTime.Nanosecond() != 123_456_700 {
			t.Errorf("feedback of %+v", lease)
		}
		lease.Settle(true)
	})
}

func TestFeedbackThatIsNotTakenComesAgain(t *testing.T) {
	f := open(t, vfs.NewMem())
	f.send("a", iot.SystemValue{Name: iot.Ack, Value: "full"})
	f.settle(f.read(1), 0, iot.Complete)
	lease, _ := f.Feedback().Take(10)
	if again, _ := f.Feedback().Take(10); again != nil {
		t.Error("two readers have the same record")
	}
	lease.Settle(false)
	f.expect("feedback", f.feedback(), "a Success")
	f.expect("feedback that was taken", f.feedback())
}

func TestRefusals(t *testing.T) {
	f := open(t, vfs.NewMem())
	for range storage.MaxCommands {
		f.send("x")
	}
	for name, c := range map[string]struct {
		to   iot.Identity
		m    iot.Message
		want code.Code
	}{
		"one too many":     {dev, iot.Message{}, code.QueueDepthExceeded},
		"too large":        {dev, iot.Message{Body: make([]byte, storage.MaxCommandSize+1)}, code.MessageTooLarge},
		"nobody":           {iot.DeviceIdentity("nobody"), iot.Message{}, code.DeviceNotFound},
		"no such module":   {iot.ModuleIdentity("dev", "m"), iot.Message{}, code.ModuleNotFound},
		"a foreign ack":    {dev, iot.Message{System: iot.System{{Name: iot.Ack, Value: "perhaps"}}}, code.ArgumentInvalid},
		"a foreign expiry": {dev, iot.Message{System: iot.System{{Name: iot.ExpiryTime, Value: "tomorrow"}}}, code.ArgumentInvalid},
		"in a week":        {dev, iot.Message{System: iot.System{{Name: iot.ExpiryTime, Value: time.Now().Add(168 * time.Hour).Format(time.RFC3339)}}}, code.ArgumentInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			if err := f.Send(c.to, c.m); code.Of(err) != c.want {
				t.Errorf("error %v, want code %d", err, c.want)
			}
		})
	}
}

func TestCommandsOfAnEarlierGenerationAreNobodys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := open(t, vfs.NewMem())
		f.send("old", iot.SystemValue{Name: iot.Ack, Value: "full"})
		f.mu.Lock()
		f.gen[dev] = "2"
		f.mu.Unlock()
		time.Sleep(2 * sweepEvery)
		synctest.Wait()
		if n := f.Count(dev); n != 0 {
			t.Errorf("%d commands for the new device", n)
		}
		f.expect("feedback", f.feedback())
	})
}

func TestD2_CommandsAndFeedbackSurviveAPowerCut(t *testing.T) {
	fs := vfs.NewCrashableMem()
	f := open(t, fs)
	full := iot.SystemValue{Name: iot.Ack, Value: "full"}
	f.send("waits", full)
	f.send("done", full)
	r := f.read(2)
	f.settle(r, 1, iot.Complete)
	if err := f.db.Flush(); err != nil { // or not: what was settled is synced
		t.Fatal(err)
	}
	f.send("last")

	again := open(t, fs.CrashClone(vfs.CrashCloneCfg{}))
	if n := again.Count(dev); n != 2 {
		t.Errorf("%d commands, want 2", n)
	}
	f.expect("feedback", again.feedback(), "done Success")
	r = again.read(5)
	if len(r.got) != 2 || string(r.got[0].Message.Body) != "waits" || string(r.got[1].Message.Body) != "last" {
		t.Errorf("delivered %v", r.bodies())
	}
	sys := r.got[0].Message.System
	if sys.Get(iot.To) != "/devices/dev/messages/devicebound" || sys.Get(iot.MessageID) != "waits" || sys.Get(iot.EnqueuedTime) == "" {
		t.Errorf("system properties %v", sys)
	}
}
