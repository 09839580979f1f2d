package route

import (
	"maps"
	"slices"
	"strings"

	"sluice/internal/spelling"
)

func (p *parser) symbolHint(t token) string {
	switch p.word(t) {
	case ";":
		return "a route ends without a semicolon"
	case "?":
		return "the operator is ??, with spaces around it"
	case "\\":
		return "a backslash stands only in a string"
	case "[", "]":
		return "brackets are for body values, as in $body.list[0]"
	}
	return ""
}

// operandHint guesses what was meant where a value should stand.
func (p *parser) operandHint(t token) string {
	switch {
	case t.kind == tokOp && t.op == "=" && p.prev.kind == tokOp && p.prev.op == "=":
		return "equality is written with a single ="
	case t.kind == tokOp && (t.op == "=" || t.op == ">") && p.prev.kind == tokOp:
		return "operators are = != <> < <= > >=, without a space inside"
	case t.kind == tokInto || t.kind == tokFrom || t.kind == tokSelect || t.kind == tokWhere:
		return "this word is reserved"
	}
	return ""
}

// betweenHint guesses what was meant where an operator should stand.
func (p *parser) betweenHint(t token) string {
	word := p.word(t)
	switch strings.ToUpper(word) {
	case "&&", "&":
		return "write AND"
	case "==", "===":
		return "equality is written with a single ="
	case "LIKE":
		return "there is no LIKE; use starts_with, ends_with or contains"
	case "IN":
		return "there is no IN; join comparisons with OR"
	case "IS":
		return "use is_defined(name) or is_null(name)"
	case "BETWEEN":
		return "there is no BETWEEN; use >= and <="
	}
	switch {
	case t.kind == tokInteger || t.kind == tokReal:
		if word[0] == '-' {
			return "to subtract, put a space behind the minus: - " + word[1:]
		}
		return "operators need spaces around them"
	case strings.HasPrefix(word, "AND") || strings.HasPrefix(word, "OR"):
		return "operators need spaces around them"
	case t.kind == tokUnterminated:
		return p.quoteHint(t)
	}
	return ""
}

func (p *parser) quoteHint(t token) string {
	if t.end < len(p.text) && p.text[t.end] == '\\' {
		return `in a string a backslash stands only before a quote, a backslash, or u and four digits`
	}
	return "the closing quote must be the same as the opening one"
}

// typeHint guesses what was meant by operands of the wrong types.
func (c *checker) typeHint(e *expr) string {
	for i, a := range e.args {
		other := e.args[len(e.args)-1-i]
		switch {
		case a.op == opProperty && (a.name == "TRUE" || a.name == "FALSE" || a.name == "NULL" || a.name == "UNDEFINED" ||
			a.name == "True" || a.name == "False" || a.name == "Null"):
			return "write " + strings.ToLower(a.name) + " in lower case; as it is, it is the name of a property"
		case a.op == opProperty && other.typ == numberType, a.op == opSystem && a.typ == stringType && other.typ == numberType:
			return "properties are strings; write as_number(" + c.text[a.pos:a.end] + ")"
		case a.typ == stringType && other.typ == boolType && e.op == "||":
			return "|| joins strings; write OR"
		case a.typ == boolType && other.typ == boolType && e.op == "||":
			return "|| joins strings; write OR"
		case a.typ == stringType && other.typ == boolType && a.op != opLiteral && isEquality(e.op) && other.op == opLiteral:
			return "properties are strings; compare with '" + c.text[other.pos:other.end] + "'"
		case a.typ == stringType && other.typ == nullType && isEquality(e.op):
			return "to ask whether a property is there, use is_defined(" + c.text[a.pos:a.end] + ")"
		case other.typ == undefinedType && other.op == opLiteral && e.op != "??":
			return "use is_defined(…)"
		}
	}
	if e.op == "NOT" {
		return "NOT binds tighter than comparisons; write NOT (…)"
	}
	if e.op == "AND" || e.op == "OR" {
		return "each side must be a comparison or another condition, as in name = 'x'"
	}
	return ""
}

func isEquality(op string) bool { return op == "=" || op == "!=" || op == "<>" }

func (c *checker) functionHint(name string) string {
	names := append(slices.Sorted(maps.Keys(functions)), "twin_change_includes")
	if f := spelling.Nearest(strings.ToLower(name), names, nil); f != "" {
		return "did you mean " + f + "?"
	}
	return ""
}

// callHint guesses what was meant by arguments of the wrong types.
func (c *checker) callHint(e *expr) string {
	for _, a := range e.args {
		if a.typ == stringType && (a.op == opProperty || a.op == opSystem) && takesNumbers(e.name) {
			return "properties are strings; write as_number(" + c.text[a.pos:a.end] + ")"
		}
	}
	return ""
}

func takesNumbers(function string) bool {
	for _, fm := range functions[strings.ToLower(function)] {
		if fm.params[0] == numberType {
			return true
		}
	}
	return false
}

// formsText lists the forms of a function for people.
func formsText(forms []form) string {
	texts := make([]string, len(forms))
	for i, fm := range forms {
		names := make([]string, len(fm.params))
		for j, t := range fm.params {
			names[j] = t.String()
		}
		texts[i] = "(" + strings.Join(names, ", ")
		if fm.more {
			texts[i] += ", …"
		}
		texts[i] += ")"
	}
	return strings.Join(texts, " or ")
}
