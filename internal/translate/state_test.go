package translate

import (
	"testing"
	"time"

	"sluice/internal/leafwire"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func TestAnswersInEveryState(t *testing.T) {
	p := defaultPatience
	created := func(code int) leafwire.Callback {
		return leafwire.Callback{DeviceID: "l", ResultCode: code, Operation: leafwire.Create}
	}
	unsaid := func(code int) leafwire.Callback { return leafwire.Callback{DeviceID: "l", ResultCode: code} }
	done := func(op leafwire.Operation, code int) leafwire.Callback {
		return leafwire.Callback{DeviceID: "l", ResultCode: code, Operation: op}
	}
	for _, c := range []struct {
		from   State
		op     leafwire.Operation // of Retiring
		answer leafwire.Callback
		want   State
	}{
		{Fresh, "", created(201), Registered},
		{Registering, "", created(200), Registered},
		{Registering, "", unsaid(201), Registered},
		{Registering, "", created(400), Refused},
		{Registering, "", unsaid(401), Refused},
		{Registering, "", created(403), Refused},
		{Registering, "", created(404), Refused},
		{Registering, "", created(500), Registering},
		{Registering, "", created(429), Registering},
		{Registering, "", done(leafwire.Disable, 200), Disabled},
		{Registered, "", created(200), Registered},
		{Registered, "", created(400), Registered}, // late: a device that is there is not undone by it
		{Registered, "", done(leafwire.Disable, 200), Disabled},
		{Registered, "", done(leafwire.Delete, 200), Deleted},
		{Registered, "", done(leafwire.Delete, 500), Registered},
		{Refused, "", created(201), Registered}, // the cloud changed its mind
		{Refused, "", created(400), Refused},
		{Retiring, leafwire.Disable, unsaid(200), Disabled},
		{Retiring, leafwire.Delete, unsaid(200), Deleted},
		{Retiring, leafwire.Delete, done(leafwire.Delete, 404), Deleted},
		{Retiring, leafwire.Disable, done(leafwire.Disable, 403), Registered},
		{Retiring, leafwire.Delete, done(leafwire.Delete, 500), Retiring},
		{Retiring, leafwire.Delete, created(200), Retiring}, // of the question before
		{Disabled, "", created(200), Registered},
		{Deleted, "", created(201), Registered},
	} {
		l := Leaf{ID: "l", State: c.from, Operation: c.op}
		if got := l.answered(c.answer, &p, noon); got.State != c.want {
			t.Errorf("%s, answered %+v, becomes %s, want %s", c.from, c.answer, got.State, c.want)
		} else if got.State == Refused && c.from != Refused && got.Due != noon.Add(p.Refusal) {
			t.Errorf("the refusal is remembered until %v", got.Due)
		}
	}
}

func TestWhoSpeaksAgain(t *testing.T) {
	for _, c := range []struct {
		from  State
		hello bool
		after time.Duration // the refusal is forgotten
		want  State
	}{
		{Refused, false, time.Minute, Refused}, {Refused, false, -time.Minute, Fresh}, {Refused, false, 0, Fresh},
		{Deleted, false, 0, Fresh}, {Disabled, false, 0, Disabled}, {Disabled, true, 0, Fresh},
		{Registered, true, 0, Registered}, {Registering, true, 0, Registering}, {Retiring, true, 0, Retiring},
	} {
		l := Leaf{State: c.from, Due: noon.Add(c.after)}
		if got := l.spoke(c.hello, noon); got.State != c.want {
			t.Errorf("%s becomes %s, want %s", c.from, got.State, c.want)
		}
	}
}

func TestRequestsAreRepeatedLaterEachTimeAndNotAtOnce(t *testing.T) {
	p := defaultPatience
	l := Leaf{ID: "l", State: Fresh}
	for tries := range 40 {
		l = l.asked(&p, noon)
		if l.State != Registering || l.operation() != leafwire.Create {
			t.Fatalf("%+v", l)
		}
		full := p.AskLongest
		if tries < 5 {
			full = min(full, p.AskAgain<<tries)
		}
		if wait := l.Due.Sub(noon); wait < full/2 || wait > full {
			t.Errorf("after %d tries it waits %v, want %v to %v", tries, wait, full/2, full)
		}
	}
}

func TestZ10_RequestsToTheCloudKeepTheirPace(t *testing.T) {
	p := pace{each: 100 * time.Millisecond, burst: time.Second}
	waited := 0
	for range 30 {
		if p.next(noon) > 0 {
			waited++
		}
	}
	if waited != 20 {
		t.Errorf("%d of 30 waited, want all but a second's worth", waited)
	}
	if wait := p.next(noon.Add(time.Hour)); wait > 0 {
		t.Errorf("after an hour's rest it waits %v", wait)
	}
}

// A clock that is set back by a day holds nobody off for a day.
func TestT1_AClockSetBack(t *testing.T) {
	p := defaultPatience
	for state, longest := range map[State]time.Duration{Registering: p.AskLongest, Retiring: p.AskLongest, Refused: p.Refusal} {
		l := Leaf{State: state, Due: noon.Add(24 * time.Hour)}
		if got := l.clamp(&p, noon); got.Due != noon.Add(longest) {
			t.Errorf("%s is due %v, want after %v", state, got.Due, longest)
		}
	}
}
