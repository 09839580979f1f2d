package jobs

import (
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"time"

	"sluice/internal/hub/code"
	"sluice/internal/hub/query"
	"sluice/internal/service"
	"sluice/internal/twin"
	"sluice/iot"
)

// A plan is what a job does to whom. It does not change.
type plan struct {
	targets *query.Query
	method  *iot.MethodCall // nil: the twin is changed
	patch   json.RawMessage
	etag    string
	time    time.Duration // that it may take
}

// parse checks a job. Errors carry a [code.Code].
func parse(form *service.Job) (p plan, err error) {
	if err := iot.ValidateID(form.JobID); err != nil {
		return p, invalid("the job id %q %v", form.JobID, err)
	}
	p.time = time.Duration(form.MaxExecutionTime) * time.Second
	if form.MaxExecutionTime == 0 {
		p.time = defaultTime
	}
	if form.MaxExecutionTime < 0 || form.MaxExecutionTime > int64(maxTime/time.Second) {
		return p, invalid("maxExecutionTimeInSeconds is %d; it may be up to %d", form.MaxExecutionTime, int64(maxTime/time.Second))
	}
	if p.targets, err = parseTargets(form.QueryCondition); err != nil {
		return p, err
	}
	switch form.Type {
	case service.JobMethod:
		return p, p.parseMethod(form.Method)
	case service.JobTwin:
		return p, p.parseTwin(form.UpdateTwin)
	}
	return p, invalid("type %.40q: it is %s or %s", form.Type, service.JobMethod, service.JobTwin)
}

var modulesPrefix = regexp.MustCompile(`(?i)^\s*from\s+devices\.modules\s+where\s+`)

// parseTargets makes a query of a condition, which may begin with FROM
// devices.modules WHERE.
func parseTargets(condition string) (*query.Query, error) {
	from := query.Devices
	if prefix := modulesPrefix.FindString(condition); prefix != "" {
		from, condition = query.Modules, condition[len(prefix):]
	}
	text := "SELECT * FROM " + string(from)
	switch strings.TrimSpace(condition) {
	case "":
		return nil, code.Errorf(code.ArgumentNull, "job", iot.Identity{}, "there is no queryCondition; * is for all devices")
	case "*":
		return query.Parse(text)
	}
	_, err := query.ParseCondition(condition) // alone, so that nothing can follow it
	var q *query.Query
	if err == nil {
		q, err = query.Parse(text + " WHERE " + condition)
	}
	var wrong *query.Error
	if errors.As(err, &wrong) {
		return nil, invalid("queryCondition: %v", wrong)
	}
	return q, err
}

func (p *plan) parseMethod(m *service.MethodOfJob) error {
	if m == nil || m.Name == "" {
		return code.Errorf(code.ArgumentNull, "job", iot.Identity{}, "cloudToDeviceMethod has no methodName")
	}
	const most = 300 // seconds
	if m.ResponseTimeout < 0 || m.ResponseTimeout > most || m.ConnectTimeout < 0 || m.ConnectTimeout > most {
		return invalid("a timeout of a method is 0 to %d seconds", most)
	}
	p.method = &iot.MethodCall{
		Name: m.Name, Payload: m.Payload,
		ResponseTimeout: time.Duration(m.ResponseTimeout) * time.Second,
		ConnectTimeout:  time.Duration(m.ConnectTimeout) * time.Second,
	}
	return nil
}

func (p *plan) parseTwin(patch json.RawMessage) error {
	var form struct {
		ETag string `json:"etag"`
	}
	if len(patch) == 0 || string(patch) == "null" {
		return code.Errorf(code.ArgumentNull, "job", iot.Identity{}, "there is no updateTwin")
	}
	if err := json.Unmarshal(patch, &form); err != nil {
		return invalid("updateTwin is not a twin")
	}
	// What no twin can take is refused now, and not for each device.
	if _, err := twin.New(time.Time{}).Patch(patch, time.Time{}); err != nil {
		var e *iot.Error
		errors.As(err, &e)
		return invalid("updateTwin: %s", e.Detail)
	}
	p.patch, p.etag = patch, strings.Trim(form.ETag, `"`)
	return nil
}

func invalid(format string, args ...any) error {
	return code.Errorf(code.ArgumentInvalid, "job", iot.Identity{}, format, args...)
}
