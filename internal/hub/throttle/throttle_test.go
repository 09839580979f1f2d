package throttle

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestAMinutesWorthAndThenTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th, err := New("S1x2", nil)
		if err != nil {
			t.Fatal(err)
		}
		for n := range 40 {
			if _, ok := th.Take(Query, 1); !ok {
				t.Fatalf("query %d is refused", n)
			}
		}
		again, ok := th.Take(Query, 1)
		if ok || again <= 0 || again > 1500*time.Millisecond {
			t.Fatalf("query 41: %v, again after %v", ok, again)
		}
		if _, ok := th.Take(TwinRead, 100); !ok {
			t.Error("queries stand in the way of twins")
		}
		time.Sleep(again)
		if _, ok := th.Take(Query, 1); !ok {
			t.Error("refused at the time that was named")
		}
		if _, ok := th.Take(Query, 1); ok {
			t.Error("two at that time")
		}
		time.Sleep(time.Hour)
		for range 40 {
			th.Take(Query, 1)
		}
		if _, ok := th.Take(Query, 1); ok {
			t.Error("an hour of silence allows more than a minute's worth")
		}
	})
}

func TestSizesOfHubs(t *testing.T) {
	for size, want := range map[string]float64{
		"S1": 100, "s1x1": 100, "F1": 100, "B1X9": 108, "S2": 120, "S3x10": 60_000,
		"": 0, "S4": 0, "S": 0, "S1x": 0, "S1x0": 0, "S1x-1": 0, "S3x11": 0, "F1x2": 0, "F2": 0, "SS1": 0, "S12": 0, "1": 0,
	} {
		th, err := New(size, nil)
		if (err != nil) != (want == 0) || err == nil && th.buckets[Send].rate != want {
			t.Errorf("%q: %v, %v", size, th, err)
		}
	}
}

func TestWithoutAThrottleNothingIsRefused(t *testing.T) {
	var none *Throttle
	if _, ok := none.Take(Query, 1e9); !ok {
		t.Error("refused")
	}
	some, err := New("F1", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := some.Take(Free, 1e9); !ok {
		t.Error("refused what is free")
	}
	if Units(0) != 1 || Units(4096) != 1 || Units(4097) != 2 {
		t.Error("methods are counted in units of 4 KiB")
	}
}
