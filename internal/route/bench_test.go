package route

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"sluice/iot"
)

// telemetry is a message as a sensor behind a gateway sends it.
func telemetry(properties ...iot.Property) *iot.Message {
	m := &iot.Message{
		Properties: append(iot.Properties{{Key: "unit", Value: "C"}, {Key: "site", Value: "north"}, {Key: "level", Value: "7"}}, properties...),
		Body: []byte(`{"machine":{"temperature":81.25,"pressure":4.0832,"serial":"A-1009","state":"running"},` +
			`"ambient":{"temperature":20.9,"humidity":25},"alarms":[{"code":17,"active":true},{"code":3,"active":false}],` +
			`"timeCreated":"2026-03-01T07:30:00.5Z","sequence":1204}`),
	}
	m.System.Set(iot.ConnectionDeviceID, "pump-7")
	m.System.Set(iot.ContentType, "application/json")
	m.System.Set(iot.ContentEncoding, "utf-8")
	return m
}

func BenchmarkParse(b *testing.B) {
	for _, bench := range []struct{ name, text string }{
		{"all to upstream", "FROM /messages/* INTO $upstream"},
		{"three comparisons", "FROM /messages/* WHERE unit = 'C' AND as_number(level) > 5 AND $body.machine.temperature >= 80 " +
			`INTO BrokeredEndpoint("/modules/filter/inputs/hot")`},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(bench.text)))
			for b.Loop() {
				if _, err := Parse(bench.text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCondition(b *testing.B) {
	msg := telemetry()
	for _, bench := range []struct{ name, text string }{
		{"one comparison", "unit = 'C'"},
		{"three comparisons of properties", "unit = 'C' AND site = 'north' AND level != '3'"},
		{"system properties", "$connectionDeviceId = 'pump-7' AND NOT is_defined($connectionModuleId)"},
		{"numbers and strings", "as_number(level) > 5 AND starts_with(site, 'no')"},
		{"body", "$body.machine.temperature > 80"},
		{"three body values", "$body.machine.temperature > 80 AND $body.alarms[0].active AND $body.machine.state = 'running'"},
	} {
		b.Run(bench.name, func(b *testing.B) {
			c, err := ParseCondition(bench.text, Pattern{})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if c.Eval(msg) != True {
					b.Fatal("not true")
				}
			}
		})
	}
}

// BenchmarkMatch matches one message with tables of 1 to 1000 routes of which
// one is taken.
func BenchmarkMatch(b *testing.B) {
	kinds := []struct{ name, from, where string }{
		{"no condition", "/messages/modules/m%d/*", ""},
		{"equality", "/messages/*", "WHERE kind = 'k%d'"},
		{"equality and more", "/messages/*", "WHERE kind = 'k%d' AND as_number(level) > 5 AND site = 'north'"},
		{"arithmetic", "/messages/*", "WHERE as_number(level) + %d = 7"},
		{"all taken", "/messages/*", "WHERE as_number(level) + %d >= 7"},
		{"body equality", "/messages/*", "WHERE $body.sequence = 120%d"},
		{"body arithmetic", "/messages/*", "WHERE $body.sequence + %d = 1200"},
	}
	for _, k := range kinds {
		for _, n := range []int{1, 10, 100, 1000} {
			b.Run(fmt.Sprintf("%s/%d", k.name, n), func(b *testing.B) { benchmarkMatch(b, k.from, k.where, n) })
		}
	}
}

func benchmarkMatch(b *testing.B, from, where string, n int) {
	var rules []Rule
	for i := range n {
		text := fmt.Sprintf(`FROM %s %s INTO BrokeredEndpoint("/modules/sink/inputs/i%d")`, fill(from, i), fill(where, i), i)
		r, err := Parse(text)
		if err != nil {
			b.Fatal(err)
		}
		rules = append(rules, Rule{Name: fmt.Sprintf("r%04d", i), Route: r, Priority: DefaultPriority})
	}
	table, err := NewTable(rules...)
	if err != nil {
		b.Fatal(err)
	}
	msg := telemetry(iot.Property{Key: "kind", Value: "k0"})
	msg.Body = bytes.Replace(msg.Body, []byte("1204"), []byte("1200"), 1)
	msg.System.Set(iot.ConnectionModuleID, "m0")
	var targets []Target
	b.ReportAllocs()
	for b.Loop() {
		if targets = table.AppendMatch(targets[:0], msg, SourceOf(msg)); len(targets) == 0 {
			b.Fatal("no target")
		}
	}
}

func fill(format string, i int) string {
	if !strings.Contains(format, "%d") {
		return format
	}
	return fmt.Sprintf(format, i)
}

// BenchmarkFanOut matches a message that goes to three endpoints.
func BenchmarkFanOut(b *testing.B) {
	for _, n := range []int{1, 3} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var rules []Rule
			for i := range n {
				r, err := Parse(fmt.Sprintf(`FROM /messages/* WHERE unit = 'C' INTO BrokeredEndpoint("/modules/m%d/inputs/i")`, i))
				if err != nil {
					b.Fatal(err)
				}
				rules = append(rules, Rule{Name: fmt.Sprint(i), Route: r, Priority: i})
			}
			table, err := NewTable(rules...)
			if err != nil {
				b.Fatal(err)
			}
			msg, targets := telemetry(), []Target(nil)
			b.ReportAllocs()
			for b.Loop() {
				targets = table.AppendMatch(targets[:0], msg, SourceOf(msg))
			}
			if len(targets) != n {
				b.Fatalf("%d targets", len(targets))
			}
		})
	}
}
