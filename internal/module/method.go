package module

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"sluice/iot"
)

// method answers a direct method of $edgeAgent: ping and RestartModule.
func (r *Runtime) method(ctx context.Context, call iot.MethodCall) iot.MethodResult {
	switch strings.ToLower(call.Name) {
	case "ping":
		return iot.MethodResult{Status: 200}
	case "restartmodule":
		return r.restartMethod(ctx, call.Payload)
	}
	return refusal(400, fmt.Errorf("there is no method %q", call.Name))
}

func (r *Runtime) restartMethod(ctx context.Context, payload json.RawMessage) iot.MethodResult {
	var q struct {
		SchemaVersion string `json:"schemaVersion"`
		ID            string `json:"id"`
	}
	err := json.Unmarshal(payload, &q)
	if err == nil && q.ID == "" {
		err = errors.New(`the payload is {"schemaVersion": "1.0", "id": MODULE}`)
	}
	if err != nil {
		return refusal(400, err)
	}
	if err := r.Restart(ctx, q.ID); err != nil {
		return refusal(500, err)
	}
	return iot.MethodResult{Status: 200}
}

func refusal(status int, err error) iot.MethodResult {
	payload, _ := json.Marshal(map[string]string{"message": err.Error()}) // text has a form
	return iot.MethodResult{Status: status, Payload: payload}
}
