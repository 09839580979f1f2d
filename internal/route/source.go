package route

import (
	"strings"

	"sluice/iot"
)

// Source is where a message comes from, as routes see it. The zero Source is
// telemetry of a leaf device.
type Source struct {
	TwinChange bool   // a patch of reported properties
	Module     string // module that sent the message, or ""
	Output     string // the module's output, or ""
}

const twinChange = "twinChangeNotification"

// SourceOf tells the source of a message from its system properties: the type
// first, then the module and its output.
func SourceOf(msg *iot.Message) Source {
	if strings.EqualFold(msg.System.Get(iot.MessageType), twinChange) {
		return Source{TwinChange: true}
	}
	module := msg.System.Get(iot.ConnectionModuleID)
	if module == "" {
		return Source{}
	}
	return Source{Module: module, Output: msg.System.Get(iot.OutputName)}
}

// String is the path that routes are compared with: /twinChangeNotifications/,
// /messages/, /messages/modules/{module}/ or, below that, outputs/{output}/.
func (s Source) String() string {
	switch {
	case s.TwinChange:
		return "/twinChangeNotifications/"
	case s.Module == "":
		return "/messages/"
	case s.Output == "":
		return "/messages/modules/" + s.Module + "/"
	}
	return "/messages/modules/" + s.Module + "/outputs/" + s.Output + "/"
}

// segments appends the steps of the path to dst.
func (s Source) segments(dst []string) []string {
	if s.TwinChange {
		return append(dst, "twinChangeNotifications")
	}
	dst = append(dst, "messages")
	if s.Module != "" {
		dst = append(dst, "modules", s.Module)
	}
	if s.Module != "" && s.Output != "" {
		dst = append(dst, "outputs", s.Output)
	}
	return dst
}

// ParseSource reads the form of Source.String; the last slash and everything
// after what routes can tell apart may be missing or other.
func ParseSource(path string) (Source, bool) {
	steps := strings.Split(strings.Trim(path, "/"), "/")
	is := func(i int, word string) bool { return i < len(steps) && strings.EqualFold(steps[i], word) }
	switch {
	case is(0, "twinChangeNotifications") && len(steps) == 1:
		return Source{TwinChange: true}, true
	case is(0, "messages") && len(steps) == 1:
		return Source{}, true
	case is(0, "messages") && is(1, "modules") && len(steps) == 3:
		return Source{Module: steps[2]}, true
	case is(0, "messages") && is(1, "modules") && is(3, "outputs") && len(steps) == 5:
		return Source{Module: steps[2], Output: steps[4]}, true
	}
	return Source{}, false
}

// Pattern is the source that a route names: the beginning of a path, in whole
// steps, without regard to case. /messages, /messages/ and /messages/* are the
// same Pattern.
type Pattern struct {
	path string // begins and ends with a slash
}

// newPattern makes the Pattern of what stands after FROM. A star means anything
// below only at the very end, where it changes nothing; elsewhere it is itself.
func newPattern(text string) Pattern {
	path := strings.TrimRight(text, "*")
	path = strings.TrimRight(path, "/")
	return Pattern{path: path + "/"}
}

// Match reports whether messages of this source are meant.
func (p Pattern) Match(s Source) bool {
	path := s.String()
	return len(path) >= len(p.path) && strings.EqualFold(path[:len(p.path)], p.path)
}

// String is the Pattern as a route writes it, with a star at the end.
func (p Pattern) String() string { return p.path + "*" }

// segments are the steps of the path.
func (p Pattern) segments() []string {
	path := strings.Trim(p.path, "/")
	if path == "" {
		return nil
	}
	return strings.Split(path, "/")
}

// isTwinChange reports whether the Pattern means twin changes and nothing else.
func (p Pattern) isTwinChange() bool {
	return strings.EqualFold(p.path, "/twinChangeNotifications/")
}

// ParsePattern makes the Pattern of a path that stands by itself, outside of a
// route.
func ParsePattern(path string) Pattern { return newPattern(strings.TrimSpace(path)) }
