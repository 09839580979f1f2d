package route

import (
	"math"
	"strings"
	"testing"
	"unicode/utf16"

	"sluice/iot"
)

func text(s string) *string { return &s }

// specimen is the message that the conditions below are about.
func specimen() *Sample {
	return &Sample{
		Properties: Attributes{
			"name": text("value"), "n": text("3"), "$own": text("application"), "$cid": text("hidden"), "empty": text(""),
			"nothing": nil, "$body.conflict": text("property"), "smile": text("a😀b"), "money": text(" (¤1,234.5) "),
		},
		System: Attributes{
			"contentType": text("Application/JSON"), "contentEncoding": text("UTF-8"), "cid": text("17"),
			"connectionDeviceId": text("pump"), "messageId": text(""),
		},
		Body: []byte(`{"t":50,"f":-1.5e1,"s":"text","yes":true,"no":false,"nil":null,"list":[1,[2,3],{"x":"y"}],"conflict":1,
			"time":"2017-03-09T00:00:00.000Z","date":"2017-03-09","obj":{"a":1,"b":2,"T":9},"one":{"only":7},"dup":1,"dup":2}`),
	}
}

// message is the sample as a gateway has it, without what is null.
func (s *Sample) message() *iot.Message {
	m := &iot.Message{Body: s.Body}
	for key, v := range s.Properties {
		if v != nil {
			m.Properties.Set(key, *v)
		}
	}
	for key, v := range s.System {
		name, _ := iot.ParseSystemName(key)
		m.System.Set(name, *v)
	}
	return m
}

// Each rule of the language, by section of the guide.
func TestEvaluation(t *testing.T) {
	groups := map[string]map[string]string{
		"names": {
			"name = 'value'":                             "true",
			"NAME = 'value'":                             "true",
			"missing = 'value'":                          "undefined",
			"empty = ''":                                 "true",
			"$cid = 'hidden'":                            "true",
			"{$cid} = '17'":                              "true",
			"$own = 'application'":                       "true",
			"is_defined({$own})":                         "false",
			"$CONNECTIONdeviceID = 'pump'":               "true",
			"NOT is_defined($connectionModuleId)":        "true",
			"$x[0] = undefined":                          "undefined",
			"name[0] = 'value'":                          "error",
			"{name} = 'value'":                           "error",
			"{$cid = '17'":                               "error",
			"is_null(nothing)":                           "true",
			"nothing = 'x'":                              "undefined",
			"is_defined(nothing)":                        "true",
			"concat('a', nothing, 'b') = 'ab'":           "true",
			"lower(nothing) = ''":                        "undefined",
			"(nothing ?? 'x') = 'x'":                     "undefined",
			"is_string(nothing)":                         "false",
			"(missing ?? 'x') = 'x'":                     "true",
			"$body = 'x'":                                "undefined",
			"$body.conflict = 'property'":                "true",
			"{$body.conflict} = 1":                       "true",
			"$BODY.t = 50":                               "true",
			"-undefined = 'x'":                           "undefined",
			"true = true":                                "true",
			"TRUE = 'x'":                                 "undefined",
			"name='value'":                               "true",
			"name!='value'":                              "undefined",
			"as_number(n)>2":                             "true",
			"(name)='value'AND(n)='3'":                   "error",
			"name = 'value' AND n = '3'":                 "true",
			"name = 'value' /* and so on */ AND n = '3'": "true",
		},
		"literals": {
			`'it\'s' = "it's"`:           "true",
			`'\u00e9' = 'é'`:             "true",
			`"a\"b" = 'a"b'`:             "true",
			`'\\' = "\\"`:                "true",
			`'\n' = 'x'`:                 "error",
			"'a\nb' = 'a\nb'":            "true",
			"0x10 = 16":                  "true",
			"0xFFFFFFFFFFFFFFFF = 0 - 1": "true",
			"0x00000000000000000001 = 1": "true",
			"0x1FFFFFFFFFFFFFFFF = 1":    "error",
			"1e3 = 1000":                 "true",
			".5 = 0.5":                   "true",
			"-.5e1 = 0 - 5":              "true",
			"5. = 5":                     "error",
			"1e400 = 1/0":                "true",
			"E5 = undefined":             "undefined",
			"3 -2":                       "undefined",
			"undefined = undefined":      "undefined",
			"undefined = 1":              "error",
			"null = null":                "true",
			"null >= null":               "true",
			"null != null":               "false",
			"null = 1":                   "error",
			"name = null":                "error",
		},
		"operators": {
			"1 + 2 * 3 - 4 / 2 % 3 = 5": "true",
			"10 - 4 - 3 = 3":            "true",
			"- (3) = 0 - 3":             "true",
			"NOT true = false":          "true",
			"NOT NOT true":              "true",
			"NOT name = 'x'":            "error",
			"NOT (name = 'x')":          "true",
			"NOT null":                  "true",
			"NOT undefined":             "error",
			"false OR true AND false":   "false",
			"1 < 2 = true":              "true",
			"'a' || 'b' = 'ab'":         "true",
			"'a' || 1 = 'a1'":           "error",
			"0 / 0 = 1":                 "undefined",
			"-1 / 0 < 0":                "true",
			"5 % 3 = 2":                 "true",
			"-5 % 3 = -2":               "true",
			"'B' < 'a'":                 "true",
			"'\\uFFFF' > '😀'":           "true",
			"false < true":              "true",
			"1 <> 2":                    "true",
			"null":                      "false",
			"'text'":                    "undefined",
			"1":                         "undefined",
			"name":                      "undefined",
			"true = true = true":        "true",
			"true AND 'x'":              "error",
			"true AND 1":                "error",
		},
		"three values": {
			"true AND undefined":      "undefined",
			"undefined AND false":     "false",
			"false AND missing = 'x'": "false",
			"missing = 'x' AND false": "false",
			"true OR missing = 'x'":   "true",
			"missing = 'x' OR true":   "true",
			"missing = 'x' OR false":  "undefined",
			"missing = 'x' AND true":  "undefined",
			"undefined OR undefined":  "undefined",
			"NOT (missing = 'x')":     "undefined",
			"null AND true":           "false",
			"(true AND null) = null":  "true",
			"null OR true":            "true",
			"false OR null":           "false",
			"null OR null":            "false",
			"null AND undefined":      "error",
			"undefined OR null":       "error",
			"missing = 'x' ?? true":   "true",
			"name = 'x' ?? true":      "false",
		},
		"body": {
			"$body.t = 50":                             "true",
			"$body.t = '50'":                           "false",
			"$body.t != '50'":                          "true",
			"$body.f < 0":                              "true",
			"$body.yes":                                "true",
			"NOT $body.no":                             "true",
			"$body.s = name":                           "false",
			"$body.s > 'sex'":                          "true",
			"$body.nil = null":                         "true",
			"$body.none = null":                        "true",
			"$body.none != 'x'":                        "true",
			"$body.none > 5":                           "undefined",
			"$body.none < 'x'":                         "undefined",
			"$body.s >= 5":                             "undefined",
			"$body.yes < 5":                            "undefined",
			"$body.T = 50":                             "false",
			"$body.list[0] = 1":                        "true",
			"$body.list[1][1] = 3":                     "true",
			"$body.list[2].x = 'y'":                    "true",
			"$body.list[9] = null":                     "true",
			"$body.list = 1":                           "undefined",
			"$body.obj = null":                         "undefined",
			"$body.obj.a = 1":                          "true",
			"$body.one.* = 7":                          "true",
			"$body.obj.* = 1":                          "undefined",
			"$body.time = '2017-03-09T00:00:00.000Z'":  "undefined",
			"$body.date = '2017-03-09'":                "true",
			"$body.dup = 2":                            "true",
			"$body.a..b = 1":                           "error",
			"$body. = 1":                               "error",
			"$body.a. = 1":                             "error",
			"$body.1 = 1":                              "error",
			"$body.a[] = 1":                            "error",
			"$body.a[-1] = 1":                          "error",
			"$body.a['x'] = 1":                         "error",
			"$body.a[99999999999] = 1":                 "error",
			"$body.t + 1 = 51":                         "true",
			"$body.s + 1 = 51":                         "undefined",
			"$body.t = undefined":                      "error",
			"upper($body.s) = 'TEXT'":                  "true",
			"length($body.t) = 2":                      "undefined",
			"$body.s || '!' = 'text!'":                 "true",
			"$body.yes AND name = 'value'":             "true",
			"$body.obj OR name = 'value'":              "undefined",
			"$body.yes AND 'x'":                        "undefined",
			"$body.yes AND null":                       "error",
			"$body.yes OR null":                        "undefined",
			"'x' AND $body.yes":                        "error",
			"($body.nil ?? 1) = null":                  "true",
			"($body.obj ?? 1) = 1":                     "true",
			"as_number($body.t) = 50":                  "true",
			"is_number($body.t) AND is_bool($body.no)": "true",
			"is_string($body.s) AND NOT is_string($body.t)": "true",
			"is_defined($body.none)":                        "true",
			"is_defined($body.obj)":                         "false",
			"is_bool($body.obj)":                            "undefined",
			"$body.nil = nothing":                           "undefined",
		},
		// What edgeHub gets plainly wrong.
		"W13 mended": {
			"is_null($body.none)":          "true",
			"is_null($body.nil)":           "true",
			"is_null($body.t)":             "false",
			"is_null($body.obj)":           "undefined",
			"$body.none > 5":               "undefined",
			"name = 'value' AND $body.yes": "true",
			"name = 'value' OR $body.no":   "true",
			"$body.t % 7 = 1":              "true",
			"- $body.t < 0":                "true",
		},
		"functions": {
			"abs(-3) = 3": "true",
			"ceiling(-2.1) = -2 AND floor(-2.1) = -3": "true",
			"sign(-0.5) = -1 AND sign(0) = 0":         "true",
			"sqrt(-1) = 1":                            "undefined",
			"square(3) = 9 AND power(2, 10) = 1024":   "true",
			"exp(0) = 1":                              "true",
			"as_number(n) + 1 = 4":                    "true",
			"as_number(money) = -1234.5":              "true",
			"as_number(name) = 1":                     "undefined",
			"as_number(true) = 1":                     "error",
			"abs(n) = 3":                              "error",
			"abs() = 3":                               "error",
			"abs(1, 2) = 3":                           "error",
			"nope(1)":                                 "error",
			"ABS(-3) = 3 AND Is_Defined(name)":        "true",
			"concat('a') = 'a'":                       "error",
			"concat('a', 'b', name) = 'abvalue'":      "true",
			"concat('a', missing) = 'a'":              "undefined",
			"concat('a', null) = 'a'":                 "error",
			"length(smile) = 4":                       "true",
			"substring(smile, 3) = 'b'":               "true",
			"substring(smile, 2) = '\\uDE00b'":        "true",
			"concat(substring(smile, 0, 2), substring(smile, 2)) = smile": "true",
			"substring('abc', 3) = ''":                                    "true",
			"substring('abc', 3, 0) = ''":                                 "undefined",
			"substring('abc', 4) = ''":                                    "undefined",
			"substring('abc', -1) = 'a'":                                  "undefined",
			"substring('abc', 1.9, 1.2) = 'b'":                            "undefined",
			"substring('abc', 1.9, 1) = 'b'":                              "true",
			"index_of(smile, 'b') = 3":                                    "true",
			"index_of(name, 'x') = -1":                                    "true",
			"starts_with(name, 'val') AND ends_with(name, 'ue') AND contains(name, 'alu')": "true",
			"starts_with(name, 'VAL')":           "false",
			"upper('straße é ı') = 'STRAßE É ı'": "true",
			"lower('ÀB İ') = 'àb İ'":             "true",
			"is_number(1/0)":                     "false",
			"is_number(3)":                       "true",
			"is_bool(missing = 'x')":             "undefined",
			"is_bool('x')":                       "false",
			"is_bool(undefined)":                 "false",
			"is_defined(undefined)":              "false",
			"is_defined(0/0)":                    "false",
			"is_null(undefined)":                 "false",
			"is_null(null)":                      "true",
			"is_null(missing)":                   "false",
		},
		"what stands behind": {
			"":                         "undefined",
			" \t\r\n":                  "undefined",
			"/* nothing */":            "undefined",
			"name = 'value' foo":       "true",
			"name = 'value' )":         "true",
			"(name = 'value') )":       "error",
			"is_defined(name))":        "error",
			"name = 'value' ;":         "true",
			"name = 'value' ; x":       "error",
			"name = 'value' @ n = '3'": "error",
			"(name = 'value'":          "error",
			"'v'AND = 'x'":             "undefined",
			"select = 'x'":             "error",
		},
	}
	for group, conditions := range groups {
		t.Run(group, func(t *testing.T) {
			for condition, want := range conditions {
				got := "error"
				c, err := ParseCondition(condition, Pattern{})
				if err == nil {
					got = c.EvalSample(specimen()).String()
				}
				if got != want {
					t.Errorf("%s = %s, want %s (%v)", condition, got, want, err)
				}
				if err == nil && !strings.Contains(condition, "nothing") {
					if got := c.Eval(specimen().message()).String(); got != want {
						t.Errorf("%s = %s for a message, want %s", condition, got, want)
					}
				}
			}
		})
	}
}

// The body is looked at only if the message says that it is JSON.
func TestBodyNeedsTypeAndEncoding(t *testing.T) {
	c, err := ParseCondition("$body.t = 50", Pattern{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		kind, encoding, body string
		want                 Result
	}{
		{"application/json", "utf-8", `{"t":50}`, True},
		{"APPLICATION/JSON", "UTF-8", "\ufeff {\"t\":50} ", True},
		{"application/json; charset=utf-8", "utf-8", `{"t":50}`, Undefined},
		{"text/plain", "utf-8", `{"t":50}`, Undefined},
		{"application/json", "", `{"t":50}`, Undefined},
		{"", "utf-8", `{"t":50}`, Undefined},
		{"application/json", "ascii", `{"t":50}`, Undefined},
		{"application/json", "utf-16", "{\x00\"\x00t\x00\"\x00:\x005\x000\x00}\x00", True},
		{"application/json", "utf-16", "{\x00\"\x00t\x00\"\x00:\x005\x000\x00}", Undefined},
		{"application/json", "utf-32", "\xff\xfe\x00\x00{\x00\x00\x00\"\x00\x00\x00t\x00\x00\x00\"\x00\x00\x00:\x00\x00\x005\x00\x00\x000\x00\x00\x00}\x00\x00\x00", True},
		{"application/json", "utf-32", "{\x00\x00\x00}", Undefined},
		{"application/json", "utf-8", `[{"t":50}]`, Undefined},
		{"application/json", "utf-8", `{"t":50} x`, Undefined},
		{"application/json", "utf-8", `{"t":50`, Undefined},
		{"application/json", "utf-8", `{"t":050}`, Undefined},
		{"application/json", "utf-8", `{"t":50,}`, Undefined},
		{"application/json", "utf-8", `{"t":50,"u":"\x"}`, Undefined},
		{"application/json", "utf-8", ``, Undefined},
		{"application/json", "utf-8", `{"u":` + strings.Repeat("[", maxDepth-1) + strings.Repeat("]", maxDepth-1) + `,"t":50}`, True},
		{"application/json", "utf-8", `{"u":` + strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth) + `,"t":50}`, Undefined},
		{"application/json", "utf-8", `{"u":` + strings.Repeat("[", 1<<20), Undefined},
	} {
		m := &iot.Message{Body: []byte(tt.body)}
		m.System.Set(iot.ContentType, tt.kind)
		m.System.Set(iot.ContentEncoding, tt.encoding)
		if got := c.Eval(m); got != tt.want {
			t.Errorf("%s, %s, %.60q: %v, want %v", tt.kind, tt.encoding, tt.body, got, tt.want)
		}
	}
}

// twin_change_includes can be used where twin changes are routed (W13).
func TestEdgeHubW13_TwinChangeIncludes(t *testing.T) {
	from := ParsePattern("/twinChangeNotifications/*")
	patch := &iot.Message{Body: []byte(`{"a":{"b":null},"c":1}`)}
	patch.System.Set(iot.MessageType, "twinChangeNotification")
	whole := &iot.Message{Body: []byte(`{"properties":{"reported":{"a":1}}}`)}
	whole.System.Set(iot.MessageType, "twinChangeNotification")
	broken := &iot.Message{Body: []byte(`{`)}
	for _, tt := range []struct {
		path string
		msg  *iot.Message
		want Result
	}{
		{"properties.reported.a", patch, True},
		{"Properties.Reported.a.b", patch, True},
		{"properties.reported.x", patch, False},
		{"properties.reported.a", whole, True},
		{"properties.desired.a", patch, False},
		{"tags.a", patch, False},
		{"tags.a", broken, Undefined},
	} {
		c, err := ParseCondition("twin_change_includes("+tt.path+")", from)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Eval(tt.msg); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.path, got, tt.want)
		}
	}
	c, err := ParseCondition("$body.c = 1", from)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Eval(patch); got != Undefined {
		t.Errorf("a body value of a twin change without a type is %v", got)
	}
	for _, arg := range []string{"", "a", "'properties.reported.a'", "properties.reported", "tags.a, tags.b", "tags..a", "$body.tags.a"} {
		if _, err := ParseCondition("twin_change_includes("+arg+")", from); err == nil {
			t.Errorf("no error for %q", arg)
		}
	}
}

// Only the same bytes are the same string, whatever they are.
func TestStringsThatAreNotUTF8(t *testing.T) {
	for _, a := range []string{"", "\xff", "\xfe", "\xffa", "\xfeb", "\xed\xa0", "\xed\xa0\x80", "\xf0\x9f", "�"} {
		for _, b := range []string{"", "\xff", "\xfe", "\xffa", "\xfeb", "\xed\xa0", "\xed\xa0\x80", "\xf0\x9f", "�"} {
			if (compareUnits(a, b) == 0) != (a == b) || sgn(compareUnits(a, b)) != -sgn(compareUnits(b, a)) {
				t.Errorf("compare(%q, %q) = %d", a, b, compareUnits(a, b))
			}
		}
	}
}

func TestParseNumber(t *testing.T) {
	inf := math.Inf(1)
	for s, want := range map[string]float64{
		"3": 3, "-3": -3, "+3": 3, "3-": -3, "3+": 3, " 3 ": 3, "\t3\r\n": 3, "(3)": -3, "( 3)": math.NaN(), "(3": math.NaN(),
		"1,234": 1234, "1,,2,": 12, ",1": math.NaN(), "1.5": 1.5, "1.": 1, ".5": 0.5, ".": math.NaN(), "1.2.3": math.NaN(),
		"1.5,0": math.NaN(), "1e3": 1000, "1E-3": 0.001, "1e": math.NaN(), "e3": math.NaN(), "1e+": math.NaN(), "¤3": 3, "3¤": 3, "-¤ 3": -3, "- 3": math.NaN(),
		"¤3¤": math.NaN(), "-3-": math.NaN(), "--3": math.NaN(), "(-3)": math.NaN(), "-(3)": math.NaN(), "3 -": -3, "1e400": inf, "-1e400": -inf, "Infinity": inf, "-infinity": -inf, " Infinity ": inf,
		"NaN": math.NaN(), "inf": math.NaN(), "0x10": math.NaN(), "1_000": math.NaN(), "": math.NaN(), " ": math.NaN(), "3x": math.NaN(), "٣": math.NaN(), "1e1,0": math.NaN(),
	} {
		got, ok := parseNumber(s)
		if ok == math.IsNaN(want) || ok && got != want {
			t.Errorf("parseNumber(%q) = %v, %v, want %v", s, got, ok, want)
		}
	}
}

func TestIsTime(t *testing.T) {
	for s, want := range map[string]bool{
		"2017-03-09T00:00:00": true, "2017-03-09T00:00:00Z": true, "2017-03-09T23:59:59.1234567+01:00": true, "2017-03-09T23:59:59-0100": true,
		"2017-03-09T23:59:59+01": true, "2017-03-09T24:00:00": true, "2016-02-29T00:00:00": true, "/Date(1489017600000)/": true, "/Date(-1+0100)/": true,
		"2017-02-29T00:00:00": false, "2017-13-09T00:00:00": false, "2017-03-09T24:00:01": false, "2017-03-09T00:60:00": false, "2017-03-09 00:00:00": false,
		"2017-03-09": false, "2017-03-09T00:00": false, "2017-03-09T00:00:00x": false, "2017-03-09T00:00:00.": false, "2017-03-09T00:00:00+1": false,
		"2017-03-09T00:00:00+01:99": false, "/Date(x)/": false, "/Date()/": false, "": false, "0000-01-01T00:00:00": false,
		"2017-03-09T00:00:00." + strings.Repeat("1", 30): false,
	} {
		if got := isTime(s); got != want {
			t.Errorf("isTime(%q) = %v", s, got)
		}
	}
}

// FuzzUnits: strings behave as the sequences of UTF-16 that they stand for.
func FuzzUnits(f *testing.F) {
	f.Add([]byte("a\x00=\xd8\x00\xde"), []byte("b\x00"), 1, 2)
	f.Fuzz(func(t *testing.T, a, b []byte, from, to int) {
		x, y := units(a), units(b)
		s, u := fromUnits(x), fromUnits(y)
		if unitsIn(s) != len(x) {
			t.Fatalf("%x: %d units", x, unitsIn(s))
		}
		if from = clamp(from, 0, len(x)); true {
			to = clamp(to, from, len(x))
		}
		if got, want := cut(s, from, to), fromUnits(x[from:to]); got != want {
			t.Errorf("cut(%x, %d, %d) = %q, want %q", x, from, to, got, want)
		}
		if got, want := joinAt(s, u), fromUnits(append(x[:len(x):len(x)], y...)); got != want {
			t.Errorf("join(%x, %x) = %q, want %q", x, y, got, want)
		}
		if got, want := sgn(compareUnits(s, u)), compareSlices(x, y); got != want {
			t.Errorf("compare(%x, %x) = %d, want %d", x, y, got, want)
		}
		if got := unescape(strings.Trim(quote(s), "'")); !strings.ContainsAny(s, "'") && got != s {
			t.Errorf("%q is quoted as %s, and that is %q", s, quote(s), got)
		}
	})
}

func units(b []byte) []uint16 {
	out := make([]uint16, len(b)/2)
	for i := range out {
		out[i] = uint16(b[2*i]) | uint16(b[2*i+1])<<8
	}
	return out
}

// fromUnits is the form of a sequence: pairs joined, the rest by themselves.
func fromUnits(us []uint16) string {
	var b []byte
	for i := 0; i < len(us); i++ {
		if i+1 < len(us) {
			if r := utf16.DecodeRune(rune(us[i]), rune(us[i+1])); r != 0xFFFD {
				b = append(b, string(r)...)
				i++
				continue
			}
		}
		b = appendUnit(b, us[i])
	}
	return string(b)
}

func clamp(n, least, most int) int { return max(least, min(n, most)) }

func sgn(n int) int {
	switch {
	case n < 0:
		return -1
	case n > 0:
		return 1
	}
	return 0
}

func compareSlices(a, b []uint16) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return sgn(int(a[i]) - int(b[i]))
		}
	}
	return sgn(len(a) - len(b))
}
