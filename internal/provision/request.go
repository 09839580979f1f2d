package provision

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"sluice/internal/hubevent"
	"sluice/internal/leafwire"
	"sluice/iot"
)

// A Request is what a translation module asks for.
type Request struct {
	Sender    iot.Identity       `json:"sender"` // the module, as the hub stamped it
	Leaf      string             `json:"leaf"`
	Operation leafwire.Operation `json:"op"`
	At        time.Time          `json:"at"` // when the hub received it

	// Fault says why the request is refused whatever the allow list says, or is "".
	Fault string `json:"fault,omitempty"`
}

// Why an event is no request.
var (
	errOther  = errors.New("is no leaf event") // telemetry, for instance: not worth a word
	errSender = errors.New("does not come from a module of an edge device")
)

// request makes a Request of what the hub says of an event, and of its body.
func request(device, module string, at time.Time, body []byte) (Request, error) {
	sender := iot.ModuleIdentity(device, module)
	if module == "" || sender.Validate() != nil {
		return Request{}, errSender
	}
	e, err := leafwire.ParseEvent(body)
	if err != nil {
		return Request{}, err
	}
	r := Request{Sender: sender, Leaf: e.LeafDeviceID, Operation: e.Operation, At: at.UTC()}
	switch {
	case e.EdgeDeviceID != device || e.EdgeModuleID != module:
		r.Fault = fmt.Sprintf("the request names the module %s/%s and comes from %s", e.EdgeDeviceID, e.EdgeModuleID, sender)
	case leafwire.ValidateLeaf(r.Leaf, device) != nil, strings.EqualFold(r.Leaf, module):
		r.Fault = "the id is reserved"
	}
	return r, nil
}

// fromLog makes a Request of an event of the hub's log.
func fromLog(e *hubevent.Event) (Request, error) {
	if e.Source != "" && e.Source != "Telemetry" || !isLeafEvent(e.Properties) {
		return Request{}, errOther
	}
	body := e.Binary
	if body == nil {
		body = []byte(e.Text())
	}
	return request(e.Device, e.Module, e.Enqueued, body)
}

// isLeafEvent looks at application properties, whose names are found in any case.
func isLeafEvent(properties map[string]string) bool {
	found := false
	for k, v := range properties {
		if strings.EqualFold(k, leafwire.TypeProperty) {
			if v != leafwire.TypeEvent {
				return false
			}
			found = true
		}
	}
	return found
}

// unquote returns the bytes of a body in Event Grid's form: JSON as it is, anything
// else as a text of base64.
func unquote(body json.RawMessage) ([]byte, error) {
	if len(body) == 0 || body[0] != '"' {
		return body, nil
	}
	var raw []byte
	if err := json.Unmarshal(body, &raw); err != nil {
		return nil, errors.New("the body is neither a JSON object nor base64")
	}
	return raw, nil
}
