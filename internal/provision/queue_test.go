package provision

import (
	"fmt"
	"testing"
	"time"

	"sluice/internal/leafwire"
	"sluice/iot"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// bench is a queue and its time.
type bench struct {
	*queue
	now    time.Time
	number uint64
}

func newBench(rate float64) *bench { return &bench{queue: newQueue(rate), now: noon} }

func (b *bench) ask(sender, leaf string, o leafwire.Operation) (superfluous uint64) {
	b.number++
	r := Request{Sender: iot.ModuleIdentity(sender, "itm"), Leaf: leaf, Operation: o, At: b.now}
	superfluous, _ = b.add(b.number, r, b.now)
	return superfluous
}

// take begins what there is to do now.
func (b *bench) take() (tasks []*task) {
	for {
		t, _ := b.next(b.now)
		if t == nil {
			return tasks
		}
		tasks = append(tasks, t)
	}
}

func names(tasks []*task) (list string) {
	for _, t := range tasks {
		list += fmt.Sprintf("%s:%s.%s ", t.request.Sender.Device, t.request.Leaf, t.request.Operation)
	}
	return list
}

func (b *bench) expect(t *testing.T, want string) []*task {
	t.Helper()
	got := b.take()
	if names(got) != want {
		t.Errorf("to do: %s; want %s", names(got), want)
	}
	return got
}

func TestOfALeafOneRequestIsDoneAtATimeAndTheLatestLast(t *testing.T) {
	b := newBench(1000)
	b.ask("s", "a", leafwire.Create)
	if n := b.ask("s", "a", leafwire.Disable); n != 1 {
		t.Errorf("superfluous: %d, want the first", n)
	}
	first := b.expect(t, "s:a.disable ")
	b.ask("s", "a", leafwire.Delete)
	if n := b.ask("s", "a", leafwire.Create); n != 3 {
		t.Errorf("superfluous: %d, want the delete that has not begun", n)
	}
	b.expect(t, "")
	// The one that was done has failed: the later takes its place all the same.
	if !b.finish(first[0], failed, b.now, 0) {
		t.Error("it will be done again after the later one")
	}
	second := b.expect(t, "s:a.create ")
	if b.count != 1 {
		t.Errorf("%d are open", b.count)
	}
	b.finish(second[0], answered, b.now, 0)
	if b.count != 0 {
		t.Errorf("%d are open", b.count)
	}
}

func TestWhatWasOvertakenOnItsWayIsNotDone(t *testing.T) {
	b := newBench(1000)
	b.ask("s", "a", leafwire.Delete)
	b.now = b.now.Add(-time.Second)
	if n := b.ask("s", "a", leafwire.Create); n != 2 {
		t.Errorf("superfluous: %d, want the earlier create", n)
	}
	b.now = b.now.Add(time.Second)
	b.expect(t, "s:a.delete ")
}

func TestGatewaysTakeTurns(t *testing.T) {
	b := newBench(1000)
	for i := range 3 {
		b.ask("one", fmt.Sprint(i), leafwire.Create)
	}
	b.ask("two", "x", leafwire.Create)
	if got := names(b.take()); got != "one:0.create two:x.create one:1.create one:2.create " &&
		got != "two:x.create one:0.create one:1.create one:2.create " {
		t.Error(got)
	}
}

func TestAModuleThatDoesNotAnswerIsAskedWithOneRequestAtATime(t *testing.T) {
	b := newBench(1000)
	for i := range 4 {
		b.ask("s", fmt.Sprint(i), leafwire.Create)
	}
	b.ask("other", "x", leafwire.Create)
	tasks := b.take()
	if len(tasks) != 5 {
		t.Fatal(names(tasks))
	}
	for _, one := range tasks {
		r := deskMute
		if one.request.Leaf == "x" {
			r = answered
		}
		b.finish(one, r, b.now, 0)
	}
	b.ask("other", "y", leafwire.Create)
	b.expect(t, "other:y.create ")
	tries := 0
	for b.now.Before(noon.Add(time.Hour)) {
		_, at := b.next(b.now)
		if pause := at.Sub(b.now); pause <= 0 || pause > maxPause*5/4 {
			t.Fatalf("after %d tries the pause is %s", tries, pause)
		}
		b.now = at
		one := b.take()
		if len(one) > 1 {
			t.Fatalf("%s are tried at once", names(one))
		}
		if len(one) == 1 {
			b.finish(one[0], deskMute, b.now, 0)
			tries++
		}
	}
	if tries < 45 || tries > 70 {
		t.Errorf("%d tries in an hour", tries)
	}
	// Whoever asks is there; and once one is answered all others follow.
	b.ask("s", "new", leafwire.Create)
	tasks = b.take()
	b.now = b.now.Add(2 * maxPause)
	for _, one := range append(tasks, b.take()...) {
		b.finish(one, answered, b.now, 0)
	}
	if b.count != 1 { // y of the other
		t.Errorf("%d are open", b.count)
	}
}

func TestABusyHubIsLeftAloneAsLongAsItSays(t *testing.T) {
	b := newBench(1000)
	b.ask("one", "a", leafwire.Create)
	b.ask("two", "b", leafwire.Create)
	tasks := b.take()
	b.finish(tasks[0], hubFailed, b.now, 40*time.Second)
	b.finish(tasks[1], hubFailed, b.now, 0)
	b.ask("three", "c", leafwire.Create)
	for _, after := range []time.Duration{0, 20 * time.Second, 39 * time.Second} {
		b.now = noon.Add(after)
		b.expect(t, "")
	}
	b.now = noon.Add(2 * time.Minute)
	one := b.take()
	if len(one) != 1 {
		t.Fatalf("%s, want one to try", names(one))
	}
	b.finish(one[0], answered, b.now, 0)
	if rest := b.take(); len(rest) != 2 {
		t.Errorf("%s, want the other two", names(rest))
	}
}

func TestZ10_RequestsOfAModuleAreDoneNoFasterThanItsRate(t *testing.T) {
	b := newBench(50)
	done := 0
	step := func() {
		for _, one := range b.take() {
			b.finish(one, answered, b.now, 0)
			done++
		}
	}
	// A thousand new ids a second, for ten seconds; whatever is done leaves the desk
	// empty at times.
	for i := range 10_000 {
		b.ask("s", fmt.Sprint(i), leafwire.Create)
		b.now = b.now.Add(time.Millisecond)
		step()
	}
	if done < 500 || done > 600 {
		t.Errorf("%d were done in ten seconds at 50 a second", done)
	}
	_, at := b.next(b.now)
	if at.IsZero() || at.Sub(b.now) > 20*time.Millisecond {
		t.Errorf("the next may begin at %s, now it is %s", at, b.now)
	}
}

func TestTheRateIsNotForgottenWithTheDesk(t *testing.T) {
	b := newBench(10)
	done := 0
	for i := range 100 {
		b.ask("s", fmt.Sprint(i), leafwire.Create)
		b.ask(fmt.Sprint("other", i), "x", leafwire.Create) // desks are tidied then
		for _, one := range b.take() {
			b.finish(one, answered, b.now, 0)
			if one.request.Sender.Device == "s" {
				done++
			}
		}
	}
	if done > 11 {
		t.Errorf("%d at once", done)
	}
	b.now = b.now.Add(time.Hour)
	for b.count > 0 {
		for _, one := range b.take() {
			b.finish(one, answered, b.now, 0)
		}
		b.now = b.now.Add(time.Second)
	}
	b.now = b.now.Add(time.Hour)
	b.ask("last", "x", leafwire.Create)
	if len(b.desks) != 1 || len(b.bySender) != 1 {
		t.Errorf("%d desks are left of those that are empty", len(b.desks)-1)
	}
}

func BenchmarkQueue(b *testing.B) {
	q := newQueue(1e9)
	now := noon
	r := Request{Sender: iot.ModuleIdentity("site-1", "itm"), Operation: leafwire.Create, At: now}
	for i := range 10_000 {
		r.Leaf = fmt.Sprint(i)
		q.add(uint64(i), r, now)
	}
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(time.Second)
		t, _ := q.next(now)
		q.finish(t, answered, now, 0)
		q.add(t.number, t.request, now)
	}
}
