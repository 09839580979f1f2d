package twin

import (
	"encoding/json"
	"testing"
)

// typical is a reported document of some 1.4 KB, as a device with a handful of
// components has.
const typical = `{
	"deviceInformation":{"__t":"c","manufacturer":"Contoso","model":"TC-400","swVersion":"4.17.2","osName":"Linux","processorArchitecture":"arm64","processorManufacturer":"NXP","totalStorage":16000000,"totalMemory":2048000},
	"thermostat1":{"__t":"c","maxTempSinceLastReboot":38.42,"targetTemperature":{"value":21.50,"ac":200,"av":7,"ad":"done"}},
	"thermostat2":{"__t":"c","maxTempSinceLastReboot":36.10,"targetTemperature":{"value":19.25,"ac":200,"av":7,"ad":"done"}},
	"network":{"interfaces":[{"name":"eth0","ipv4":"10.1.2.3","up":true},{"name":"wlan0","ipv4":"","up":false}],"gateway":"10.1.2.1","rssi":-67},
	"battery":{"level":87,"charging":false,"cycles":412},"firmware":{"current":"4.17.2","pending":"4.18.0","status":"downloading","progress":42},
	"serialNumber":"SN-0011223344556677","uptime":123456,"lastBoot":"2024-02-29T10:11:12Z","telemetryInterval":30
}`

func BenchmarkMerge(b *testing.B) {
	d := document(b, Reported, typical)
	patch := json.RawMessage(`{"battery":{"level":86},"uptime":123486}`)
	b.SetBytes(int64(len(patch)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Merge(patch, epoch); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReplace(b *testing.B) {
	d := NewDocument(Reported, epoch)
	b.SetBytes(int64(len(typical)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Replace(json.RawMessage(typical), epoch); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkJSON(b *testing.B)             { benchmarkEncode(b, Document.JSON) }
func BenchmarkJSONWithMetadata(b *testing.B) { benchmarkEncode(b, Document.JSONWithMetadata) }

func benchmarkEncode(b *testing.B, encode func(Document) json.RawMessage) {
	d := document(b, Reported, typical)
	b.SetBytes(int64(len(encode(d))))
	b.ReportAllocs()
	for b.Loop() {
		encode(d)
	}
}

func BenchmarkParse(b *testing.B) {
	stored := document(b, Reported, typical).JSONWithMetadata()
	b.SetBytes(int64(len(stored)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(Reported, stored); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDiff(b *testing.B) {
	d := document(b, Reported, typical)
	next, err := d.Merge(json.RawMessage(`{"battery":{"level":86},"uptime":123486}`), epoch)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		d.Diff(next)
	}
}

// What a query about a tag costs for each stored twin.
func BenchmarkViewOneTag(b *testing.B) {
	tw, err := New(epoch).Report(json.RawMessage(typical), epoch)
	if err != nil {
		b.Fatal(err)
	}
	tw, err = tw.Patch(json.RawMessage(`{"tags":{"site":"hall 4","location":{"country":"DE","floor":2}}}`), epoch)
	if err != nil {
		b.Fatal(err)
	}
	stored, err := tw.AppendBinary(nil)
	if err != nil {
		b.Fatal(err)
	}
	path := []string{"tags", "location", "country"}
	b.ReportAllocs()
	for b.Loop() {
		view, err := StoredView(Owner{}, stored)
		if err != nil {
			b.Fatal(err)
		}
		if _, ok := view.Lookup(path); !ok {
			b.Fatal("the tag is not there")
		}
	}
}
