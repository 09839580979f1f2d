package mqtthead

import (
	"strconv"
	"strings"

	"sluice/internal/topic"
	"sluice/iot"
)

// An operation is what a client asks for by publishing to a topic.
type operation struct {
	kind   operationKind
	bag    string // of telemetry: its properties, encoded
	rid    string // of the others: the request, as the client wrote it
	status int    // of a method's answer
}

type operationKind uint8

const (
	telemetry operationKind = iota + 1
	twinGet
	twinPatch
	methodAnswer
)

// parseTopic reads the topic of a publication of id. The error is an [iot.Error]:
// Forbidden for another identity's topic, Invalid for what is no topic of IoT
// Hub.
func parseTopic(id iot.Identity, name string) (operation, error) {
	if rest, ok := strings.CutPrefix(name, "devices/"); ok {
		return parseEvents(id, name, rest)
	}
	if rest, ok := strings.CutPrefix(name, "$iothub/twin/"); ok {
		return parseTwin(id, name, rest)
	}
	if rest, ok := strings.CutPrefix(name, "$iothub/methods/res/"); ok {
		return parseAnswer(id, name, rest)
	}
	return operation{}, foreign(id, name)
}

func foreign(id iot.Identity, name string) error {
	return iot.Errorf(iot.Invalid, "publish", id, "%.200q is not a topic to publish to", name)
}

// parseEvents reads {d}[/modules/{m}]/messages/events[/[{bag}[/]]]. SDKs for
// modules put a slash after the bag.
func parseEvents(id iot.Identity, name, rest string) (operation, error) {
	rest, own := cutIdentity(id, rest)
	if !own {
		return operation{}, iot.Errorf(iot.Forbidden, "publish", id, "%.200q is not a topic of its own", name)
	}
	bag, ok := strings.CutPrefix(rest, "/messages/events")
	if !ok {
		return operation{}, foreign(id, name)
	}
	if bag != "" {
		bag, ok = strings.CutPrefix(bag, "/")
		bag = strings.TrimSuffix(bag, "/")
	}
	if !ok || strings.IndexByte(bag, '/') >= 0 {
		return operation{}, foreign(id, name)
	}
	return operation{kind: telemetry, bag: bag}, nil
}

// cutIdentity cuts {d} or {d}/modules/{m} from the front of what stands after
// devices/, and reports whether it is id. A device's own topics are not those of
// its modules, nor the other way round.
func cutIdentity(id iot.Identity, rest string) (after string, own bool) {
	if rest, own = cutID(id.Device, rest); !own || !id.IsModule() {
		return rest, own
	}
	if rest, own = strings.CutPrefix(rest, "/modules/"); !own {
		return rest, false
	}
	return cutID(id.Module, rest)
}

// cutID cuts one id, as it is or url-encoded. Ids with wildcards are only known
// by their url-encoded form: as they are, they would not be that id in a topic.
func cutID(id, rest string) (after string, ok bool) {
	level := rest
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		level = rest[:i]
	}
	if strings.ContainsAny(level, "+#") {
		return rest, false
	}
	return rest[len(level):], level == id || topic.Unescape(level) == id
}

// parseTwin reads GET/?$rid={rid} and PATCH/properties/reported/?$rid={rid}.
func parseTwin(id iot.Identity, name, rest string) (operation, error) {
	op := operation{kind: twinGet}
	query, ok := strings.CutPrefix(rest, "GET/")
	if !ok {
		op.kind = twinPatch
		query, ok = strings.CutPrefix(rest, "PATCH/properties/reported/")
	}
	if op.rid = requestID(query); !ok || op.rid == "" {
		return operation{}, foreign(id, name)
	}
	return op, nil
}

// parseAnswer reads {status}/?$rid={rid}.
func parseAnswer(id iot.Identity, name, rest string) (operation, error) {
	status, query, _ := strings.Cut(rest, "/")
	code, err := strconv.ParseInt(status, 10, 32)
	rid := requestID(query)
	if err != nil || rid == "" {
		return operation{}, foreign(id, name)
	}
	return operation{kind: methodAnswer, rid: rid, status: int(code)}, nil
}

// requestID finds $rid in a query, or returns "". It is not decoded: the answer
// carries it back as it came.
func requestID(query string) string {
	query, ok := strings.CutPrefix(query, "?")
	if !ok {
		return ""
	}
	for pair := range strings.SplitSeq(query, "&") {
		if rid, ok := strings.CutPrefix(pair, "$rid="); ok {
			return strings.TrimSuffix(rid, "/")
		}
		if rid, ok := strings.CutPrefix(pair, "%24rid="); ok {
			return strings.TrimSuffix(rid, "/")
		}
	}
	return ""
}

// parseFilter finds the subscription that a filter of id asks for.
func parseFilter(id iot.Identity, filter string) (kind, bool) {
	switch filter {
	case "$iothub/methods/POST/#":
		return methods, true
	case "$iothub/twin/res/#":
		return twinAnswers, true
	case "$iothub/twin/PATCH/properties/desired/#":
		return desiredChanges, true
	}
	rest, ok := strings.CutPrefix(filter, "devices/")
	if !ok {
		return 0, false
	}
	rest, own := cutIdentity(id, rest)
	switch {
	case !own:
	case !id.IsModule() && rest == "/messages/devicebound/#":
		return commands, true
	case id.IsModule() && rest == "/inputs/#":
		return inputs, true
	case id.IsModule() && rest == "/#":
		return allOfModule, true
	}
	return 0, false
}

// appendIdentity appends devices/{d}[/modules/{m}]. Ids stand there as they are,
// for SDKs compare them so, unless they would be wildcards.
func appendIdentity(b []byte, id iot.Identity) []byte {
	b = append(b, "devices/"...)
	b = appendID(b, id.Device)
	if id.IsModule() {
		b = append(b, "/modules/"...)
		b = appendID(b, id.Module)
	}
	return b
}

func appendID(b []byte, id string) []byte {
	if strings.ContainsAny(id, "+#") {
		id = topic.Escape(id)
	}
	return append(b, id...)
}

// deliveryTopic is where a command or an input arrives.
func deliveryTopic(id iot.Identity, m *iot.Message) string {
	b := appendIdentity(make([]byte, 0, 256), id)
	if id.IsModule() {
		b = append(b, "/inputs/"...)
		b = append(b, topic.Escape(m.System.Get(iot.InputName))...)
		b = append(b, '/')
	} else {
		b = append(b, "/messages/devicebound/"...)
	}
	start := len(b)
	b = topic.AppendBag(b, m, id.IsModule())
	// The C SDK knows system properties by the encoded form of their dollar
	// sign, which is how IoT Hub writes it.
	return string(b[:start]) + strings.ReplaceAll(string(b[start:]), "$", "%24")
}

func methodTopic(name, rid string) string {
	return "$iothub/methods/POST/" + topic.Escape(name) + "/?$rid=" + rid
}

func twinAnswerTopic(status int, rid string) string {
	return "$iothub/twin/res/" + strconv.Itoa(status) + "/?$rid=" + rid
}

func versionSuffix(version int64) string { return "&$version=" + strconv.FormatInt(version, 10) }

func desiredTopic(version int64) string {
	return "$iothub/twin/PATCH/properties/desired/?$version=" + strconv.FormatInt(version, 10)
}
