package query

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"sluice/iot"
)

// Limits of a query.
const (
	MaxLength = 8 << 10   // bytes
	MaxDepth  = 32        // expressions inside each other
	MaxGroups = 10_000    // of one query with GROUP BY
	MaxTop    = 1<<31 - 1 // rows asked for with TOP
)

// Error says what is wrong with the text of a query, and where.
type Error struct {
	Offset int    // bytes from the start of the text
	Line   int    // from 1
	Column int    // characters from 1
	Reason string // what is wrong, and what to write instead if that is known
}

func (e *Error) Error() string {
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Reason)
}

// errorAt makes the Error for a place in text, as the cause of one that is
// Invalid.
func errorAt(text string, offset int, format string, args ...any) error {
	before := text[:offset]
	lineStart := strings.LastIndexByte(before, '\n') + 1
	return &iot.Error{
		Kind: iot.Invalid,
		Op:   "query",
		Err: &Error{
			Offset: offset,
			Line:   strings.Count(before, "\n") + 1,
			Column: utf8.RuneCountInString(before[lineStart:]) + 1,
			Reason: fmt.Sprintf(format, args...),
		},
	}
}
