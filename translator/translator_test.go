package translator_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"sluice/iot"
	"sluice/translator"
	"sluice/translator/translatortest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start runs a translator until the test ends.
func start(t *testing.T, opt translator.Options) *translator.Translator {
	t.Helper()
	tr, err := translator.New(opt)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var run sync.WaitGroup
	run.Go(func() {
		if err := tr.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); run.Wait() })
	return tr
}

func leaf(t *testing.T, tr *translator.Translator, id string) translator.Leaf {
	t.Helper()
	l, err := tr.Leaf(id)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func text(s string) iot.Message { return iot.Message{Body: []byte(s)} }

func TestMessagesAreOfTheirLeaf(t *testing.T) {
	g := translatortest.New(t)
	tr := start(t, g.Options())
	m := text("21.5")
	m.System.Set(iot.ContentType, "text/plain")
	m.Properties = iot.Properties{{Key: "unit", Value: "C"}, {Key: "ITMTYPE", Value: "LeafGone"}, {Key: "leafdeviceid", Value: "other"}, {Key: "ModuleId", Value: "other"}}
	if err := leaf(t, tr, "thermo").Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	got := g.Messages()
	want := iot.Message{
		Body:       []byte("21.5"),
		System:     iot.System{{Name: iot.ContentType, Value: "text/plain"}, {Name: iot.OutputName, Value: "ptm_output"}},
		Properties: iot.Properties{{Key: "leafDeviceId", Value: "thermo"}, {Key: "moduleId", Value: translatortest.Module}, {Key: "unit", Value: "C"}},
	}
	if diff := cmp.Diff([]iot.Message{want}, got); diff != "" {
		t.Error(diff)
	}
	if len(m.Properties) != 4 || len(m.System) != 1 {
		t.Error("the caller's message was changed")
	}
}

func TestWhatALeafSaysOfItself(t *testing.T) {
	g := translatortest.New(t)
	tr := start(t, g.Options())
	l := leaf(t, tr, "a")
	for _, err := range []error{
		l.Hello(t.Context(), translator.Capabilities{Methods: true}),
		l.Report(t.Context(), json.RawMessage(`{"firmware":"1.2"}`)),
		l.Disable(t.Context()),
		l.Delete(t.Context()),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	var got []string
	for _, m := range g.Messages() {
		kind, _ := m.Properties.Get("itmtype")
		got = append(got, kind+" "+string(m.Body))
	}
	want := []string{
		`LeafHello {"methods":true,"desired":false,"commands":false}`,
		`LeafReported {"firmware":"1.2"}`,
		`LeafGone {"operation":"disable"}`,
		`LeafGone {"operation":"delete"}`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, patch := range []string{"", "1", "[]", "null", "{", `{"a":1}{}`} {
		if err := l.Report(t.Context(), json.RawMessage(patch)); iot.KindOf(err) != iot.Invalid {
			t.Errorf("a report of %q: %v", patch, err)
		}
	}
}

func TestIDsThatCannotBeALeafs(t *testing.T) {
	tr, err := translator.New(translatortest.New(t).Options())
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"", "a/b", "../a", "a+", "#", "a%2Fb", "$edgeHub", "EDGE-1", "edge-1", "ü", "a b", "a\x00", "\xff", strings.Repeat("a", 129)} {
		if _, err := tr.Leaf(id); iot.KindOf(err) != iot.Invalid || err == nil {
			t.Errorf("%q: %v", id, err)
		}
	}
	if _, err := tr.Leaf(strings.Repeat("a", 128)); err != nil {
		t.Error(err)
	}
}

func TestNothingIsAcknowledgedBeforeTheGatewayHasIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := translatortest.New(t)
		g.Hold()
		tr := start(t, g.Options())
		var acked atomic.Bool
		if err := leaf(t, tr, "a").Post(t.Context(), text("1"), func(err error) { acked.Store(err == nil) }); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if acked.Load() {
			t.Error("acknowledged while the gateway held it")
		}
		g.Release()
		synctest.Wait()
		if !acked.Load() {
			t.Error("not acknowledged")
		}
	})
}

func TestASlowGatewaySlowsTheSenderAndCostsNoMemory(t *testing.T) {
	for _, c := range []struct {
		name          string
		window, bytes int
		size, want    int
	}{
		{"by number", 10, 1 << 20, 10, 10},
		{"by bytes", 1000, 5000, 950, 5},
		{"a large message alone", 1000, 100, 950, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := translatortest.New(t)
				g.Hold()
				opt := g.Options()
				opt.Window, opt.WindowBytes = c.window, c.bytes
				tr := start(t, opt)
				var senders sync.WaitGroup
				var posted atomic.Int64
				for range 20 {
					senders.Go(func() {
						l := leaf(t, tr, "a")
						for range 5 {
							if err := l.Post(t.Context(), text(strings.Repeat("x", c.size)), func(error) {}); err != nil {
								t.Error(err)
							}
							posted.Add(1)
						}
					})
				}
				synctest.Wait()
				if got := int(posted.Load()); got != c.want || g.Held() != c.want {
					t.Errorf("%d were posted, %d sent, want %d", got, g.Held(), c.want)
				}
				g.Release()
				senders.Wait()
				synctest.Wait()
				if n := len(g.Messages()); n != 100 {
					t.Errorf("%d arrived", n)
				}
			})
		})
	}
}

func TestAPosterThatGivesUpLeavesItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := translatortest.New(t)
		g.Hold()
		opt := g.Options()
		opt.Window = 1
		tr := start(t, opt)
		l := leaf(t, tr, "a")
		post := func(ctx context.Context, s string) error { return l.Post(ctx, text(s), func(error) {}) }
		if err := post(t.Context(), "1"); err != nil {
			t.Fatal(err)
		}
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := post(short, "2"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a full window: %v", err)
		}
		g.Release()
		synctest.Wait()
		if err := post(t.Context(), "3"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := g.Bodies("a"); !slices.Equal(got, []string{"1", "3"}) {
			t.Errorf("arrived: %q", got)
		}
	})
}

// A connection that is cut at any moment costs no message that was posted, and none
// changes places with an earlier one.
func TestConnectionsThatAreCutLoseNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := translatortest.New(t)
		opt := g.Options()
		opt.Window = 16
		tr := start(t, opt)
		const senders, each = 5, 200
		var all sync.WaitGroup
		for s := range senders {
			all.Go(func() {
				l := leaf(t, tr, fmt.Sprint("leaf-", s))
				for i := range each {
					if err := l.Send(t.Context(), text(fmt.Sprint(i))); err != nil {
						t.Error(err)
					}
				}
			})
		}
		stop := make(chan struct{})
		var cutter sync.WaitGroup
		cutter.Go(func() {
			random := rand.New(rand.NewPCG(1, 2))
			for i := 0; ; i++ {
				g.Hold()
				time.Sleep(time.Duration(random.IntN(50)) * time.Millisecond)
				if random.IntN(2) == 0 {
					g.Cut(false)
				}
				g.Release()
				select {
				case <-stop:
					return
				case <-time.After(time.Duration(random.IntN(50)) * time.Millisecond):
				}
			}
		})
		all.Wait()
		close(stop)
		cutter.Wait()
		for s := range senders {
			next := 0
			for _, body := range g.Bodies(fmt.Sprint("leaf-", s)) {
				switch body {
				case fmt.Sprint(next):
					next++
				case fmt.Sprint(next - 1): // again
				default:
					t.Fatalf("leaf %d: %s when %d was next", s, body, next)
				}
			}
			if next != each {
				t.Errorf("leaf %d: %d of %d", s, next, each)
			}
		}
	})
}

func TestAMessageThatIsRefusedHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := translatortest.New(t)
		g.Refuse(func(m iot.Message) error {
			if string(m.Body) == "bad" {
				return iot.Errorf(iot.Invalid, "send", iot.Identity{}, "not this one")
			}
			return nil
		})
		tr, err := translator.New(g.Options())
		if err != nil {
			t.Fatal(err)
		}
		results := make(map[string]error)
		var mu sync.Mutex
		l := leaf(t, tr, "a")
		for _, body := range []string{"1", "2", "bad", "3", "4"} {
			if err := l.Post(t.Context(), text(body), func(err error) { mu.Lock(); results[body] = err; mu.Unlock() }); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		go func() { time.Sleep(time.Minute); cancel() }()
		if err := tr.Run(ctx); err != nil {
			t.Error(err)
		}
		if got := g.Bodies("a"); !slices.Equal(got, []string{"1", "2", "3", "4"}) {
			t.Errorf("arrived: %q", got)
		}
		if len(results) != 5 || iot.KindOf(results["bad"]) != iot.Invalid || results["bad"] == nil || results["1"] != nil || results["4"] != nil {
			t.Errorf("results: %v", results)
		}
		if err := l.Post(t.Context(), text(strings.Repeat("x", iot.MaxMessageSize)), nil); iot.KindOf(err) != iot.TooLarge {
			t.Errorf("too large: %v", err)
		}
	})
}

func TestWhatIsLeftAtTheEndIsNotAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := translatortest.New(t)
		g.Hold()
		opt := g.Options()
		opt.Window = 1
		tr, err := translator.New(opt)
		if err != nil {
			t.Fatal(err)
		}
		l := leaf(t, tr, "a")
		ctx, cancel := context.WithCancel(t.Context())
		var senders sync.WaitGroup
		for range 2 { // one is held by the gateway, one waits for room
			senders.Go(func() {
				if err := l.Send(t.Context(), text("x")); !errors.Is(err, translator.ErrClosed) {
					t.Errorf("at the end: %v", err)
				}
			})
		}
		go func() { time.Sleep(time.Second); cancel() }()
		if err := tr.Run(ctx); err != nil {
			t.Error(err)
		}
		senders.Wait()
		if err := l.Send(t.Context(), text("x")); !errors.Is(err, translator.ErrClosed) {
			t.Errorf("after the end: %v", err)
		}
		if tr.Run(t.Context()) == nil {
			t.Error("it ran a second time")
		}
	})
}

func TestTheGatewayMayTakeItsLastMessagesAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := translatortest.New(t)
		g.Hold()
		tr, err := translator.New(g.Options())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var result error
		var sender sync.WaitGroup
		sender.Go(func() { result = leaf(t, tr, "a").Send(t.Context(), text("bye")) })
		go func() {
			time.Sleep(time.Second)
			cancel()
			time.Sleep(500 * time.Millisecond)
			g.Release()
		}()
		if err := tr.Run(ctx); err != nil {
			t.Error(err)
		}
		if sender.Wait(); result != nil {
			t.Errorf("%v", result)
		}
	})
}

func TestMethodsAndCommandsAreAnswered(t *testing.T) {
	g := translatortest.New(t)
	opt := g.Options()
	opt.Method = func(c *translator.Call) {
		go c.Answer(200, json.RawMessage(fmt.Sprintf(`{"leaf":%q,"method":%q,"payload":%s}`, c.Leaf, c.Name, c.Payload)))
	}
	opt.Command = func(c *translator.Command) {
		outcome := iot.Complete
		if string(c.Message.Body) != "good" {
			outcome = iot.Reject
		}
		c.Settle(outcome)
		c.Settle(iot.Abandon) // has no effect
	}
	start(t, opt)
	if status, answer := g.Call("a", "open", `{"by":3}`); status != 200 || answer != `{"leaf":"a","method":"open","payload":{"by":3}}` {
		t.Errorf("%d %s", status, answer)
	}
	if got := g.Command("a", "good"); got != iot.Complete {
		t.Errorf("settled %v", got)
	}
	if got := g.Command("a", "bad"); got != iot.Reject {
		t.Errorf("settled %v", got)
	}
}

func TestWithoutFunctionsThereIsAnAnswerToo(t *testing.T) {
	g := translatortest.New(t)
	start(t, g.Options())
	if status, _ := g.Call("a", "open", ""); status != 501 {
		t.Errorf("status %d", status)
	}
	if got := g.Command("a", ""); got != iot.Reject {
		t.Errorf("settled %v", got)
	}
}

func TestInputsThatCannotBeAreIgnored(t *testing.T) {
	g := translatortest.New(t)
	opt := g.Options()
	got := make(chan string, 10)
	opt.Desired = func(l translator.Leaf, d translator.Desired) { got <- fmt.Sprint(l, string(d.Properties), d.Full) }
	opt.State = func(l translator.Leaf, s translator.State) { got <- fmt.Sprint(l, s) }
	start(t, opt)
	with := func(pairs ...string) (m iot.Message) {
		for i := 0; i < len(pairs); i += 2 {
			m.Properties.Set(pairs[i], pairs[i+1])
		}
		return m
	}
	for _, m := range []iot.Message{
		with(), with("leafDeviceId", "a/b", "itmtype", "LeafState"), with("leafDeviceId", "a"), with("leafDeviceId", "a", "itmtype", "Nothing"),
		with("leafDeviceId", "a", "itmtype", "LeafMethod"), with("leafDeviceId", "a", "itmtype", "LeafCommand"),
		with("leafDeviceId", "a", "itmtype", "LeafDesired"), with("leafDeviceId", "a", "itmtype", "LeafState", "state", "odd"),
		with("leafDeviceId", "a", "LEAFDEVICEID", "b", "itmtype", "LeafState", "state", "registered"),
	} {
		g.Input(m)
	}
	g.Desire("a", `{"rate":5,"$version":2}`, true)
	g.Desire("a", `{"rate":6,"$version":3}`, false)
	g.Tell("a", "refused", "not on the list")
	for _, want := range []string{`a{"rate":5,"$version":2}true`, `a{"rate":6,"$version":3}false`, `a {refused not on the list}`} {
		if s := <-got; s != want {
			t.Errorf("%s, not %s", s, want)
		}
	}
}

func TestItIsConfiguredByItsTwin(t *testing.T) {
	g := translatortest.New(t)
	opt := g.Options()
	got := make(chan string, 10)
	opt.Configure = func(desired json.RawMessage) error {
		got <- string(desired)
		if strings.Contains(string(desired), "bad") {
			return errors.New("this cannot be")
		}
		return nil
	}
	g.SetDesired(`{"rate":1}`)
	start(t, opt)
	for _, c := range []struct{ desired, reported string }{
		{`{"rate":1}`, `{"configuration":{"version":1,"status":200,"error":null}}`},
		{`{"bad":1}`, `{"configuration":{"version":2,"status":400,"error":"this cannot be"}}`},
		{`{"rate":2}`, `{"configuration":{"version":3,"status":200,"error":null}}`},
	} {
		if c.desired != `{"rate":1}` {
			g.SetDesired(c.desired)
		}
		if s := <-got; s != c.desired {
			t.Errorf("configured with %s, not %s", s, c.desired)
		}
		g.Reports(c.reported)
	}
}

func TestItSaysWhatIsMissing(t *testing.T) {
	t.Setenv("IOTEDGE_MODULEID", "")
	_, err := translator.New(translator.Options{})
	if err == nil || !strings.Contains(err.Error(), "this process is no module of a gateway") {
		t.Error(err)
	}
	g := translatortest.New(t)
	if _, err := translator.New(translator.Options{Connect: g.Connect}); err == nil {
		t.Error("it is nobody's module")
	}
	if _, err := translator.New(translator.Options{Connect: g.Connect, ModuleID: "m", Window: -1}); err == nil {
		t.Error("a negative window")
	}
}

func TestASecondQuestionIsNotAskedTwice(t *testing.T) {
	g := translatortest.New(t)
	opt := g.Options()
	var asked atomic.Int64
	opt.Command = func(c *translator.Command) { asked.Add(1); c.Settle(iot.Complete) }
	start(t, opt)
	g.Command("a", "x")
	var again iot.Message
	again.Properties = iot.Properties{{Key: "leafDeviceId", Value: "a"}, {Key: "itmtype", Value: "LeafCommand"}}
	again.System.Set(iot.MessageID, "question-1")
	g.Input(again)
	if g.Command("a", "y"); asked.Load() != 2 {
		t.Errorf("asked %d times", asked.Load())
	}
}

func BenchmarkPost(b *testing.B) {
	g := translatortest.New(b)
	tr, err := translator.New(g.Options())
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	var run sync.WaitGroup
	run.Go(func() { _ = tr.Run(ctx) })
	l, err := tr.Leaf("pump-7")
	if err != nil {
		b.Fatal(err)
	}
	m := iot.Message{Body: []byte(`{"temperature":21.5,"pressure":1.013,"valve":"open"}`), Properties: iot.Properties{{Key: "line", Value: "4"}}}
	b.SetBytes(int64(len(m.Body)))
	b.ReportAllocs()
	for b.Loop() {
		if err := l.Post(ctx, m, func(error) {}); err != nil {
			b.Fatal(err)
		}
	}
	cancel()
	run.Wait()
}
