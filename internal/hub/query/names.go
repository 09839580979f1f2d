package query

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"sluice/internal/spelling"
)

func isText(s string) bool { return utf8.ValidString(s) }

// shown are the names at the top of a twin or job, which may be written in any
// case.
var shown = []string{
	"deviceId", "moduleId", "etag", "deviceEtag", "version", "status", "statusReason", "statusUpdateTime",
	"connectionState", "lastActivityTime", "cloudToDeviceMessageCount", "authenticationType", "x509Thumbprint",
	"modelId", "capabilities", "deviceScope", "parentScopes", "configurations", "tags", "properties",
	"jobId", "jobType", "type", "outcome", "error", "createdDateTimeUtc", "startDateTimeUtc", "startTimeUtc",
	"startTime", "createdTime", "endTime", "endDateTimeUtc", "endTimeUtc", "lastUpdatedDateTimeUtc",
	"maxExecutionTimeInSeconds", "queryCondition", "failureReason", "statusMessage", "cloudToDeviceMethod", "updateTwin",
}

// resolve makes paths of what was written: without the name of the collection,
// for which the service's tools write devices even when they ask for modules,
// and with the service's own spelling at the top.
func (p *parser) resolve(from Collection) {
	for _, a := range p.names {
		for _, collection := range []Collection{from, Devices} {
			rest, ok := cutPath(a.path, strings.Split(string(collection), "."))
			if ok && topName(rest[0]) != "" {
				a.path = rest
				break
			}
		}
		if name := topName(a.path[0]); name != "" {
			a.path[0] = name
		}
	}
}

// topName is the service's spelling of a name at the top, or "".
func topName(name string) string {
	for _, s := range shown {
		if strings.EqualFold(s, name) {
			return s
		}
	}
	return ""
}

// cutPath removes the prefix, if something is left then.
func cutPath(path, prefix []string) ([]string, bool) {
	if len(path) <= len(prefix) {
		return nil, false
	}
	for i, name := range prefix {
		if !strings.EqualFold(path[i], name) {
			return nil, false
		}
	}
	return path[len(prefix):], true
}

func arguments(f function) string {
	switch {
	case f.max == many:
		return fmt.Sprintf("%d arguments or more", f.min)
	case f.min != f.max:
		return fmt.Sprintf("%d or %d arguments", f.min, f.max)
	case f.min == 1:
		return "1 argument"
	}
	return fmt.Sprintf("%d arguments", f.min)
}

// unknownFunction says what to write instead, if something is close.
func unknownFunction(name string) string {
	if isAggregate(name) {
		return strings.ToUpper(name) + " is an aggregate: it stands after SELECT alone"
	}
	var names []string
	for _, f := range functions {
		names = append(names, f.name)
	}
	nearest := spelling.Nearest(strings.ToUpper(shorten(name)), names, nil)
	if nearest == "" {
		return "there is no function " + shorten(name)
	}
	return fmt.Sprintf("there is no function %s; did you mean %s?", shorten(name), nearest)
}
