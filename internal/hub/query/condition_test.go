package query

import (
	"encoding/json"
	"strings"
	"testing"
)

const oneTwin = `{
	"deviceId": "d-1", "etag": "AAAAAAAAAAE=", "status": "enabled", "connectionState": "Connected",
	"lastActivityTime": "2024-02-29T12:00:00.1234567Z", "version": 7, "capabilities": {"iotEdge": true},
	"configurations": {"10-example": {"status": "Applied"}},
	"tags": {"site": "hall 4", "floor": 2, "empty": "", "it's": 1, "my-tag": "x", "deep": {"a": {"b": true}}, "list": [1, "two", {"three": 3}]},
	"properties": {
		"desired": {"n": 1.50, "$version": 3},
		"reported": {"t": 21.5, "on": true, "off": false, "nothing": null, "big": 4503599627370495, "s": "Grüße😀",
			"$metadata": {"$lastUpdated": "2024-02-29T12:00:00Z", "t": {"$lastUpdated": "2024-02-29T11:00:00Z"}}, "$version": 9}
	}
}`

func row(t testing.TB, text string) JSONRow {
	t.Helper()
	r, err := ParseRow(json.RawMessage(text))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// outcome evaluates a condition: true, false or undefined.
func outcome(t *testing.T, condition string, r Row) string {
	t.Helper()
	c, err := ParseCondition(condition)
	if err != nil {
		t.Fatalf("%s: %v", condition, err)
	}
	v := c.where.eval(r)
	if got := c.Match(r); got != (v.kind == boolean && v.bool) {
		t.Errorf("%s: matches %t, but is %v", condition, got, v)
	}
	switch {
	case v.kind == undefined:
		return "undefined"
	case v.kind != boolean:
		return string(v.appendJSON(nil))
	case v.bool:
		return "true"
	}
	return "false"
}

func TestConditions(t *testing.T) {
	r := row(t, oneTwin)
	for want, conditions := range map[string][]string{
		"true": {
			`*`,
			`deviceId = 'd-1'`,
			`DEVICEID = "d-1" and Tags.site = 'hall 4'`,
			`devices.tags.floor = 2`,
			`tags.floor = 0x2`,
			`tags.floor = 2.0e0`,
			`tags.[[my-tag]] = 'x'`,
			`tags[[my-tag]] = 'x'`,
			`tags['my-tag'] = 'x'`,
			`tags["it's"] = 1`,
			`tags['it\'s'] = 1`,
			`tags['it''s'] = 1`,
			`tags.deep.a.b = true`,
			`tags.deep.a.b`,
			`tags.list[1] = 'two'`,
			`tags.list[2].three = 3`,
			`configurations.[[10-example]].status = 'Applied'`,
			`capabilities.iotEdge = true`,
			`properties.desired.n = 1.5`,
			`properties.reported.$version >= 9`,
			`properties.reported.$metadata.t.$lastUpdated < '2024-02-29T12:00:00Z'`,
			`lastActivityTime > '2024-02-29'`,
			`properties.reported.nothing = null`,
			`IS_NULL(properties.reported.nothing) AND IS_DEFINED(properties.reported.nothing)`,
			`NOT is_defined(tags.none)`,
			`NOT tags.site = 'x'`,
			`tags.site != 'x'`,
			`tags.site <> 'x'`,
			`tags.site IN ['hall 3', 'hall 4']`,
			`tags.site NIN ['hall 3']`,
			`tags.site NOT IN ['hall 3', 5]`,
			`tags.floor IN ['2', 2]`,
			`1 + 2 * 3 = 7`,
			`(1 + 2) * 3 = 9`,
			`10 - 2 - 3 = 5`,
			`7 % 4 = 3`,
			`-tags.floor = -2`,
			`- - 2 = 2`,
			`2 * -3 = -6`,
			`true OR undefined`,
			`undefined OR true`,
			`false OR false OR tags.floor = 2`,
			`tags.none = 1 OR tags.floor = 2`,
			`NOT (undefined AND false)`,
			`true OR false AND false`,
			`'a' < 'b'`, `'B' < 'a'`, `'é' > 'z'`, `false < true`,
			`STARTSWITH(tags.site, 'hall') AND starts_with(tags.site, '')`,
			`endswith(tags.site, '4')`,
			`CONTAINS(tags.site, 'l 4')`,
			`LENGTH(properties.reported.s) = 7`,
			`length(tags.empty) = 0`,
			`INDEX_OF(properties.reported.s, '😀') = 5 AND INDEX_OF('a', 'b') = -1`,
			`SUBSTRING(properties.reported.s, 2, 3) = 'üße'`,
			`SUBSTRING('abc', 1) = 'bc' AND SUBSTRING('abc', 9) = '' AND SUBSTRING('abc', 1, 99) = 'bc'`,
			`UPPER('ä') = 'Ä' AND lower('Ä') = 'ä'`,
			`CONCAT('a', 'b', 'c') = 'abc'`,
			`ABS(-2) = 2 AND CEILING(1.2) = 2 AND FLOOR(-1.2) = -2 AND SIGN(-9) = -1 AND SIGN(0) = 0 AND SIGN(3) = 1`,
			`SQUARE(3) = 9 AND SQRT(9) = 3 AND POWER(2, 10) = 1024 AND EXP(0) = 1`,
			`AS_NUMBER('1.5') = 1.5 AND AS_NUMBER(2) = 2`,
			`IS_STRING(tags.site) AND IS_NUMBER(tags.floor) AND IS_BOOL(true) AND IS_OBJECT(tags) AND IS_ARRAY(tags.list)`,
			`IS_PRIMITIVE(tags.site) AND NOT IS_PRIMITIVE(tags) AND NOT IS_PRIMITIVE(tags.none)`,
			`'\u00e9\ud83d\ude00\n\/' = 'é😀` + "\n" + `/'`,
			`properties.reported.big = 4503599627370495`,
			"\n\ttags.floor\r\n=\n2 ",
		},
		"false": {
			`deviceId = 'D-1'`,
			`tags.site = 'x'`,
			`NOT true`,
			`false AND undefined`,
			`undefined AND false`,
			`tags.none = 1 AND tags.floor = 3`,
			`tags.site IN ['x', 'y']`,
			`tags.site NIN ['hall 4']`,
			`IS_DEFINED(tags.none)`,
			`IS_STRING(1)`,
			`null != null`,
			`false = true`,
		},
		"undefined": {
			`tags.Site = 'hall 4'`,
			`tags.none = 1`, `tags.none != 1`, `NOT tags.none`, `tags.none IN [1]`, `tags.none NIN [1]`,
			`tags.site = 4`, `tags.site < 4`, `tags.site != 4`, `tags.floor NIN ['x']`, `tags.floor IN []`,
			`tags = tags`, `tags.list = tags.list`,
			`true AND undefined`, `undefined OR false`, `tags.site AND true`,
			`1 / 0 = 1`, `SQRT(-1) = 1`, `5 % 0 = 1`, `EXP(1000) = 1`, `'a' + 'b' = 'ab'`, `-'a' = 1`, `ABS('1') = 1`,
			`UPPER(1) = 'A'`, `CONTAINS(tags, 'x')`, `CONCAT('a', 1) = 'a1'`, `AS_NUMBER('x') = 1`, `AS_NUMBER(true) = 1`, `AS_NUMBER('inf') > 1`,
			`SUBSTRING('abc', -1) = 'a'`, `SUBSTRING('abc', 0.5) = 'a'`, `SUBSTRING(1, 1) = 'a'`,
			`tags.list[9] = 1`, `tags.site.x = 1`, `undefined = undefined`, `null = undefined`,
			`deviceId.x = 1`,
		},
		`"hall 4"`: {`tags.site`},
		`1.50`:     {`properties.desired.n`},
		`1.5`:      {`properties.desired.n + 0`},
		`null`:     {`null`},
	} {
		for _, c := range conditions {
			if got := outcome(t, c, r); got != want {
				t.Errorf("%s is %s, want %s", c, got, want)
			}
		}
	}
}

func TestNumbersThatAreNoneAreUndefined(t *testing.T) {
	if got := outcome(t, `IS_DEFINED(n)`, row(t, `{"n":1e999}`)); got != "false" {
		t.Errorf("a number beyond all numbers is defined: %s", got)
	}
}

func TestSurrogateCutInHalfIsNoError(t *testing.T) {
	if got := outcome(t, `SUBSTRING('😀', 1) = '`+"\ufffd"+`'`, row(t, `{}`)); got != "true" {
		t.Errorf("half of a pair is %s", got)
	}
}

func TestDeepConditionsAreRefusedAndLongOnesAreNot(t *testing.T) {
	deep := strings.Repeat("(", MaxDepth) + "true" + strings.Repeat(")", MaxDepth)
	if _, err := ParseCondition(deep); err == nil || !strings.Contains(err.Error(), "nested more than 32 deep") {
		t.Errorf("%d parentheses: %v", MaxDepth, err)
	}
	if _, err := ParseCondition(deep[1 : len(deep)-1]); err != nil {
		t.Errorf("one less: %v", err)
	}
	for _, open := range []string{"NOT ", "-", "ABS(", "1 IN ["} {
		if _, err := ParseCondition(strings.Repeat(open, 1000)); err == nil {
			t.Errorf("1000 times %s was accepted", open)
		}
	}
	long := strings.Repeat("tags.floor = 2 OR ", 400) + "false"
	if got := outcome(t, long, row(t, oneTwin)); got != "true" {
		t.Errorf("400 alternatives: %s", got)
	}
	if _, err := ParseCondition(long + strings.Repeat(" ", MaxLength)); err == nil || !strings.Contains(err.Error(), "the limit is 8192") {
		t.Errorf("too long: %v", err)
	}
}
