package query

import (
	"testing"

	"sluice/internal/twin"
)

func BenchmarkParse(b *testing.B) {
	const text = `SELECT deviceId, tags.site AS site FROM devices WHERE tags.location.country = 'DE' AND (properties.reported.battery.level < 20 OR NOT IS_DEFINED(properties.reported.firmware))`
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(text); err != nil {
			b.Fatal(err)
		}
	}
}

// One row of a query on a tag, as the hub asks it of each stored twin.
func BenchmarkStoredTwin(b *testing.B) {
	benchmarkStored(b, `SELECT * FROM devices WHERE tags.site = 'hall 99'`)
}

func BenchmarkStoredTwinReported(b *testing.B) {
	benchmarkStored(b, `SELECT * FROM devices WHERE properties.reported.battery.level < 20`)
}

func benchmarkStored(b *testing.B, text string) {
	q := parse(b, text)
	owner, tw := aTwin(b, 1)
	stored, err := tw.AppendBinary(nil)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(stored)))
	b.ReportAllocs()
	for b.Loop() {
		view, err := twin.StoredView(owner, stored)
		if err != nil {
			b.Fatal(err)
		}
		if q.Match(view) {
			b.Fatal("matches")
		}
	}
}

func BenchmarkTwinInMemory(b *testing.B) {
	q := parse(b, `SELECT * FROM devices WHERE tags.site = 'hall 99' AND properties.reported.battery.level < 20`)
	owner, tw := aTwin(b, 1)
	view := twin.NewView(owner, tw)
	b.ReportAllocs()
	for b.Loop() {
		if q.Match(view) {
			b.Fatal("matches")
		}
	}
}

func BenchmarkGroup(b *testing.B) {
	q := parse(b, `SELECT tags.site AS site, COUNT() AS n FROM devices GROUP BY tags.site`)
	owner, tw := aTwin(b, 1)
	view := twin.NewView(owner, tw)
	g := q.Group()
	b.ReportAllocs()
	for b.Loop() {
		if err := g.Add(view); err != nil {
			b.Fatal(err)
		}
	}
}
