package method

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"sluice/iot"
)

// W4, B9: calls that nobody answers do not stay for ever, and there is an end to how many
// may wait.
func TestB9_CallsThatAreNotAnsweredAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, last := new(Calls), 0
		add := func(timeout time.Duration) bool {
			last++
			return c.Add(fmt.Sprint(last), iot.MethodCall{ResponseTimeout: timeout}, func(iot.MethodResult) { t.Error("answered") })
		}
		waiting := func() int {
			c.mu.Lock()
			defer c.mu.Unlock()
			return len(c.byID)
		}
		for range 100 {
			add(5 * time.Second)
		}
		for range 10 {
			add(time.Minute)
		}
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if n := waiting(); n != 10 {
			t.Errorf("%d calls are remembered, want the 10 that have a minute", n)
		}
		for range 2 * MaxCalls {
			add(5 * time.Second)
		}
		if n := waiting(); n != MaxCalls {
			t.Errorf("%d calls wait, want %d", n, MaxCalls)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if n := waiting(); n != 0 || c.sweep != nil {
			t.Errorf("%d calls are remembered, sweep %v", n, c.sweep)
		}
		if !add(0) {
			t.Error("no room for a call")
		}
		c.Close()
		if add(0) {
			t.Error("a call was taken after Close")
		}
	})
}

func TestTheFirstAnswerInTimeCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c Calls
		defer c.Close()
		var got []int
		note := func(r iot.MethodResult) { got = append(got, r.Status) }
		c.Add("a", iot.MethodCall{}, note)
		c.Add("b", iot.MethodCall{ResponseTimeout: time.Second}, note)
		time.Sleep(2 * time.Second)
		for i, id := range []string{"a", "a", "b", "c"} {
			c.Answer(id, iot.MethodResult{Status: 200 + i})
		}
		if fmt.Sprint(got) != "[200]" {
			t.Errorf("passed on: %v, want [200]", got)
		}
	})
}

func TestPayloadIsJSON(t *testing.T) {
	for answer, want := range map[string]string{"": "", `{"a":1}`: `{"a":1}`, "null": "null", "done": `"done"`, "\xff": `"\ufffd"`} {
		if got := string(Payload([]byte(answer))); got != want {
			t.Errorf("Payload(%q) = %s, want %s", answer, got, want)
		}
	}
}
