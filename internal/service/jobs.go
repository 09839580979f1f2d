package service

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"

	"sluice/iot"
)

func jobPath(id string) string { return "/jobs/v2/" + escape(id) }

// jobBody is what a client may say of a job.
type jobBody struct {
	JobID            string          `json:"jobId"`
	Type             string          `json:"type"`
	Method           *MethodOfJob    `json:"cloudToDeviceMethod,omitempty"`
	UpdateTwin       json.RawMessage `json:"updateTwin,omitempty"`
	QueryCondition   string          `json:"queryCondition"`
	StartTime        *Time           `json:"startTime,omitempty"`
	MaxExecutionTime int64           `json:"maxExecutionTimeInSeconds,omitempty"`
}

// CreateJob makes a job and returns it as the hub completed it. One with the same
// id is the error code.JobAlreadyExists.
func (c *Client) CreateJob(ctx context.Context, want Job) (Job, error) {
	body := jobBody{
		JobID: want.JobID, Type: want.Type, Method: want.Method, UpdateTwin: want.UpdateTwin,
		QueryCondition: want.QueryCondition, MaxExecutionTime: want.MaxExecutionTime,
	}
	if !want.StartTime.IsZero() {
		body.StartTime = &want.StartTime
	}
	var made Job
	err := c.do(ctx, &request{op: "job " + want.JobID, method: http.MethodPut, path: jobPath(want.JobID), in: body, out: &made})
	return made, err
}

// Job returns a job.
func (c *Client) Job(ctx context.Context, id string) (Job, error) {
	var j Job
	err := c.do(ctx, &request{op: "job " + id, method: http.MethodGet, path: jobPath(id), out: &j})
	return j, err
}

// CancelJob ends a job and returns it as it is then.
func (c *Client) CancelJob(ctx context.Context, id string) (Job, error) {
	var j Job
	err := c.do(ctx, &request{op: "job " + id, method: http.MethodPost, path: jobPath(id) + "/cancel", out: &j})
	return j, err
}

// Jobs lists the jobs of this type and status, where "" is any.
func (c *Client) Jobs(ctx context.Context, kind, status string) (list []Job, err error) {
	after := ""
	for {
		var page []Job
		r := &request{op: "list jobs", method: http.MethodGet, path: "/jobs/v2/query", query: url.Values{}, header: http.Header{}, out: &page}
		if kind != "" {
			r.query.Set("jobType", kind)
		}
		if status != "" {
			r.query.Set("jobStatus", status)
		}
		if after != "" {
			r.header.Set(continuation, after)
		}
		if err := c.do(ctx, r); err != nil {
			return nil, err
		}
		list = append(list, page...)
		next := r.response.Get(continuation)
		if next == "" {
			return list, nil
		}
		if next == after {
			return nil, iot.Errorf(iot.Internal, "list jobs", iot.Identity{}, "the hub does not go on")
		}
		after = next
	}
}
