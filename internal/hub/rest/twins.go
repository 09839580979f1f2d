package rest

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"sluice/internal/hub"
	"sluice/internal/hub/code"
	"sluice/internal/hub/storage"
	"sluice/internal/twin"
	"sluice/iot"
)

// Largest bodies, in bytes. A twin's own limits are on what is in it.
const (
	maxTwin   = 256 << 10
	maxMethod = 256 << 10
)

// maxPayload is the largest payload of a method, either way, in bytes.
const maxPayload = 128 << 10

// Twins are the twins of a hub, and its direct methods.
type Twins interface {
	Owner(*storage.Entry) twin.Owner
	Twin(iot.Identity) (twin.Twin, error)
	PatchTwin(id iot.Identity, patch json.RawMessage, ifMatch string) (twin.Twin, error)
	ReplaceTwin(id iot.Identity, body json.RawMessage, ifMatch string) (twin.Twin, error)
	BeginTwins([]hub.FirstTwin) error
	InvokeMethod(ctx context.Context, target iot.Identity, call iot.MethodCall) (iot.MethodResult, error)
}

// twinRoutes are what a service does with devices and modules. A registry alone
// has none.
func (a *api) twinRoutes(h Hub) []route {
	if _, alone := h.(empty); alone {
		return nil
	}
	var routes []route
	for _, path := range []string{"/twins/{device}", "/twins/{device}/modules/{module}"} {
		routes = append(routes,
			route{method: http.MethodGet, path: path, right: storage.ServiceConnect, handle: getTwin},
			route{method: http.MethodPatch, path: path, right: storage.ServiceConnect, handle: patchTwin},
			route{method: http.MethodPut, path: path, right: storage.ServiceConnect, handle: replaceTwin},
			route{method: http.MethodPost, path: path + "/methods", right: storage.ServiceConnect, handle: invokeMethod},
		)
	}
	return routes
}

func getTwin(c *call) (answer, error) {
	id, err := c.identity()
	if err != nil {
		return answer{}, err
	}
	t, err := c.Hub.Twin(id)
	if err != nil {
		return answer{}, err
	}
	return c.twinAnswer(id, t)
}

func patchTwin(c *call) (answer, error) { return c.changeTwin(c.Hub.PatchTwin) }

func replaceTwin(c *call) (answer, error) { return c.changeTwin(c.Hub.ReplaceTwin) }

func (c *call) changeTwin(change func(iot.Identity, json.RawMessage, string) (twin.Twin, error)) (answer, error) {
	id, err := c.identity()
	if err != nil {
		return answer{}, err
	}
	var body json.RawMessage
	if err := c.read(maxTwin, &body); err != nil {
		return answer{}, err
	}
	etag, _ := c.ifMatch() // none: whatever it is
	t, err := change(id, body, etag)
	if err != nil {
		return answer{}, err
	}
	return c.twinAnswer(id, t)
}

func (c *call) twinAnswer(id iot.Identity, t twin.Twin) (answer, error) {
	e, ok := c.Registry.Get(id)
	if !ok {
		return answer{}, code.Errorf(code.DeviceNotFound, "twin", id, "it was deleted meanwhile")
	}
	body, err := t.Full(c.Hub.Owner(&e))
	if err != nil {
		return answer{}, err
	}
	return answer{etag: t.ETag(), body: body}, nil
}

// methodRequest is the body of a direct method.
type methodRequest struct {
	Name            string          `json:"methodName"`
	Payload         json.RawMessage `json:"payload"`
	ResponseTimeout int             `json:"responseTimeoutInSeconds"`
	ConnectTimeout  int             `json:"connectTimeoutInSeconds"`
}

type methodAnswer struct {
	Status  int             `json:"status"`
	Payload json.RawMessage `json:"payload"`
}

func invokeMethod(c *call) (answer, error) {
	id, err := c.identity()
	if err != nil {
		return answer{}, err
	}
	var r methodRequest
	if err := c.read(maxMethod, &r); err != nil {
		return answer{}, err
	}
	if len(r.Payload) > maxPayload {
		return answer{}, code.Errorf(code.MessageTooLarge, "method", id, "the payload has %d bytes; the limit is %d", len(r.Payload), maxPayload)
	}
	const limit = 3600 // seconds; the hub's own limits are lower
	if r.ResponseTimeout > limit || r.ConnectTimeout > limit {
		return answer{}, code.Errorf(code.ArgumentInvalid, "method", id, "a timeout is at most 300 seconds")
	}
	result, err := c.Hub.InvokeMethod(c.r.Context(), id, iot.MethodCall{
		Name:            r.Name,
		Payload:         r.Payload,
		ResponseTimeout: time.Duration(r.ResponseTimeout) * time.Second,
		ConnectTimeout:  time.Duration(r.ConnectTimeout) * time.Second,
	})
	if err != nil {
		return answer{}, err
	}
	a := methodAnswer{Status: result.Status, Payload: result.Payload}
	if !json.Valid(a.Payload) {
		a.Payload = json.RawMessage("null") // an empty answer; heads pass nothing else that is no JSON
	}
	return answer{body: a}, nil
}
