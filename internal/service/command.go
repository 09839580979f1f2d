package service

import (
	"context"
	"encoding/base64"
	"net/http"

	"sluice/iot"
)

// CommandType is the content type of a list of messages in JSON, in which the
// names of properties keep their case, as in headers they do not.
const CommandType = "application/vnd.microsoft.iothub.json"

// A Command is a cloud-to-device message in a body of CommandType. Properties are
// named as the headers of a single message are: iothub-messageid, or iothub-app-x
// for the application property x.
type Command struct {
	Body          string            `json:"body"`
	Base64Encoded bool              `json:"base64Encoded"`
	Properties    map[string]string `json:"properties"`
}

// AppPrefix begins the name of an application property.
const AppPrefix = "iothub-app-"

// CommandProperties are the system properties that a sender of commands sets, by
// the name of their header.
var CommandProperties = map[string]iot.SystemName{
	"iothub-messageid":       iot.MessageID,
	"iothub-correlationid":   iot.CorrelationID,
	"iothub-userid":          iot.UserID,
	"iothub-to":              iot.To,
	"iothub-expiry":          iot.ExpiryTime,
	"iothub-ack":             iot.Ack,
	"iothub-contenttype":     iot.ContentType,
	"iothub-contentencoding": iot.ContentEncoding,
}

// SendCommand stores a cloud-to-device message for a device or module. A hub that
// does not take it over HTTPS, as Azure IoT Hub, is sent it over AMQP.
func (c *Client) SendCommand(ctx context.Context, id iot.Identity, m iot.Message) error {
	err := c.do(ctx, &request{
		op: "command", id: id, method: http.MethodPost, path: "/messages/deviceBound",
		header: http.Header{"Content-Type": {CommandType}}, in: []Command{commandForm(id, &m)},
	})
	if wantsAMQP(err) {
		return c.sendOverAMQP(ctx, id, &m)
	}
	return err
}

// commandForm is a command in the form of CommandType.
func commandForm(id iot.Identity, m *iot.Message) Command {
	form := Command{Body: base64.StdEncoding.EncodeToString(m.Body), Base64Encoded: true, Properties: map[string]string{}}
	for header, name := range CommandProperties {
		if v := m.System.Get(name); v != "" {
			form.Properties[header] = v
		}
	}
	for _, p := range m.Properties {
		form.Properties[AppPrefix+p.Key] = p.Value
	}
	form.Properties["iothub-to"] = pathOf(id) + "/messages/devicebound"
	return form
}

// PurgeCommands ends all commands that wait for a device, and returns how many
// there were.
func (c *Client) PurgeCommands(ctx context.Context, device string) (int, error) {
	var answer struct {
		Purged int `json:"totalMessagesPurged"`
	}
	id := iot.DeviceIdentity(device)
	err := c.do(ctx, &request{op: "purge", id: id, method: http.MethodDelete, path: pathOf(id) + "/commands", out: &answer})
	return answer.Purged, err
}
