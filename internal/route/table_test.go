package route

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/iot"
)

func rule(t testing.TB, name string, priority int, text string) Rule {
	t.Helper()
	return Rule{Name: name, Priority: priority, Route: mustParse(t, text)}
}

func mustTable(t testing.TB, rules ...Rule) *Table {
	t.Helper()
	table, err := NewTable(rules...)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// Each endpoint gets one copy, as the most urgent route has it.
func TestOneCopyForEachEndpoint(t *testing.T) {
	late := rule(t, "a", DefaultPriority, "FROM /* INTO $upstream")
	urgent := rule(t, "z", 0, "FROM /messages WHERE level = 'high' INTO $upstream")
	urgent.TTL = time.Minute
	also := rule(t, "y", 0, "FROM /messages/* WHERE level = 'high' INTO $UPSTREAM")
	module := rule(t, "m", 5, `FROM /messages INTO BrokeredEndpoint("/modules/m/inputs/i")`)
	upper := rule(t, "M", 5, `FROM /messages INTO BrokeredEndpoint("/modules/M/inputs/i")`)
	table := mustTable(t, late, urgent, also, module, upper)

	high := &iot.Message{Properties: iot.Properties{{Key: "level", Value: "high"}}}
	want := []Target{
		{Endpoint: Upstream, Priority: 0, Route: "y"},
		{Endpoint: Endpoint{"M", "i"}, Priority: 5, Route: "M"},
		{Endpoint: Endpoint{"m", "i"}, Priority: 5, Route: "m"},
	}
	if diff := cmp.Diff(want, byPriority(table.Match(high, Source{}))); diff != "" {
		t.Error(diff)
	}
	low := &iot.Message{Properties: iot.Properties{{Key: "level", Value: "low"}}}
	want[0] = Target{Endpoint: Upstream, Priority: DefaultPriority, Route: "a"}
	if diff := cmp.Diff(byPriority(want), byPriority(table.Match(low, Source{}))); diff != "" {
		t.Error(diff)
	}
	if got := table.Match(low, Source{TwinChange: true}); len(got) != 1 || got[0].Route != "a" {
		t.Errorf("twin change: %v", got)
	}
	if got := len(table.Endpoints()); got != 3 {
		t.Errorf("%d endpoints", got)
	}
}

func TestTheUrgentRouteGivesItsTimeToLive(t *testing.T) {
	a := rule(t, "a", 3, "FROM /* INTO $upstream")
	a.TTL = time.Hour
	b := rule(t, "b", 2, "FROM /messages INTO $upstream")
	b.TTL = time.Minute
	if got := mustTable(t, a, b).Match(&iot.Message{}, Source{}); len(got) != 1 || got[0].TTL != time.Minute {
		t.Errorf("%v", got)
	}
}

func TestNoRouteIsNoTarget(t *testing.T) {
	table := mustTable(t, rule(t, "a", 1, "FROM /messages/modules/m INTO $upstream"))
	if got := table.Match(&iot.Message{}, Source{}); got != nil {
		t.Errorf("%v", got)
	}
	if got := mustTable(t).Match(&iot.Message{}, Source{}); got != nil {
		t.Errorf("%v", got)
	}
}

func TestRulesAreChecked(t *testing.T) {
	r := mustParse(t, "FROM /* INTO $upstream")
	for _, rules := range [][]Rule{
		{{Name: "a", Route: r, Priority: 10}},
		{{Name: "a", Route: r, Priority: -1}},
		{{Name: "a", Route: r, TTL: -time.Second}},
		{{Name: "a"}},
		{{Name: "a", Route: r}, {Name: "a", Route: r, Priority: 3}},
	} {
		if _, err := NewTable(rules...); err == nil || !strings.Contains(err.Error(), `"a"`) {
			t.Errorf("%+v: %v", rules, err)
		}
	}
}

// byPriority sorts targets so that they can be compared.
func byPriority(targets []Target) []Target {
	slices.SortFunc(targets, func(a, b Target) int {
		return strings.Compare(fmt.Sprintf("%010d %s", a.Priority, a.Endpoint), fmt.Sprintf("%010d %s", b.Priority, b.Endpoint))
	})
	return targets
}

// A table finds what trying each route by itself finds.
func TestTableAgreesWithItsRoutes(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 24))
		var rules []Rule
		for i := range 1 + r.IntN(60) {
			text := fmt.Sprintf("FROM %s %s INTO %s", pick(r, someSources), pick(r, someConditions), someSink(r))
			priority := r.IntN(11)
			if priority == 10 {
				priority = DefaultPriority
			}
			rules = append(rules, rule(t, fmt.Sprintf("r%02d", i), priority, text))
		}
		table := mustTable(t, rules...)
		for range 20 {
			msg := someMessage(r)
			src := SourceOf(msg)
			if diff := cmp.Diff(tryAll(rules, msg, src), byPriority(table.Match(msg, src))); diff != "" {
				t.Fatalf("seed %d, %s, %v: %s", seed, src, msg, diff)
			}
			checkVerdicts(t, table, msg, src)
		}
	}
}

// checkVerdicts: what Explain says is what Match does.
func checkVerdicts(t *testing.T, table *Table, msg *iot.Message, src Source) {
	t.Helper()
	targets := table.Match(msg, src)
	for _, v := range table.Explain(msg, src) {
		taken := slices.ContainsFunc(targets, func(g Target) bool { return g.Route == v.Name })
		if v.Taken != taken {
			t.Fatalf("route %s taken: %v, explained as %v", v.Name, taken, v.Taken)
		}
		if v.FromMatches && v.Result != True && len(v.Parts) == 0 {
			t.Fatalf("route %s: nothing is to blame for %s being %v", v.Name, v.Route.Condition(), v.Result)
		}
	}
}

var (
	someSources = []string{"/*", "/messages", "/messages/modules/*", "/messages/modules/a", "/messages/modules/A/outputs/x",
		"/messages/modules/b/outputs", "/messages/events", "/twinChangeNotifications"}
	someConditions = []string{"", "", "WHERE kind = 'a'", "WHERE 'b' = kind", "WHERE KIND = 'c' AND level = '1'", "WHERE level = '1' AND $cid = '7'",
		"WHERE {$cid} = '7'", "WHERE kind = 'a' OR level = '2'", "WHERE $body.t > 1", "WHERE $body.t > 1 AND kind = 'a'",
		"WHERE kind = 'a' AND null", "WHERE kind = 'a' AND kind = 'b'", "WHERE NOT (kind = 'a')", "WHERE level > '1' AND true", "WHERE kind",
		"WHERE as_number(level) = 1", "WHERE 2 = as_number(level) AND kind = 'a'", "WHERE $body.t = 1", "WHERE $body.t = 2 AND kind != 'b'",
		"WHERE {$BODY.t} = 1", "WHERE $body.t = '1'", "WHERE $body.u = null", "WHERE $body.u = null AND $body.t = 2", "WHERE length(kind) = 1", "WHERE (kind = 'a') = true"}
)

func pick(r *rand.Rand, list []string) string { return list[r.IntN(len(list))] }

func someSink(r *rand.Rand) string {
	if r.IntN(3) == 0 {
		return "$upstream"
	}
	return fmt.Sprintf(`BrokeredEndpoint("/modules/m/inputs/i%d")`, r.IntN(30))
}

func someMessage(r *rand.Rand) *iot.Message {
	m := &iot.Message{Body: []byte(pick(r, []string{`{"t":1}`, `{"t":2}`, `{}`, `x`}))}
	set := func(name iot.SystemName, values ...string) { m.System.Set(name, pick(r, values)) }
	set(iot.MessageType, "", "", "", "", "twinChangeNotification")
	set(iot.ConnectionModuleID, "", "a", "A", "b")
	set(iot.OutputName, "", "x", "X")
	set(iot.CorrelationID, "", "7")
	set(iot.ContentType, "", "application/json", "application/json")
	set(iot.ContentEncoding, "utf-8")
	for _, key := range []string{"kind", "level"} {
		if v := pick(r, []string{"", "a", "b", "c", "1", "2"}); v != "" {
			m.Properties.Set(key, v)
		}
	}
	return m
}

// tryAll is the slow way to match.
func tryAll(rules []Rule, msg *iot.Message, src Source) []Target {
	best := map[Endpoint]Target{}
	for _, r := range rules {
		c := r.Route.Condition()
		if !r.Route.From().Match(src) || c != nil && c.Eval(msg) != True {
			continue
		}
		g := Target{Endpoint: r.Route.Into(), Priority: r.Priority, TTL: r.TTL, Route: r.Name}
		if old, ok := best[g.Endpoint]; !ok || before(g, old) {
			best[g.Endpoint] = g
		}
	}
	var out []Target
	for _, g := range best {
		out = append(out, g)
	}
	return byPriority(out)
}

// Tables and conditions can be shared, and tables exchanged while in use.
func TestL4_TablesAreExchangedUnderLoad(t *testing.T) {
	old := mustTable(t, rule(t, "old", 1, "FROM /* WHERE $body.machine.temperature > 80 INTO $upstream"))
	fresh := mustTable(t, rule(t, "fresh", 1, `FROM /* WHERE $body.machine.state = 'running' INTO BrokeredEndpoint("/modules/m/inputs/i")`))
	var current atomic.Pointer[Table]
	current.Store(old)
	var work sync.WaitGroup
	for range 4 {
		work.Go(func() {
			msg := telemetry()
			for range 500 {
				if got := current.Load().Match(msg, Source{}); len(got) != 1 {
					t.Errorf("%v", got)
				}
			}
		})
	}
	for i := range 100 {
		current.Store([]*Table{old, fresh}[i%2])
	}
	work.Wait()
}

// Matching costs no memory unless a condition makes strings.
func TestMatchAllocatesNothing(t *testing.T) {
	table := mustTable(t,
		rule(t, "a", 1, "FROM /messages WHERE unit = 'C' AND as_number(level) > 5 AND $connectionDeviceId = 'pump-7' INTO $upstream"),
		rule(t, "b", 1, `FROM /messages WHERE $body.machine.temperature > 80 INTO BrokeredEndpoint("/modules/m/inputs/i")`))
	msg, targets := telemetry(), make([]Target, 0, 2)
	if n := testing.AllocsPerRun(100, func() { targets = table.AppendMatch(targets[:0], msg, SourceOf(msg)) }); n > 0 && !racing {
		t.Errorf("%v allocations", n)
	}
	if len(targets) != 2 {
		t.Errorf("%d targets", len(targets))
	}
}

// A frame that goes back to the pool holds nothing of a message.
func TestFramesForget(t *testing.T) {
	table := mustTable(t, rule(t, "a", 1, "FROM /* WHERE $body.secret = 'x' INTO $upstream"))
	f := newFrame(jsonMessage([]byte(`{"secret":"hidden"}`)), table.paths)
	f.readBody()
	if f.body.value(0).str != "hidden" {
		t.Fatal("the body was not read")
	}
	found := f.body.found
	f.release()
	if found[0].value.str != "" {
		t.Error("the pool keeps a message's text")
	}
}

func TestParseRules(t *testing.T) {
	rules, err := ParseRules([]byte(`{
		"b": "FROM /* INTO $upstream",
		"a": {"route": "FROM /messages INTO $upstream", "priority": 0, "timeToLiveSecs": 60},
		"c": {"route": "FROM /messages INTO $upstream", "priority": 2000000000, "timeToLiveSecs": 0},
		"blank": " ", "gone": null}`))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range rules {
		got = append(got, fmt.Sprintf("%s %d %v %s", r.Name, r.Priority, r.TTL, r.Route))
	}
	want := []string{"a 0 1m0s FROM /messages/* INTO $upstream", "b 2000000000 0s FROM /* INTO $upstream", "c 2000000000 0s FROM /messages/* INTO $upstream"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestParseRulesTellsEachBadOne(t *testing.T) {
	rules, err := ParseRules([]byte(`{"good": "FROM /* INTO $upstream", "number": 3, "list": [], "bad": "FROM", "empty": {},
		"ten": {"route": "FROM /* INTO $upstream", "priority": 10}, "minus": {"route": "FROM /* INTO $upstream", "priority": -1},
		"half": {"route": "FROM /* INTO $upstream", "priority": 1.5}, "text": {"route": "FROM /* INTO $upstream", "priority": "high"},
		"ttl": {"route": "FROM /* INTO $upstream", "timeToLiveSecs": -1}, "long": {"route": "FROM /* INTO $upstream", "timeToLiveSecs": 4294967296},
		"": "FROM /* INTO $upstream", "object": {"route": ""}}`))
	if len(rules) != 1 {
		t.Errorf("%d good rules", len(rules))
	}
	for _, name := range []string{"number", "list", "bad", "empty", "ten", "minus", "half", "text", "ttl", "long", "", "object"} {
		if !strings.Contains(err.Error(), fmt.Sprintf("route %q: ", name)) {
			t.Errorf("nothing is said of %q", name)
		}
	}
	for _, text := range []string{"", "[]", "3", `{"a"`} {
		if _, err := ParseRules([]byte(text)); err == nil {
			t.Errorf("no error for %q", text)
		}
	}
}

func FuzzParseRules(f *testing.F) {
	f.Add([]byte(`{"a":{"route":"FROM /* INTO $upstream","priority":1,"timeToLiveSecs":2},"b":"FROM /* INTO $upstream","c":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		rules, _ := ParseRules(data)
		if _, err := NewTable(rules...); err != nil {
			t.Errorf("%q: %v", data, err)
		}
	})
}

// Explain names what was false or undefined, and what it was made of.
func TestExplain(t *testing.T) {
	table := mustTable(t,
		rule(t, "1", 1, "FROM /messages WHERE unit = 'C' AND (as_number(level) > 8 OR missing = 'x') INTO $upstream"),
		rule(t, "2", 1, "FROM /messages WHERE NOT (unit = 'C' OR site = 'south') INTO $upstream"),
		rule(t, "3", 1, "FROM /messages WHERE $body.none.at.all > 5 AND $body.timeCreated = 'x' INTO $upstream"),
		rule(t, "4", 1, "FROM /messages/modules/m INTO $upstream"),
		rule(t, "5", 1, "FROM /messages INTO $upstream"),
		rule(t, "6", 1, "FROM /* INTO $upstream"))
	var got strings.Builder
	for _, v := range table.Explain(telemetry(), Source{}) {
		fmt.Fprintf(&got, "%s from=%v %v taken=%v outdone=%s\n", v.Name, v.FromMatches, v.Result, v.Taken, v.OutdoneBy)
		for _, p := range v.Parts {
			fmt.Fprintf(&got, "  %s is %s\n", p.Text, p.Result)
			for _, in := range p.Inputs {
				fmt.Fprintf(&got, "    %s is %s; %s\n", in.Text, in.Value, in.Note)
			}
		}
	}
	want := `1 from=true undefined taken=false outdone=
  as_number(level) > 8 is false
    as_number(level) is 7; 
    level is '7'; 
  missing = 'x' is undefined
    missing is undefined; the message has no such application property
2 from=true false taken=false outdone=
  unit = 'C' is true
    unit is 'C'; 
3 from=true undefined taken=false outdone=
  $body.none.at.all > 5 is undefined
    $body.none.at.all is null; what is missing in a body is null
  $body.timeCreated = 'x' is undefined
    $body.timeCreated is undefined; objects, arrays and times are undefined to conditions
4 from=false undefined taken=false outdone=
5 from=true true taken=true outdone=
6 from=true true taken=false outdone=5
`
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Error(diff)
	}
}
