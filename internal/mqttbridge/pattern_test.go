package mqttbridge

import (
	"strings"
	"testing"

	"sluice/mqtt"
)

func mustPattern(t testing.TB, text string) *pattern {
	t.Helper()
	p, err := parsePattern(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPatternsMatchTopics(t *testing.T) {
	for _, c := range []struct{ pattern, topic, want string }{
		{"device/{id}/message", "device/a/message", "id=a"},
		{"device/{id}/message", "device//message", "id="},
		{"device/{id}/message", "device/a/messages", "no"},
		{"device/{id}/message", "device/a/message/", "no"},
		{"device/{id}/message", "device/a", "no"},
		{"{site}/{id}", "x/y", "site=x id=y"},
		{"{site}/{id}", "$SYS/y", "no"},
		{"+/{id}/#", "x/y", "id=y"},
		{"+/{id}/#", "x/y/z/w", "id=y"},
		{"#", "a/b", ""},
		{"#", "$SYS/a", "no"},
	} {
		var got []string
		p := mustPattern(t, c.pattern)
		said := "no"
		if p.match(c.topic, func(name, value string) { got = append(got, name+"="+value) }) {
			said = strings.Join(got, " ")
		}
		if said != c.want {
			t.Errorf("%s on %s: %q, not %q", c.pattern, c.topic, said, c.want)
		}
		if matches := mqtt.Match(p.filter(), c.topic); matches != (said != "no") && !strings.HasPrefix(c.topic, "$") {
			t.Errorf("%s on %s: its filter %s says %v", c.pattern, c.topic, p.filter(), matches)
		}
	}
}

func TestWhatAFilterReaches(t *testing.T) {
	for _, c := range []struct{ filter, want string }{
		{"device/a/command", "a"}, {"device/a/#", "a"}, {"device/a/+", "a"}, {"+/a/command", "a"},
		{"device/+/command", "all"}, {"#", "all"}, {"device/#", "all"}, {"device/+/#", "all"}, {"+/+/+", "all"},
		{"device/a", "none"}, {"device/a/message", "none"}, {"device/a/command/x", "none"}, {"other/#", "none"},
		{"device/a/command/#", "a"}, {"+/+", "none"},
	} {
		leaf, all, any := mustPattern(t, "device/{id}/command").reach(c.filter)
		got := leaf
		switch {
		case !any:
			got = "none"
		case all:
			got = "all"
		}
		if got != c.want {
			t.Errorf("%s reaches %s, not %s", c.filter, got, c.want)
		}
	}
}

func TestPatternsThatCannotBe(t *testing.T) {
	for _, text := range []string{"", "a/{}", "a/{i-d}", "a/x{id}", "a/{id}/{id}", "a/#/b", "a/b+", "a/{id", "a\x00"} {
		if p, err := parsePattern(text); err == nil {
			t.Errorf("%q became %+v", text, p)
		}
	}
}

// What a filter reaches is what it matches, whatever both are.
func FuzzReach(f *testing.F) {
	f.Add("device/{id}/command", "device/+/#", "a")
	f.Add("{id}", "#", "a")
	f.Add("x/{id}/{name}/{rid}", "x/a/+/#", "a")
	f.Fuzz(func(t *testing.T, text, filter, leaf string) {
		p, err := parsePattern(text)
		if err != nil || p.needs(true, "id", "name", "rid") != nil || !mqtt.ValidFilter(filter) || !validTopicLevel(leaf) {
			return
		}
		topic := p.topic("id", leaf, "name", "n", "rid", "1")
		if !mqtt.ValidTopic(topic) || strings.HasPrefix(topic, "$") {
			return
		}
		if !p.matches(topic) {
			t.Errorf("%s does not match its own topic %s", text, topic)
		}
		reached, all, any := p.reach(filter)
		if mqtt.Match(filter, topic) && !(any && (all || reached == leaf)) {
			t.Errorf("%s matches %s of %s, but reaches %q, %v, %v", filter, topic, text, reached, all, any)
		}
	})
}
