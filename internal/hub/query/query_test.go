package query

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"sluice/iot"
)

func parse(t testing.TB, text string) *Query {
	t.Helper()
	q, err := Parse(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return q
}

func TestSelection(t *testing.T) {
	r := row(t, oneTwin)
	for _, c := range []struct{ query, want string }{
		{`SELECT * FROM devices`, oneTwin},
		{`select deviceId from devices`, `{"deviceId":"d-1"}`},
		{`SELECT DeviceID, LastActivityTime FROM devices`, `{"DeviceID":"d-1","LastActivityTime":"2024-02-29T12:00:00.1234567Z"}`},
		{`SELECT tags.site AS place, properties.desired.n FROM devices`, `{"place":"hall 4","n":1.50}`},
		{`SELECT tags.deep.a AS [[my a]], tags.none FROM devices.modules`, `{"my a":{"b":true}}`},
		{`SELECT tags.none FROM devices`, `{}`},
		{`SELECT tags.list[2] AS third FROM devices`, `{"third":{"three":3}}`},
		{`SELECT devices.deviceId FROM devices`, `{"deviceId":"d-1"}`},
		{`SELECT devices.modules.deviceId FROM devices.modules`, `{"deviceId":"d-1"}`},
		{`SELECT properties.reported.nothing AS n FROM devices`, `{"n":null}`},
	} {
		got, err := parse(t, c.query).AppendResult([]byte("before"), r)
		if err != nil || string(got) != "before"+c.want {
			t.Errorf("%s\n got %s, %v\nwant %s", c.query, got, err, c.want)
		}
	}
}

// What the portal, az, IoT Explorer and the guides of the service send, in their
// spelling, against rows that it must find.
func TestQueriesThatPeopleAndToolsSend(t *testing.T) {
	const device = `{"deviceId":"dev-1","status":"enabled","lastActivityTime":"2024-02-29T12:00:00Z","capabilities":{"iotEdge":true},
		"configurations":{"web":{"status":"Applied"}},"tags":{"location":{"region":"US"}},"properties":{
		"desired":{"$version":4},"reported":{"connectivity":{"type":"cellular"},"lastDesiredVersion":4,"telemetryConfig":{"sendFrequencyInSecs":300}}}}`
	const module = `{"deviceId":"dev-1","moduleId":"$edgeAgent","configurations":{"10-example":{"status":"Applied"}},"properties":{
		"desired":{"$version":4},"reported":{"lastDesiredVersion":4,"lastDesiredStatus":{"code":200},"modules":{"filter":{"runtimeStatus":"running"}}}}}`
	const job = `{"deviceId":"dev-1","jobId":"j1","jobType":"scheduleUpdateTwin","status":"completed","createdDateTimeUtc":"2024-02-29T12:00:00Z","outcome":{"deviceMethodResponse":null}}`
	for text, of := range map[string]string{
		`SELECT * FROM devices WHERE tags.location.region = 'US' AND properties.reported.telemetryConfig.sendFrequencyInSecs >= 60`:                                                                                 device,
		`SELECT LastActivityTime FROM devices WHERE status = 'enabled'`:                                                                                                                                             device,
		`SELECT * FROM devices WHERE properties.reported.connectivity.type NIN ['wired', 'wifi']`:                                                                                                                   device,
		`SELECT * FROM devices WHERE is_defined(properties.reported.connectivity)`:                                                                                                                                  device,
		`SELECT deviceId as DeviceId, status as Status, capabilities.iotEdge as IotEdge FROM devices WHERE STARTSWITH(devices.deviceId, 'dev')`:                                                                     device,
		`select * from devices where capabilities.iotEdge = true`:                                                                                                                                                   device,
		`SELECT deviceId FROM devices WHERE configurations.[[web]].status='Applied'`:                                                                                                                                device,
		`select * from devices.modules where devices.deviceId = 'dev-1' and devices.moduleId = '$edgeAgent' `:                                                                                                       module,
		`SELECT deviceId FROM devices.modules WHERE moduleId = '$edgeAgent' AND configurations.[[10-example]].status = 'Applied'`:                                                                                   module,
		`select deviceId from devices.modules where moduleId = '$edgeAgent' and properties.desired.$version = properties.reported.lastDesiredVersion and properties.reported.lastDesiredStatus.code = 200`:          module,
		`SELECT * FROM devices.modules WHERE properties.reported.modules.filter.runtimeStatus = 'running' AND deviceId IN ['dev-1', 'dev-2']`:                                                                       module,
		`SELECT * FROM devices.jobs WHERE devices.jobs.deviceId = 'dev-1' AND devices.jobs.jobType = 'scheduleUpdateTwin' AND devices.jobs.status = 'completed' AND devices.jobs.createdDateTimeUtc > '2016-09-01'`: job,
		`SELECT * FROM devices.jobs WHERE devices.jobs.jobId = 'j1'`:                                                                                                                                                job,
	} {
		if !parse(t, text).Match(row(t, of)) {
			t.Errorf("%s does not find %s", text, of)
		}
	}
}

func TestWhatTheHubMustKnowOfAQuery(t *testing.T) {
	for _, c := range []struct {
		query      string
		from       Collection
		top        int
		all        bool
		aggregates bool
	}{
		{`SELECT * FROM devices`, Devices, -1, true, false},
		{`SELECT TOP 10 * FROM DEVICES.Modules`, Modules, 10, true, false},
		{`SELECT TOP 0 deviceId FROM devices.jobs WHERE devices.jobs.status = 'queued'`, Jobs, 0, false, false},
		{`SELECT COUNT() AS n FROM devices`, Devices, -1, false, true},
		{`SELECT status FROM devices GROUP BY status`, Devices, -1, false, true},
	} {
		q := parse(t, c.query)
		n, ok := q.Top()
		if !ok {
			n = -1
		}
		if q.From() != c.from || n != c.top || q.All() != c.all || q.Aggregates() != c.aggregates {
			t.Errorf("%s: from %s, top %d, all %t, aggregates %t", c.query, q.From(), n, q.All(), q.Aggregates())
		}
	}
}

func TestMatchIsTheCondition(t *testing.T) {
	r := row(t, `{"jobId":"j","status":"queued","deviceId":"d"}`)
	for query, want := range map[string]bool{
		`SELECT * FROM devices.jobs`:                                           true,
		`SELECT * FROM devices.jobs WHERE devices.jobs.status = 'queued'`:      true,
		`SELECT * FROM devices.jobs WHERE devices.jobs.jobId = 'k'`:            false,
		`SELECT * FROM devices.jobs WHERE devices.jobs.none = 'k'`:             false,
		`SELECT * FROM devices.jobs WHERE jobId = 'j' AND deviceId IN ['d']`:   true,
		`SELECT COUNT() FROM devices.jobs WHERE jobId = 'j' GROUP BY deviceId`: true,
	} {
		if got := parse(t, query).Match(r); got != want {
			t.Errorf("%s: %t", query, got)
		}
	}
}

const fleet = `[
	{"deviceId":"a","tags":{"site":"x"},"properties":{"reported":{"t":10,"s":"ok","v":1.0}}},
	{"deviceId":"b","tags":{"site":"x"},"properties":{"reported":{"t":20.5,"s":"bad","v":1}}},
	{"deviceId":"c","tags":{"site":"y"},"properties":{"reported":{"t":"cold","s":"ok","v":1.00}}},
	{"deviceId":"d","tags":{},"properties":{"reported":{"s":"ok","v":true}}}
]`

func rows(t testing.TB) []Row {
	t.Helper()
	var texts []json.RawMessage
	if err := json.Unmarshal([]byte(fleet), &texts); err != nil {
		t.Fatal(err)
	}
	var all []Row
	for _, text := range texts {
		all = append(all, row(t, string(text)))
	}
	return all
}

func TestAggregates(t *testing.T) {
	for _, c := range []struct {
		query string
		want  []string
	}{
		{`SELECT COUNT() AS n FROM devices`, []string{`{"n":4}`}},
		{`SELECT count(*) FROM devices`, []string{`{"$1":4}`}},
		{`SELECT COUNT(tags.site) AS n FROM devices`, []string{`{"n":3}`}},
		{`SELECT COUNT() AS n FROM devices WHERE deviceId = 'none'`, []string{`{"n":0}`}},
		{`SELECT SUM(properties.reported.t) AS s, AVG(properties.reported.t) AS a FROM devices`, []string{`{"s":30.5,"a":15.25}`}},
		{`SELECT MIN(properties.reported.t) AS a, MAX(properties.reported.t) AS b FROM devices`, []string{`{"a":10,"b":"cold"}`}},
		{`SELECT SUM(tags.none) AS s, AVG(tags.none) AS a, MIN(tags.none) AS m FROM devices`, []string{`{"s":0}`}},
		{`SELECT tags.site AS site, COUNT() AS n FROM devices GROUP BY tags.site`,
			[]string{`{"n":1}`, `{"site":"x","n":2}`, `{"site":"y","n":1}`}},
		{`SELECT COUNT() AS n, properties.reported.s AS s, tags.site FROM devices WHERE IS_DEFINED(tags.site) GROUP BY tags.site, properties.reported.s`,
			[]string{`{"n":1,"s":"bad","site":"x"}`, `{"n":1,"s":"ok","site":"x"}`, `{"n":1,"s":"ok","site":"y"}`}},
		{`SELECT COUNT() AS n FROM devices GROUP BY properties.reported.v`, []string{`{"n":3}`, `{"n":1}`}},
		{`SELECT TOP 1 COUNT() AS n FROM devices GROUP BY deviceId`, []string{`{"n":1}`}},
		{`SELECT TOP 0 COUNT() AS n FROM devices`, nil},
		{`SELECT devices.tags.site FROM devices GROUP BY Tags.site`, []string{`{}`, `{"site":"x"}`, `{"site":"y"}`}},
		{`SELECT deviceId AS count, COUNT() AS [[how many]] FROM devices WHERE deviceId='a' GROUP BY deviceId`, []string{`{"count":"a","how many":1}`}},
	} {
		q := parse(t, c.query)
		for _, order := range [][]Row{rows(t), reversed(rows(t))} {
			g := q.Group()
			for _, r := range order {
				if !q.Match(r) {
					continue
				}
				if err := g.Add(r); err != nil {
					t.Fatal(err)
				}
			}
			var got []string
			for _, result := range g.Results() {
				got = append(got, string(result))
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%s\n got %s\nwant %s", c.query, got, c.want)
			}
		}
	}
}

func reversed(rows []Row) []Row {
	slices.Reverse(rows)
	return rows
}

func TestGroupsAreBounded(t *testing.T) {
	q := parse(t, `SELECT COUNT() AS n FROM devices GROUP BY n`)
	g := q.Group()
	for i := range MaxGroups {
		if err := g.Add(row(t, fmt.Sprintf(`{"n":%d}`, i))); err != nil {
			t.Fatal(err)
		}
	}
	if err := g.Add(row(t, `{"n":1}`)); err != nil {
		t.Errorf("a row of a group that is there: %v", err)
	}
	if err := g.Add(row(t, `{"n":-1}`)); iot.KindOf(err) != iot.TooLarge {
		t.Errorf("a group more: %v", err)
	}
}

func TestDeviceIDsAreFoundWhereTheyArePlain(t *testing.T) {
	for condition, want := range map[string][]string{
		`deviceId = 'a'`:                                  {"a"},
		`'a' = DeviceId AND tags.x = 1`:                   {"a"},
		`tags.x = 1 AND deviceId IN ['b', 'a', 'b']`:      {"a", "b"},
		`deviceId IN []`:                                  {},
		`deviceId = 'a' OR tags.x = 1`:                    nil,
		`NOT deviceId = 'a'`:                              nil,
		`deviceId != 'a'`:                                 nil,
		`deviceId NIN ['a']`:                              nil,
		`deviceId = tags.x`:                               nil,
		`deviceId IN ['a', tags.x]`:                       nil,
		`deviceId IN [1]`:                                 nil,
		`tags.deviceId = 'a'`:                             nil,
		`moduleId = 'm' AND devices.modules.deviceId='a'`: {"a"},
	} {
		got, ok := parse(t, `SELECT * FROM devices.modules WHERE `+condition).DeviceIDs()
		if ok != (want != nil) || !slices.Equal(got, want) {
			t.Errorf("%s: %q, %t", condition, got, ok)
		}
	}
	if _, ok := parse(t, `SELECT * FROM devices`).DeviceIDs(); ok {
		t.Error("no condition names devices")
	}
}

func TestWrongQueriesSayWhatAndWhere(t *testing.T) {
	for _, c := range []struct {
		query        string
		line, column int
		says         string
	}{
		{``, 1, 1, "expected SELECT, not the end of the query"},
		{`SELEC * FROM devices`, 1, 1, "expected SELECT, not SELEC"},
		{`SELECT FROM devices`, 1, 8, "expected a property, an aggregate or *, not FROM"},
		{`SELECT 'a' FROM devices`, 1, 8, "not the string 'a'"},
		{`SELECT *`, 1, 9, "expected FROM"},
		{`SELECT *, deviceId FROM devices`, 1, 9, "expected FROM, not ,"},
		{`SELECT * FROM`, 1, 14, "expected a property"},
		{`SELECT * FROM enrollments`, 1, 15, "there is no collection enrollments; there are devices, devices.modules and devices.jobs"},
		{`SELECT * FROM devices d`, 1, 23, "d is not expected here"},
		{`SELECT TOP 1.5 * FROM devices`, 1, 12, "TOP takes a whole number, not 1.5"},
		{`SELECT TOP x * FROM devices`, 1, 12, "TOP takes a whole number"},
		{`SELECT TOP 99999999999 * FROM devices`, 1, 12, "TOP takes a whole number"},
		{`SELECT deviceId AS FROM devices`, 1, 20, "expected a name after AS, not FROM"},
		{`SELECT deviceId AS 'x' FROM devices`, 1, 20, "expected a name after AS"},
		{"SELECT *\nFROM devices\n  WHERE größe =", 3, 16, "expected a value, a property or a function, not the end of the query"},
		{`SELECT * FROM devices WHERE tags.a = 'x`, 1, 38, "does not end"},
		{`SELECT * FROM devices WHERE tags.a = 'x\q'`, 1, 40, "unknown escape"},
		{`SELECT * FROM devices WHERE tags.a = '\ud800'`, 1, 39, "unknown escape"},
		{`SELECT * FROM devices WHERE tags.a ~ 1`, 1, 36, `'~' means nothing here`},
		{"SELECT * FROM devices WHERE \xff", 1, 29, "not UTF-8"},
		{"SELECT * FROM devices WHERE tags.a = '\xff'", 1, 38, "not UTF-8"},
		{"SELECT * FROM devices WHERE tags[[\xff]]", 1, 33, "not UTF-8"},
		{`SELECT * FROM devices WHERE tags. = 1`, 1, 35, "expected a name after the dot"},
		{`SELECT * FROM devices WHERE tags.2nd = 1`, 1, 34, "2nd is not a number"},
		{`SELECT * FROM devices WHERE tags[[a] = 1`, 1, 33, "[[ is not closed by ]]"},
		{`SELECT * FROM devices WHERE tags[[ ]] = 1`, 1, 33, "no name in [[ ]]"},
		{`SELECT * FROM devices WHERE tags[1.5] = 1`, 1, 34, "expected the number of an item"},
		{`SELECT * FROM devices WHERE tags[a] = 1`, 1, 34, "expected the number of an item"},
		{`SELECT * FROM devices WHERE tags['a' = 1`, 1, 38, "expected ]"},
		{`SELECT * FROM devices WHERE STARTWITH(tags.a, 'x')`, 1, 29, "there is no function STARTWITH; did you mean STARTS_WITH?"},
		{`SELECT * FROM devices WHERE frobnicate(1)`, 1, 29, "there is no function frobnicate"},
		{`SELECT * FROM devices WHERE COUNT() > 1`, 1, 29, "COUNT is an aggregate"},
		{`SELECT * FROM devices WHERE IS_DEFINED()`, 1, 29, "IS_DEFINED takes 1 argument, not 0"},
		{`SELECT * FROM devices WHERE SUBSTRING('a')`, 1, 29, "SUBSTRING takes 2 or 3 arguments, not 1"},
		{`SELECT * FROM devices WHERE CONCAT('a')`, 1, 29, "CONCAT takes 2 arguments or more, not 1"},
		{`SELECT * FROM devices WHERE POWER(1,2,3)`, 1, 29, "POWER takes 2 arguments, not 3"},
		{`SELECT * FROM devices WHERE POWER(1 2)`, 1, 37, "expected , or ), not 2"},
		{`SELECT * FROM devices WHERE tags.a IN ('x')`, 1, 39, "a list in square brackets"},
		{`SELECT * FROM devices WHERE tags.a IN ['x'`, 1, 43, "expected , or ]"},
		{`SELECT * FROM devices WHERE tags.a NOT 'x'`, 1, 40, "expected IN"},
		{`SELECT * FROM devices WHERE (tags.a = 1`, 1, 40, "expected )"},
		{`SELECT * FROM devices WHERE tags.a = 0x`, 1, 38, "0x is not a number"},
		{`SELECT * FROM devices WHERE tags.a = 1e999`, 1, 38, "1e999 is not a number"},
		{`SELECT * FROM devices WHERE`, 1, 28, "expected a value"},
		{`SELECT * FROM devices ORDER BY deviceId`, 1, 23, "no ORDER BY"},
		{`SELECT * FROM devices WHERE tags.a = 1 LIMIT 5`, 1, 40, "SELECT TOP n"},
		{`SELECT * FROM devices JOIN x`, 1, 23, "no JOIN"},
		{`SELECT status FROM devices GROUP BY status WHERE a = 1`, 1, 44, "WHERE stands before GROUP BY"},
		{`SELECT * FROM devices GROUP BY status`, 1, 32, "not *"},
		{`SELECT status FROM devices GROUP status`, 1, 34, "expected BY"},
		{`SELECT status FROM devices GROUP BY 1`, 1, 37, "expected a property"},
		{`SELECT deviceId, COUNT() AS n FROM devices GROUP BY status`, 1, 8, "deviceId is neither an aggregate nor in GROUP BY"},
		{`SELECT deviceId, COUNT() AS n FROM devices`, 1, 8, "neither an aggregate nor in GROUP BY"},
		{`SELECT SUM() AS n FROM devices`, 1, 12, "expected a property, not )"},
		{`SELECT SUM(tags.a AS n FROM devices`, 1, 19, "expected )"},
	} {
		_, err := Parse(c.query)
		var e *Error
		if !errors.As(err, &e) || iot.KindOf(err) != iot.Invalid {
			t.Errorf("%s: %v", c.query, err)
			continue
		}
		if e.Line != c.line || e.Column != c.column || !strings.Contains(e.Reason, c.says) {
			t.Errorf("%q:\n got %v\nwant line %d, column %d: %s", c.query, e, c.line, c.column, c.says)
		}
	}
}

func TestTwoColumnsOfOneNameAreRefused(t *testing.T) {
	_, err := Parse(`SELECT tags.a, properties.reported.a FROM devices`)
	if iot.KindOf(err) != iot.Invalid || err == nil || !strings.Contains(err.Error(), "two columns are named a: tell them apart with AS") {
		t.Errorf("%v", err)
	}
}

func TestCanonicalForm(t *testing.T) {
	for text, want := range map[string]string{
		`select top 3 DeviceID, count from devices`:                                  `SELECT TOP 3 deviceId AS [[DeviceID]], count FROM devices`,
		`SELECT * FROM devices WHERE not a.[[b c]]='x''y' and 1+2*-3 in [1]`:         `SELECT * FROM devices WHERE ((NOT (a['b c'] = 'x\'y')) AND ((1 + (2 * (- 3))) IN [1]))`,
		`SELECT avg(tags.x), COUNT() AS n FROM devices GROUP BY tags.x, tags[0]`:     `SELECT AVG(tags.x) AS [[$1]], COUNT(*) AS [[n]] FROM devices GROUP BY tags.x, tags['0']`,
		`SELECT * FROM devices WHERE startswith(a, "b") or TRUE or Null = undefined`: `SELECT * FROM devices WHERE (STARTS_WITH(a, 'b') OR true OR (null = undefined))`,
	} {
		if got := parse(t, text).String(); got != want {
			t.Errorf("%s\n got %s\nwant %s", text, got, want)
		}
		if again := parse(t, want).String(); again != want {
			t.Errorf("%s\nwas read back as\n%s", want, again)
		}
	}
	if c, err := ParseCondition(`tags.a = 1`); err != nil || c.String() != `(tags.a = 1)` {
		t.Errorf("%v, %v", c, err)
	}
}

func TestConditionsThatAreWrong(t *testing.T) {
	for _, text := range []string{``, `* AND true`, `tags.a = `, `tags.a = 1 GROUP BY x`, `WHERE a = 1`, "'"} {
		if _, err := ParseCondition(text); iot.KindOf(err) != iot.Invalid || err == nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestRowThatIsNoJSONIsAnError(t *testing.T) {
	if _, err := ParseRow(json.RawMessage(`{`)); err == nil {
		t.Error("accepted")
	}
}
