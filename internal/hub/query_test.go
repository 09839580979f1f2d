package hub

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/hub/code"
	"sluice/internal/hub/query"
	"sluice/internal/hub/storage"
	"sluice/iot"
)

func parse(t testing.TB, text string) *query.Query {
	t.Helper()
	q, err := query.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// all reads a query to its end, in pages of the given size.
func (f *fixture) all(text string, size int) (results []string) {
	f.t.Helper()
	q, next := parse(f.t, text), ""
	for {
		p, err := f.Query(f.t.Context(), q, next, size)
		if err != nil {
			f.t.Fatal(err)
		}
		if len(p.Results) > size {
			f.t.Fatalf("a page of %d results, %d were asked for", len(p.Results), size)
		}
		for _, r := range p.Results {
			results = append(results, string(r))
		}
		if next = p.Next; next == "" {
			return results
		}
	}
}

func TestAQueryFindsTheSameWhateverItsPages(t *testing.T) {
	f := newFixture(t)
	f.create("edge", edge)
	for i := range 40 {
		id := fmt.Sprintf("d%02d", i)
		f.create(id)
		f.create(id + "/m")
		if i%3 == 0 {
			f.patch(iot.DeviceIdentity(id), fmt.Sprintf(`{"tags":{"n":%d,"third":true}}`, i))
			f.patch(iot.ModuleIdentity(id, "m"), `{"properties":{"desired":{"on":true}}}`)
		}
	}
	for _, text := range []string{
		"SELECT * FROM devices",
		"SELECT deviceId FROM devices WHERE tags.third = true AND tags.n > 10",
		"SELECT TOP 7 deviceId FROM devices WHERE NOT is_defined(tags.n)",
		"SELECT deviceId, moduleId FROM devices.modules",
		"SELECT deviceId FROM devices.modules WHERE properties.desired.on",
		"SELECT tags.n AS n, COUNT() AS c FROM devices GROUP BY tags.n",
		"SELECT deviceId FROM devices WHERE deviceId IN ['d01', 'zz', 'd30', 'edge']",
		"SELECT moduleId FROM devices.modules WHERE deviceId IN ['d01', 'edge']",
	} {
		want := f.all(text, MaxPage)
		if len(want) == 0 {
			t.Errorf("%s finds nothing", text)
		}
		for _, size := range []int{1, 2, 7, 40} {
			if diff := cmp.Diff(want, f.all(text, size)); diff != "" {
				t.Errorf("%s in pages of %d (-whole +pages):\n%s", text, size, diff)
			}
		}
	}
}

func (f *fixture) patch(id iot.Identity, body string) {
	f.t.Helper()
	if _, err := f.PatchTwin(id, json.RawMessage(body), ""); err != nil {
		f.t.Fatal(err)
	}
}

func TestAPageGoesOnWhereADeviceWasDeleted(t *testing.T) {
	f := newFixture(t)
	for _, id := range []string{"a", "b", "c", "d"} {
		f.create(id)
	}
	for _, text := range []string{"SELECT deviceId FROM devices", "SELECT deviceId FROM devices WHERE deviceId IN ['a', 'b', 'c', 'd']"} {
		q := parse(t, text)
		first, err := f.Query(t.Context(), q, "", 2)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.opt.Registry.Delete(iot.DeviceIdentity("b"), ""); err != nil {
			t.Fatal(err)
		}
		second, err := f.Query(t.Context(), q, first.Next, 2)
		if err != nil || len(second.Results) != 2 || string(second.Results[0]) != `{"deviceId":"c"}` {
			t.Errorf("%s: the second page is %s, %v", text, second.Results, err)
		}
		f.create("b")
	}
}

func TestAContinuationIsGoodForItsQueryAlone(t *testing.T) {
	f := newFixture(t)
	f.create("a")
	f.create("b")
	p, err := f.Query(t.Context(), parse(t, "SELECT * FROM devices"), "", 1)
	if err != nil || p.Next == "" {
		t.Fatalf("%+v, %v", p, err)
	}
	for _, token := range []string{p.Next, "?", "bm9uZQ"} {
		if _, err := f.Query(t.Context(), parse(t, "SELECT deviceId FROM devices"), token, 1); !errors.Is(err, code.ArgumentInvalid) {
			t.Errorf("token %q: %v", token, err)
		}
	}
}

// A continuation that a client made up is refused, or begins somewhere: it never
// shows what the query does not.
func FuzzContinuation(f *testing.F) {
	h := newFixture(f)
	for _, id := range []string{"a", "b", "c/m"} {
		owner, _, _ := strings.Cut(id, "/")
		if owner != id {
			h.create(owner)
		}
		h.create(id)
	}
	queries := []*query.Query{
		parse(f, "SELECT deviceId FROM devices WHERE deviceId != 'b'"), parse(f, "SELECT TOP 2 deviceId FROM devices.modules"),
		parse(f, "SELECT deviceId, COUNT() AS n FROM devices WHERE deviceId != 'b' GROUP BY deviceId"), parse(f, "SELECT * FROM devices.jobs"),
	}
	for i, q := range queries {
		p, err := h.Query(f.Context(), q, "", 1)
		if err != nil {
			f.Fatal(err)
		}
		at, _ := parsePlace(q, "")
		for _, place := range []place{at, {at.Query, "c/m", 1}, {at.Query, "\x00\xff", 1 << 30}, {at.Query, "zz", -1}} {
			f.Add(i, place.String(), 1)
		}
		f.Add(i, p.Next, 0)
	}
	f.Fuzz(func(t *testing.T, which int, token string, limit int) {
		q := queries[uint(which)%uint(len(queries))]
		p, err := h.Query(t.Context(), q, token, limit)
		if err != nil && !errors.Is(err, code.ArgumentInvalid) {
			t.Fatal(err)
		}
		for _, r := range p.Results {
			if !json.Valid(r) || strings.Contains(string(r), `"b"`) {
				t.Fatalf("a result is %s", r)
			}
		}
	})
}

// A twin that nobody changed is as old as its identity, at each look.
func TestATwinThatWasNeverWrittenStaysTheSame(t *testing.T) {
	f := newFixture(t)
	born := f.create("a").Created
	first, err := f.Twin(iot.DeviceIdentity("a"))
	if err != nil {
		t.Fatal(err)
	}
	second, err := f.Twin(iot.DeviceIdentity("a"))
	if err != nil || !first.Desired.Updated().Equal(second.Desired.Updated()) {
		t.Errorf("written at %v, and then at %v, %v", first.Desired.Updated(), second.Desired.Updated(), err)
	}
	if age := first.Desired.Updated().Sub(born); age < -time.Second || age > time.Second {
		t.Errorf("the twin was written %v after its identity", age)
	}
	rows := f.all("SELECT properties.desired.$metadata.$lastUpdated AS at FROM devices", 10)
	if len(rows) != 1 || !strings.Contains(rows[0], first.Desired.Updated().UTC().Format("2006-01-02T15:04:05")) {
		t.Errorf("a query says %s, want %v", rows, first.Desired.Updated())
	}
}

// fill registers n devices, with tags like those of a real fleet.
func fill(tb testing.TB, h *Hub, n int) {
	tb.Helper()
	for part := range slices.Chunk(make([]storage.Entry, n), 1000) {
		for i := range part {
			part[i].Identity.Device, part[i].Enabled = fmt.Sprintf("device-%06d", h.opt.Registry.Counts().Devices+i), true
		}
		created, err := h.opt.Registry.Create(part...)
		if err != nil {
			tb.Fatal(err)
		}
		for i := range created {
			id := created[i].Identity
			body := fmt.Sprintf(`{"tags":{"site":"hall %d","line":%d,"contact":"operator@example.com"},"properties":{"desired":{"interval":10,"mode":"auto"}}}`, i%100, i%7)
			if _, err := h.PatchTwin(id, json.RawMessage(body), ""); err != nil {
				tb.Fatal(err)
			}
		}
	}
}

func BenchmarkQueryOfATag(b *testing.B) {
	const devices = 100_000
	f := newFixture(b)
	fill(b, f.Hub, devices)
	for _, text := range []string{
		"SELECT * FROM devices WHERE tags.site = 'hall 42'",
		"SELECT tags.site AS site, COUNT() AS n FROM devices GROUP BY tags.site",
		"SELECT deviceId FROM devices WHERE connectionState = 'Connected'",
	} {
		b.Run(text, func(b *testing.B) {
			q := parse(b, text)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := f.Query(b.Context(), q, "", MaxPage); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/devices, "ns/twin")
		})
	}
}
