package route

import (
	"fmt"
	"strings"
	"testing"

	"sluice/iot"
)

func mustParse(t testing.TB, text string) *Route {
	t.Helper()
	r, err := Parse(text)
	if err != nil {
		t.Fatalf("%s\n%v", text, err)
	}
	return r
}

// What a route says is what it does, however it is written.
func TestParse(t *testing.T) {
	in := Endpoint{Module: "m", Input: "i"}
	for _, tt := range []struct {
		text  string
		from  string
		where string
		into  Endpoint
	}{
		{"FROM /* INTO $upstream", "/*", "", Upstream},
		{"SELECT * FROM /messages/* INTO $upstream", "/messages/*", "", Upstream},
		{"select * from /messages where true into $UPSTREAM", "/messages/*", "true", Upstream},
		{"\r\n\tFROM\n/messages\n/\nmodules /m INTO\t$upstream\n", "/messages/modules/m/*", "", Upstream},
		{"FROM /messages/modules/my-mod_1.x/outputs/* INTO $upstream", "/messages/modules/my-mod_1.x/outputs/*", "", Upstream},
		{"FROM/messages INTO $upstream", "/messages/*", "", Upstream},
		{`FROM /messages INTO BrokeredEndpoint("/modules/m/inputs/i")`, "/messages/*", "", in},
		{`FROM /messages INTO brokeredendpoint ( '/modules/m/inputs/i/' )`, "/messages/*", "", in},
		{`FROM /messages INTO BrokeredEndpoint(" modules/m/inputs/i ")`, "/messages/*", "", in},
		{`FROM /messages INTO BrokeredEndpoint("/a/m/b/i")`, "/messages/*", "", in},
		{"FROM /messages WHERE  a  =  'b' /* why */ INTO $upstream", "/messages/*", "a  =  'b'", Upstream},
		{"FROM /messages/* /* c */ INTO $upstream", "/messages/*", "", Upstream},
		{"FROM /messages/ /* c */ * INTO $upstream", "/messages/*", "", Upstream},
		{"FROM /messages INTO $upstream, $x", "/messages/*", "", Upstream},
		{"FROM /messages INTO $upstream;", "/messages/*", "", Upstream},
		{"FROM /*/messages/* INTO $upstream", "/*/messages/*", "", Upstream},
	} {
		t.Run(tt.text, func(t *testing.T) {
			r := mustParse(t, tt.text)
			where := ""
			if c := r.Condition(); c != nil {
				where = c.Text()
			}
			if r.From().String() != tt.from || where != tt.where || r.Into() != tt.into {
				t.Errorf("from %s where %s into %v", r.From(), where, r.Into())
			}
		})
	}
}

// An error shows where it is and says what to write instead.
func TestErrorsPointAndSuggest(t *testing.T) {
	for _, tt := range []struct {
		text    string // the wrong part stands between « and »
		message string
		hint    string
	}{
		{"«»", "empty", "FROM source"},
		{"«/messages» INTO $upstream", "", ""},
		{"FROM «messages»/* INTO $upstream", "begins with '/'", "/messages/*"},
		{"FROM /messages/«INTO» $upstream", "no step", "without a slash"},
		{"FROM /messages/«/»x INTO $upstream", "no step", "one slash"},
		{"FROM /messages/modules/«$edgeAgent» INTO $upstream", "no step", "$connectionModuleId"},
		{"FROM /messages/modules/«123» INTO $upstream", "no step", "reserved"},
		{"FROM /messages/modules/«And» INTO $upstream", "no step", ""},
		{"FROM /messages «WERE» a = 'b' INTO $upstream", "expected INTO", "WHERE"},
		{"FROM /messages INTO «$uqstream»", "no sink", "$upstream"},
		{"FROM /messages INTO «upstream»", "no sink", "$upstream"},
		{`FROM /messages INTO «Brokered»("/modules/m/inputs/i")`, "no sink", "BrokeredEndpoint"},
		{`FROM /messages INTO BrokeredEndpoint(«"/m/i"»)`, "2 steps", "/modules/m/inputs/i"},
		{`FROM /messages INTO BrokeredEndpoint(«"/modules//inputs/i"»)`, "lacks the module", ""},
		{`FROM /messages INTO BrokeredEndpoint«(»"/modules/m/inputs/i"`, "missing ')'", ""},
		{"FROM /messages WHERE a «==» 'b' INTO $upstream", "", ""},
		{"FROM /messages WHERE a = 'b' «&&» c = 'd' INTO $upstream", "expected INTO", "AND"},
		{"FROM /messages WHERE name «LIKE» 'x' INTO $upstream", "expected INTO", "starts_with"},
		{"FROM /messages WHERE a «>» 5 INTO $upstream", "string and a number", "as_number(a)"},
		{"FROM /messages WHERE $cid «>» 5 INTO $upstream", "string and a number", "as_number($cid)"},
		{"FROM /messages WHERE a «=» true INTO $upstream", "string and a bool", "'true'"},
		{"FROM /messages WHERE true «=» TRUE INTO $upstream", "", "lower case"},
		{"FROM /messages WHERE a «!=» null INTO $upstream", "string and a null", "is_defined(a)"},
		{"FROM /messages WHERE «NOT» a = 'b' INTO $upstream", "NOT needs a bool", "NOT (…)"},
		{"FROM /messages WHERE a = 'b' «||» c = 'd' INTO $upstream", "", ""},
		{"FROM /messages WHERE «abs»(a) > 5 INTO $upstream", "abs does not take (string)", "as_number(a)"},
		{"FROM /messages WHERE «start_with»(a, 'b') INTO $upstream", "no function", "starts_with"},
		{"FROM /messages WHERE $body.«a['b']» = 1 INTO $upstream", "", ""},
		{"FROM /messages WHERE a = «'b»\\x' INTO $upstream", "unterminated", "backslash"},
		{"FROM /messages WHERE a = «'b INTO $upstream»", "unterminated", "quote"},
		{"FROM /messages WHERE «(»a = 'b' INTO $upstream", "missing ')'", ""},
		{"FROM /messages WHERE (a = 'b')«)» INTO $upstream", "unmatched", ""},
		{"FROM /messages WHERE «@»a = 'b' INTO $upstream", "invalid symbol", ""},
		{"FROM /messages WHERE a = 'b' «;» INTO $upstream", "invalid symbol", "semicolon"},
		{"FROM /messages WHERE «» INTO $upstream", "", ""},
		{"FROM /messages WHERE «twin_change_includes»(tags.x) INTO $upstream", "twin changes", "/twinChangeNotifications"},
		{"FROM /messages/* INTO $upstream /* all */«»", "expected INTO", "comment"},
		{"FROM /messages\nWHERE a = 'ü'\n  AND b «>» 3 INTO $upstream", "", ""},
	} {
		t.Run(tt.text, func(t *testing.T) {
			before, rest, _ := strings.Cut(tt.text, "«")
			marked, after, _ := strings.Cut(rest, "»")
			_, err := Parse(before + marked + after)
			problems := Problems(err)
			if len(problems) != 1 {
				t.Fatalf("%d problems: %v", len(problems), err)
			}
			p := problems[0]
			if tt.message != "" && (p.Start != len(before) || p.End != len(before)+len(marked)) {
				t.Errorf("it points at %q\n%s", p.Text[p.Start:p.End], p.Caret())
			}
			if !strings.Contains(p.Message, tt.message) || !strings.Contains(p.Hint, tt.hint) {
				t.Errorf("message %q, hint %q", p.Message, p.Hint)
			}
		})
	}
}

// All type errors of a condition are told together.
func TestTypeErrorsComeTogether(t *testing.T) {
	_, err := ParseCondition("a > 1 AND b > 2 AND nope(c) AND (d + 'x') = 3", Pattern{})
	if got := len(Problems(err)); got != 4 {
		t.Errorf("%d problems, want 4: %v", got, err)
	}
}

func TestCaret(t *testing.T) {
	_, err := Parse("FROM /messages\nWHERE ü = 'é'\n\tAND b > 3 INTO $upstream")
	p := Problems(err)[0]
	line, col := p.Position()
	if line != 3 || col != 8 {
		t.Errorf("at %d:%d, want 3:8", line, col)
	}
	if want := " AND b > 3 INTO $upstream\n       ^\n"; p.Caret() != want {
		t.Errorf("caret\n%q, want\n%q", p.Caret(), want)
	}
	_, err = ParseCondition(strings.Repeat("a = 'b' AND ", 50)+"c > 3"+strings.Repeat(" AND a = 'b'", 50), Pattern{})
	lines := strings.Split(Problems(err)[0].Caret(), "\n")
	if at := strings.IndexRune(lines[1], '^'); len([]rune(lines[0])) > 2*window+2 || []rune(lines[0])[at] != '>' {
		t.Errorf("a long line is shown as\n%s\n%s", lines[0], lines[1])
	}
}

// What is allowed and yet a trap is told.
func TestDoubts(t *testing.T) {
	const into = " INTO $upstream"
	for _, tt := range []struct{ text, message, hint string }{
		{"FROM /messages WHERE a!='b'" + into, "a! is the name", "a != …"},
		{"FROM /messages WHERE $cid!='b'" + into, "", "$cid != …"},
		{"FROM /messages WHERE is_defined(1+1)" + into, "1+1 is the name", "spaces"},
		{"FROM /messages WHERE a||b = 'x'" + into, "a||b is the name", "spaces"},
		{"FROM /messages WHERE is_defined(3-2)" + into, "3-2 is the name", "spaces"},
		{"FROM /messages WHERE a" + into, "is a string", "is_defined(a)"},
		{"FROM /messages WHERE a = TRUE" + into, "TRUE is the name", "true"},
		{"FROM /messages WHERE $correlationId = 'x'" + into, "no system property", "$cid"},
		{"FROM /messages WHERE $conectionDeviceId = 'x'" + into, "no system property", "$connectiondeviceid"},
		{"FROM /messages WHERE $body.a != 3" + into, "also true of a body that has no $body.a", "NOT is_null($body.a)"},
		{"FROM /messages WHERE is_defined($body.a)" + into, "also true", "NOT is_null($body.a)"},
		{"FROM /messages WHERE $body.a OR b = 'c'" + into, "undefined", "$body.a = true"},
		{"FROM /messages/events" + into, "no message", "/messages/*"},
		{"FROM /messages/modules/Mod*" + into, "a star", "whole steps"},
		{"FROM /*/modules/*" + into, "a star", ""},
		{"FROM /deviceLifecycleNotifications/*" + into, "no message", "/twinChangeNotifications"},
		{"FROM /messages INTO $upstream, $x", "ignored", "another route"},
		{`FROM /messages INTO BrokeredEndpoint("/module/m/input/i")`, "not looked at", "/modules/m"},
		{`FROM /messages/modules/m/outputs/o INTO BrokeredEndpoint("/modules/m/inputs/i")`, "what it sends itself", ""},
		{`FROM /messages/* INTO BrokeredEndpoint("/modules/m/inputs/i")`, "itself included", "NOT is_defined($connectionModuleId)"},
	} {
		t.Run(tt.text, func(t *testing.T) {
			var all []string
			for _, d := range mustParse(t, tt.text).Doubts() {
				all = append(all, d.Error())
				if strings.Contains(d.Message, tt.message) && strings.Contains(d.Hint, tt.hint) {
					return
				}
			}
			t.Errorf("doubts: %q", all)
		})
	}
	for _, text := range []string{
		"FROM /* INTO $upstream",
		"FROM /messages/* WHERE NOT IS_DEFINED($connectionModuleId) INTO BrokeredEndpoint(\"/modules/ai_insights/inputs/input1\")",
		"FROM /messages/modules/a/outputs/* INTO BrokeredEndpoint(\"/modules/b/inputs/i\")",
		"FROM /twinChangeNotifications WHERE twin_change_includes(properties.reported.a) INTO $upstream",
		"FROM /twinChangeNotifications INTO BrokeredEndpoint(\"/modules/b/inputs/i\")",
		"FROM /messages WHERE my-property = 'a' AND $contentType = 'b' AND $body.a.b[0] = 3 INTO $upstream",
	} {
		if d := mustParse(t, text).Doubts(); len(d) != 0 {
			t.Errorf("%s is doubted: %v", text, d[0])
		}
	}
}

// R24: a route that sends a module what it sends itself is pointed out.
func TestR24_LoopsAreDoubted(t *testing.T) {
	r := mustParse(t, `FROM /messages/modules/m INTO BrokeredEndpoint("/modules/m/inputs/i")`)
	if len(r.Doubts()) != 1 {
		t.Errorf("doubts: %v", r.Doubts())
	}
}

// Routes meet messages by whole steps of the path, in any case.
func TestSources(t *testing.T) {
	leaf := Source{}
	module := Source{Module: "Mod1"}
	output := Source{Module: "Mod1", Output: "out"}
	twin := Source{TwinChange: true}
	all := []Source{leaf, module, output, twin}
	for _, tt := range []struct {
		from string
		want []Source
	}{
		{"/*", all},
		{"/messages", []Source{leaf, module, output}},
		{"/messages/*", []Source{leaf, module, output}},
		{"/MESSAGES/*", []Source{leaf, module, output}},
		{"/messages/events", nil},
		{"/messages/events/*", nil},
		{"/messages/modules", []Source{module, output}},
		{"/messages/modules/*", []Source{module, output}},
		{"/messages/modules/mod1", []Source{module, output}},
		{"/messages/modules/mod1/*", []Source{module, output}},
		{"/messages/modules/mod", nil},
		{"/messages/modules/mod*", nil},
		{"/messages/modules/mod10", nil},
		{"/messages/modules/mod1/outputs", []Source{output}},
		{"/messages/modules/mod1/outputs/*", []Source{output}},
		{"/messages/modules/Mod1/outputs/OUT", []Source{output}},
		{"/messages/modules/mod1/outputs/out/*", []Source{output}},
		{"/messages/modules/mod1/outputs/o", nil},
		{"/messages/modules/*/outputs/*", nil},
		{"/*/modules/*", nil},
		{"/twinChangeNotifications", []Source{twin}},
		{"/twinchangenotifications/*", []Source{twin}},
		{"/deviceLifecycleNotifications/*", nil},
		{"/message", nil},
	} {
		t.Run(tt.from, func(t *testing.T) {
			r := mustParse(t, "FROM "+tt.from+" INTO $upstream")
			table, err := NewTable(Rule{Name: "r", Route: r, Priority: DefaultPriority})
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range all {
				want := false
				for _, w := range tt.want {
					want = want || w == s
				}
				if got := r.From().Match(s); got != want {
					t.Errorf("pattern and %s: %v", s, got)
				}
				if got := len(table.Match(&iot.Message{}, s)) == 1; got != want {
					t.Errorf("table and %s: %v", s, got)
				}
			}
		})
	}
}

func TestSourceOf(t *testing.T) {
	for _, tt := range []struct{ kind, module, output, want string }{
		{"", "", "", "/messages/"},
		{"", "", "out", "/messages/"},
		{"", "m", "", "/messages/modules/m/"},
		{"", "m", "out", "/messages/modules/m/outputs/out/"},
		{"TWINchangenotification", "$edgeHub", "", "/twinChangeNotifications/"},
		{"other", "m", "", "/messages/modules/m/"},
	} {
		var m iot.Message
		m.System.Set(iot.MessageType, tt.kind)
		m.System.Set(iot.ConnectionModuleID, tt.module)
		m.System.Set(iot.OutputName, tt.output)
		s := SourceOf(&m)
		if s.String() != tt.want {
			t.Errorf("%+v: %s", tt, s)
		}
		if back, ok := ParseSource(s.String()); !ok || back != s {
			t.Errorf("ParseSource(%s) = %v, %v", s, back, ok)
		}
	}
	for _, path := range []string{"", "/", "/messages/events", "/messages/modules/", "/messages/modules/m/x/y", "/other"} {
		if s, ok := ParseSource(path); ok && path != "/messages/modules/" {
			t.Errorf("ParseSource(%q) = %v", path, s)
		}
	}
}

// Hostile routes are refused before they cost anything.
func TestLimits(t *testing.T) {
	for name, text := range map[string]string{
		"parentheses": strings.Repeat("(", 5000) + "true" + strings.Repeat(")", 5000),
		"calls":       strings.Repeat("abs(", 5000) + "1" + strings.Repeat(")", 5000),
		"NOT":         strings.Repeat("NOT ", 5000) + "true",
		"minus":       strings.Repeat("- ", 5000) + "1",
		"length":      "a = '" + strings.Repeat("x", MaxText) + "'",
	} {
		if _, err := ParseCondition(text, Pattern{}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	long := strings.Repeat("a = 'b' OR ", MaxText/11-1) + "a = 'c'"
	c, err := ParseCondition(long, Pattern{})
	if err != nil {
		t.Fatal(err)
	}
	m := &iot.Message{Properties: iot.Properties{{Key: "a", Value: "c"}}}
	if got := c.Eval(m); got != True {
		t.Errorf("a long condition is %v", got)
	}
}

// A condition that makes too much of a message is undefined, not slow.
func TestBudget(t *testing.T) {
	large := &iot.Message{Properties: iot.Properties{{Key: "a", Value: strings.Repeat("x", 200<<10)}, {Key: "b", Value: strings.Repeat("x", 200<<10)}}}
	many := &iot.Message{}
	for i := range 20000 {
		many.Properties = append(many.Properties, iot.Property{Key: fmt.Sprintf("k%d", i), Value: "v"})
	}
	for _, tt := range []struct {
		name, text string
		msg        *iot.Message
	}{
		{"strings that are made", "length(concat(" + strings.Repeat("upper(a), ", 2000) + "a)) > 0", large},
		{"strings that are compared", strings.Repeat("a != b OR ", 2000) + "a = b", large},
		{"names that are looked up", strings.Repeat("none = 'x' OR ", 2000) + "k19999 = 'v'", many},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := ParseCondition(tt.text, Pattern{})
			if err != nil {
				t.Fatal(err)
			}
			if got := c.Eval(tt.msg); got != Undefined {
				t.Errorf("got %v", got)
			}
			table := mustTable(t, Rule{Name: "greedy", Route: &Route{from: ParsePattern("/*"), condition: c}},
				rule(t, "modest", 1, "FROM /* WHERE a = 'x' OR k19999 = 'v' OR length(b) > 0 INTO $upstream"))
			if got := table.Match(tt.msg, Source{}); len(got) != 1 || got[0].Route != "modest" {
				t.Errorf("another route is not taken because of it: %v", got)
			}
		})
	}
}

func ExampleTable_Match() {
	r, err := Parse("FROM /messages/* WHERE level = 'high' INTO $upstream")
	if err != nil {
		fmt.Println(err)
		return
	}
	table, err := NewTable(Rule{Name: "alarms", Route: r, Priority: 0})
	if err != nil {
		fmt.Println(err)
		return
	}
	msg := iot.Message{Properties: iot.Properties{{Key: "level", Value: "high"}}}
	for _, t := range table.Match(&msg, SourceOf(&msg)) {
		fmt.Println(t.Endpoint, t.Priority, t.Route)
	}
	// Output: $upstream 0 alarms
}

func ExampleProblem_Caret() {
	_, err := Parse("FROM /messages/* WHERE level > 5 INTO $upstream")
	for _, p := range Problems(err) {
		fmt.Print(p.Caret())
		fmt.Println(p)
	}
	// Output:
	// FROM /messages/* WHERE level > 5 INTO $upstream
	//                              ^
	// 1:30: '>' needs two values of one type, not a string and a number (properties are strings; write as_number(level))
}
