package query

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sluice/internal/twin"
)

var epoch = time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)

func aTwin(t testing.TB, id int) (twin.Owner, twin.Twin) {
	t.Helper()
	tw, err := twin.New(epoch).Patch(json.RawMessage(fmt.Sprintf(`{
		"tags": {"site": "hall %d", "location": {"country": "DE", "floor": %d}, "cost": 12.50},
		"properties": {"desired": {"interval": 30, "firmware": {"version": "4.18.0"}}}}`, id%50, id%7)), epoch)
	if err != nil {
		t.Fatal(err)
	}
	tw, err = tw.Report(json.RawMessage(`{
		"deviceInformation": {"manufacturer": "Contoso", "model": "TC-400", "swVersion": "4.17.2", "totalStorage": 16000000},
		"thermostat": {"max": 38.42, "target": {"value": 21.50, "ac": 200, "av": 7, "ad": "done"}},
		"battery": {"level": 87, "charging": false}, "firmware": {"version": "4.17.2", "status": "downloading"}, "interval": 30}`), epoch)
	if err != nil {
		t.Fatal(err)
	}
	owner := twin.Owner{DeviceID: fmt.Sprintf("device-%06d", id), Status: "enabled", ConnectionState: "Connected", AuthenticationType: "sas", Capabilities: &twin.Capabilities{}}
	return owner, tw
}

// drawCondition draws conditions that are about something in aTwin.
func drawCondition(t *rapid.T, depth int) string {
	if depth > 0 {
		switch rapid.IntRange(0, 4).Draw(t, "form") {
		case 0:
			return drawCondition(t, depth-1) + rapid.SampledFrom([]string{" AND ", " OR "}).Draw(t, "and") + drawCondition(t, depth-1)
		case 1:
			return "NOT " + drawCondition(t, depth-1)
		case 2:
			return "(" + drawCondition(t, depth-1) + ")"
		}
	}
	path := rapid.SampledFrom([]string{
		"deviceId", "moduleId", "etag", "version", "status", "capabilities.iotEdge", "x509Thumbprint.primaryThumbprint",
		"tags.site", "tags.location.floor", "tags.cost", "tags.none", "properties.desired.$version", "properties.desired.interval",
		"properties.reported.battery.level", "properties.reported.battery.charging", "properties.reported.interval",
		"properties.reported.$metadata.battery.$lastUpdated", "properties.desired.$metadata.interval.$lastUpdatedVersion",
	}).Draw(t, "path")
	operand := rapid.SampledFrom([]string{
		"'hall 3'", "'device-000003'", "3", "12.5", "30", "87", "true", "false", "null", "'2024-02-29T12:00:00Z'", "2",
		"properties.desired.interval", "properties.reported.interval", "undefined",
	}).Draw(t, "operand")
	return fmt.Sprintf(rapid.SampledFrom([]string{
		"%s = %s", "%s != %s", "%s < %s", "%s >= %s", "%s IN [%s, 1]", "%s NIN [%s, 'x']", "IS_DEFINED(%s) AND %s", "%s + 1 > %s", "CONTAINS(%s, %s)", "LENGTH(%s) > %s",
	}).Draw(t, "comparison"), path, operand)
}

// A query must mean the same for a twin in memory, a stored one, and the JSON
// that the service shows of it, and its canonical form must mean what it does.
func TestQueryMeansTheSameOfATwinInWhateverForm(t *testing.T) {
	owner, tw := aTwin(t, 3)
	full, err := tw.Full(owner)
	if err != nil {
		t.Fatal(err)
	}
	stored, err := tw.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(rt *rapid.T) {
		text := drawCondition(rt, 3)
		fromStored, err := twin.StoredView(owner, stored)
		if err != nil {
			rt.Fatal(err)
		}
		c, err := ParseCondition(text)
		if err != nil {
			rt.Fatalf("%s: %v", text, err)
		}
		want := outcome(t, text, row(t, string(full)))
		for form, r := range map[string]Row{"memory": twin.NewView(owner, tw), "storage": fromStored} {
			if got := outcome(t, text, r); got != want {
				rt.Fatalf("%s is %s for a twin from %s, and %s for its JSON", text, got, form, want)
			}
			if got := outcome(t, c.String(), r); got != want {
				rt.Fatalf("%s is %s, but as %s it is %s", text, want, c, got)
			}
		}
	})
}

func TestWholeTwinIsSelectedAsTheServiceShowsIt(t *testing.T) {
	owner, tw := aTwin(t, 3)
	want, err := tw.Full(owner)
	if err != nil {
		t.Fatal(err)
	}
	got, err := parse(t, `SELECT * FROM devices`).AppendResult(nil, twin.NewView(owner, tw))
	if err != nil || string(got) != string(want) {
		t.Errorf("got %s, %v\nwant %s", got, err, want)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`SELECT * FROM devices`,
		`SELECT TOP 5 tags.[[a b]] AS x, COUNT() AS n, AVG(properties.reported.t) FROM devices.modules WHERE NOT (a = 0x1F OR b['c'] NIN ["d", 'e\u00e9']) GROUP BY tags['a b']`,
		`SELECT * FROM devices.jobs WHERE devices.jobs.status <> 'x' AND SUBSTRING(a, 1, -2.5e3) >= null`,
		`SELECT tags[['']]'] FROM devices`,
	} {
		f.Add(seed)
	}
	owner, tw := aTwin(f, 1)
	r := twin.NewView(owner, tw)
	f.Fuzz(func(t *testing.T, text string) {
		q, err := Parse(text)
		if err != nil {
			return
		}
		matched := q.Match(r)
		q.DeviceIDs()
		if q.Aggregates() {
			g := q.Group()
			if err := g.Add(r); err != nil {
				t.Fatal(err)
			}
			for _, result := range g.Results() {
				if !json.Valid(result) {
					t.Fatalf("%q results in %s", text, result)
				}
			}
		} else if result, err := q.AppendResult(nil, r); err != nil || !json.Valid(result) {
			t.Fatalf("%q results in %s, %v", text, result, err)
		}
		checkCanonical(t, q, r, matched)
	})
}

// checkCanonical reads the canonical form of q back. It may be longer, and
// deeper by its parentheses, than what was written.
func checkCanonical(t *testing.T, q *Query, r Row, matched bool) {
	canonical := q.String()
	again, err := Parse(canonical)
	if err != nil {
		if len(canonical) > MaxLength || strings.Contains(err.Error(), "nested more than") {
			return
		}
		t.Fatalf("%q: %v", canonical, err)
	}
	if again.String() != canonical || again.Match(r) != matched {
		t.Fatalf("%q was read back as %q", canonical, again)
	}
}

func FuzzCondition(f *testing.F) {
	f.Add(`tags.location.floor = 1 AND NOT IS_DEFINED(tags.x)`)
	f.Add(`* `)
	f.Add(`CONCAT(tags.site, UPPER('x')) IN [undefined, null, -1]`)
	owner, tw := aTwin(f, 1)
	r := twin.NewView(owner, tw)
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseCondition(text)
		if err != nil {
			return
		}
		if again, err := ParseCondition(c.String()); err == nil && again.Match(r) != c.Match(r) {
			t.Fatalf("%q and %q differ", text, c)
		}
	})
}
