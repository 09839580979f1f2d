package provision

import (
	"fmt"
	"path"
	"strings"
	"testing"

	"sluice/iot"
)

func TestAListMatchesExactlyWhatItSays(t *testing.T) {
	l, err := ParseList([]byte("\ufeff# sites 1 and 2\r\n\r\n  myleafDevice1  \r\nclient1\r\n#client9\r\n" +
		"00:1b:44:11:3a:b7\nid:prefix:7\nid:#9\nprefix:meter-\nprefix:meter-a\nprefix:me.\n" +
		"glob:press-[0-9]?-*\nglob:[^x]y\ncidr:10.1.0.0/16\ncidr:2001:db8::/32\ncidr:192.0.2.7/32"))
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]Listing{
		"myleafDevice1": ByID, "myleafDevice": Unlisted, "leafDevice1": Unlisted, "myleafDevice12": Unlisted, "myleafdevice1": Unlisted,
		"client1": ByID, "client9": Unlisted, "#client9": Unlisted, "client": Unlisted, "1": Unlisted, "": Unlisted,
		"00:1b:44:11:3a:b7": ByID, "00:1B:44:11:3A:B7": Unlisted, "prefix:7": ByID, "id:prefix:7": Unlisted, "#9": ByID,
		"meter-": ByPattern, "meter-1": ByPattern, "meter-a7": ByPattern, "meter-b": ByPattern, "meter": Unlisted, "Meter-1": Unlisted, "xmeter-1": Unlisted,
		"me.7": ByPattern, "me7": Unlisted,
		"press-12-": ByPattern, "press-1x-abc": ByPattern, "press-a2-b": Unlisted, "press-1-": Unlisted, "zy": ByPattern, "xy": Unlisted,
		"10.1.2.3": ByPattern, "10.2.0.1": Unlisted, "10.1.2.03": Unlisted, "::ffff:10.1.2.3": Unlisted, "10.1.2.3.4": Unlisted,
		"2001:db8::1": ByPattern, "2001:DB8::1": Unlisted, "2001:db8:0::1": Unlisted, "192.0.2.7": ByPattern, "192.0.2.8": Unlisted,
		"meter-/..": Unlisted, "meter- ": Unlisted, "meter-ä": Unlisted, "meter-%2e": ByPattern, // an id, though no leaf's
	} {
		if got := l.Find(id); got != want {
			t.Errorf("Find(%q) = %d, want %d", id, got, want)
		}
	}
	if l.Len() != 12 {
		t.Errorf("%d entries", l.Len())
	}
}

func TestAListWithAMistakeIsRefusedWithItsLine(t *testing.T) {
	for text, want := range map[string]string{
		"a\nb c":                 `line 2: "b c": no id is so`,
		"a\n\n#x\npump/7":        `line 4: "pump/7"`,
		"prefix:":                `line 1: "prefix:": no id begins so: it is empty`,
		"prefix: x":              "no id begins so",
		"Prefix:x":               "Prefix: is not a form; an id that begins so is written id:Prefix:x",
		"regex:a.*":              "is not a form",
		"id:":                    "no id is so: it is empty",
		"glob:":                  "the pattern is empty",
		"glob:[a":                "a bracket has no end",
		"glob:a[]":               "a bracket",
		`glob:a\*`:               "no id has a '\\\\' in it",
		"glob:a/b":               "no id has a '/' in it",
		"cidr:10.1.0.0":          "is not a network such as",
		"cidr:10.1.2.3/16":       "has digits behind its 16 bits: write 10.1.0.0/16",
		"müller":                 "no id is so",
		"\xff":                   "not UTF-8",
		strings.Repeat("x", 129): "is longer than 128",
	} {
		l, err := ParseList([]byte(text))
		if err == nil || !strings.Contains(err.Error(), want) || l != nil {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	if _, err := ParseList(make([]byte, MaxList+1)); err != ErrListSize {
		t.Errorf("a list that is too large: %v", err)
	}
}

func TestTheEmptyListAllowsNothing(t *testing.T) {
	for _, l := range []*List{{}, must(ParseList(nil)), must(ParseList([]byte("# nobody\n")))} {
		if l.Find("a") != Unlisted || l.Find("") != Unlisted {
			t.Error("it allows something")
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// FuzzParseList: whatever the text, what a list allows stands in it.
func FuzzParseList(f *testing.F) {
	f.Add("pump-7\nprefix:a\nglob:b*\ncidr:10.0.0.0/8\nid:x", "pump-7")
	f.Add("glob:[a-", "a")
	f.Add("cidr:::/0\n\r\n# x", "::1")
	f.Add("prefix:a\nprefix:ab\nprefix:b", "abc")
	f.Fuzz(func(t *testing.T, text, id string) {
		l, err := ParseList([]byte(text))
		if err != nil {
			if l != nil {
				t.Fatal("a list and an error")
			}
			return
		}
		got := l.Find(id)
		if got != Unlisted && iot.ValidateID(id) != nil {
			t.Fatalf("%q is no id, and allowed", id)
		}
		if want := slowFind(text, id); (got == ByID) != (want == ByID) || got == Unlisted && want != Unlisted {
			t.Fatalf("Find(%q) = %d, and line by line %d", id, got, want)
		}
	})
}

// slowFind looks at one line after the other, without what makes List fast. It knows
// nothing of networks.
func slowFind(text, id string) (found Listing) {
	if iot.ValidateID(id) != nil {
		return Unlisted
	}
	for line := range strings.Lines(strings.TrimPrefix(text, "\ufeff")) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "#") {
			continue
		}
		prefix, isPrefix := strings.CutPrefix(line, "prefix:")
		glob, isGlob := strings.CutPrefix(line, "glob:")
		matched, _ := path.Match(glob, id)
		switch {
		case line == "id:"+id, line == id && !isPrefix && !isGlob && !strings.HasPrefix(line, "id:") && !strings.HasPrefix(line, "cidr:"):
			return ByID
		case isPrefix && strings.HasPrefix(id, prefix), isGlob && matched:
			found = ByPattern
		}
	}
	return found
}

func BenchmarkFind(b *testing.B) {
	var text strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&text, "meter-%06d\n", i)
	}
	text.WriteString("prefix:press-\nprefix:pump-\nglob:valve-??-*\ncidr:10.1.0.0/16\n")
	l := must(ParseList([]byte(text.String())))
	for _, c := range []struct{ name, id string }{{"by id", "meter-077777"}, {"by pattern", "valve-12-b"}, {"unlisted", "camera-1"}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				l.Find(c.id)
			}
		})
	}
}
