package service

import (
	"context"
	"encoding/json"
	"math"
	"net/http"
	"strings"
	"time"

	"sluice/iot"
)

// twinPath is where the twin of an identity is.
func twinPath(id iot.Identity) string { return "/twins/" + strings.TrimPrefix(pathOf(id), "/devices/") }

// Twin returns the twin of a device or module, as the hub shows it.
func (c *Client) Twin(ctx context.Context, id iot.Identity) (json.RawMessage, error) {
	var t json.RawMessage
	err := c.do(ctx, &request{op: "twin", id: id, method: http.MethodGet, path: twinPath(id), out: &t})
	return t, err
}

// TwinChange is what a service says of a twin: tags and desired properties, each a
// JSON object, or nil to leave it as it is.
type TwinChange struct {
	Tags       json.RawMessage `json:"tags,omitempty"`
	Properties *TwinProperties `json:"properties,omitempty"`
}

// TwinProperties are the properties in a TwinChange.
type TwinProperties struct {
	Desired json.RawMessage `json:"desired,omitempty"`
}

// UpdateTwin merges a change into a twin, if its entity tag is etag, or whatever
// it is if etag is "". It returns the twin as it is then.
func (c *Client) UpdateTwin(ctx context.Context, id iot.Identity, change TwinChange, etag string) (json.RawMessage, error) {
	return c.changeTwin(ctx, http.MethodPatch, id, change, etag)
}

// ReplaceTwin makes change the tags and desired properties of a twin, if its
// entity tag is etag, or whatever it is if etag is "".
func (c *Client) ReplaceTwin(ctx context.Context, id iot.Identity, change TwinChange, etag string) (json.RawMessage, error) {
	return c.changeTwin(ctx, http.MethodPut, id, change, etag)
}

func (c *Client) changeTwin(ctx context.Context, method string, id iot.Identity, change TwinChange, etag string) (json.RawMessage, error) {
	var t json.RawMessage
	err := c.do(ctx, &request{op: "twin", id: id, method: method, path: twinPath(id), ifMatch: orAny(etag), in: change, out: &t})
	return t, err
}

// methodBody is the body of a direct method.
type methodBody struct {
	Name            string          `json:"methodName"`
	Payload         json.RawMessage `json:"payload"`
	ResponseTimeout int             `json:"responseTimeoutInSeconds,omitempty"`
	ConnectTimeout  int             `json:"connectTimeoutInSeconds"`
}

// methodGrace is what a hub may take beyond the timeouts of a method.
const methodGrace = 15 * time.Second

// InvokeMethod calls a direct method and waits for its answer. Timeouts are
// rounded up to seconds.
func (c *Client) InvokeMethod(ctx context.Context, id iot.Identity, call iot.MethodCall) (iot.MethodResult, error) {
	var answer struct {
		Status  int             `json:"status"`
		Payload json.RawMessage `json:"payload"`
	}
	wait := call.ResponseTimeout
	if wait == 0 {
		wait = 30 * time.Second // the hub's default
	}
	err := c.do(ctx, &request{
		op: "method", id: id, method: http.MethodPost, path: twinPath(id) + "/methods",
		in:      methodBody{call.Name, call.Payload, seconds(call.ResponseTimeout), seconds(call.ConnectTimeout)},
		out:     &answer,
		timeout: wait + call.ConnectTimeout + methodGrace,
	})
	return iot.MethodResult{Status: answer.Status, Payload: answer.Payload}, err
}

func seconds(d time.Duration) int { return int(math.Ceil(d.Seconds())) }
