package rest

import (
	"encoding/base64"
	"io"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"sluice/internal/hub/code"
	"sluice/internal/hub/storage"
	"sluice/internal/service"
	"sluice/iot"
)

// Bounds of commands in one request.
const (
	maxCommandBody = 1 << 20 // bytes, with what JSON and base64 add
	maxCommands    = storage.MaxCommands
	maxProperties  = 128
)

// Commands are the cloud-to-device messages of a hub.
type Commands interface {
	SendCommand(iot.Identity, iot.Message) error
	PurgeCommands(iot.Identity) (int, error)
}

func (a *api) commandRoutes(h Hub) []route {
	if _, alone := h.(empty); alone {
		return nil
	}
	return []route{
		{method: http.MethodPost, path: "/messages/deviceBound", right: storage.ServiceConnect, handle: sendCommands},
		{method: http.MethodDelete, path: "/devices/{device}/commands", right: storage.ServiceConnect, handle: purgeCommands},
	}
}

// sendCommands stores cloud-to-device messages, and answers when they are on disk.
// Azure IoT Hub takes them over AMQP alone; this is the path and the form that its
// AMQP address and its HTTPS messages have. The body is a message whose properties
// are in headers, or, with the type [service.CommandType], a list of messages. If
// one of a list is refused, those before it are stored.
func sendCommands(c *call) (answer, error) {
	list, err := c.commands()
	if err != nil {
		return answer{}, err
	}
	for i := range list {
		target, err := targetOf(list[i].System.Get(iot.To))
		if err != nil {
			return answer{}, err
		}
		if err := c.Hub.SendCommand(target, list[i]); err != nil {
			return answer{}, err
		}
	}
	return answer{}, nil
}

func (c *call) commands() ([]iot.Message, error) {
	if kind, _, _ := mime.ParseMediaType(c.r.Header.Get("Content-Type")); kind != service.CommandType {
		m, err := c.command()
		return []iot.Message{m}, err
	}
	var items []service.Command
	if err := c.read(maxCommandBody, &items); err != nil {
		return nil, err
	}
	if len(items) == 0 || len(items) > maxCommands {
		return nil, code.Errorf(code.ArgumentInvalid, "command", iot.Identity{}, "the list has %d messages; it may have 1 to %d", len(items), maxCommands)
	}
	list := make([]iot.Message, len(items))
	for i := range items {
		if err := readCommand(&items[i], &list[i]); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// command is the one message that is the request.
func (c *call) command() (m iot.Message, err error) {
	if m.Body, err = io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, storage.MaxCommandSize)); err != nil {
		return m, code.Errorf(code.MessageTooLarge, "command", iot.Identity{}, "the body ended early, or is larger than %d bytes", storage.MaxCommandSize)
	}
	for _, name := range slices.Sorted(maps.Keys(c.r.Header)) {
		if err := setProperty(&m, strings.ToLower(name), c.r.Header.Get(name)); err != nil {
			return m, err
		}
	}
	return m, nil
}

func readCommand(item *service.Command, m *iot.Message) error {
	m.Body = []byte(item.Body)
	if item.Base64Encoded {
		var err error
		if m.Body, err = base64.StdEncoding.DecodeString(item.Body); err != nil {
			return code.Errorf(code.FormatError, "command", iot.Identity{}, "the body is not base64 text")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(item.Properties)) {
		if err := setProperty(m, name, item.Properties[name]); err != nil {
			return err
		}
	}
	return nil
}

// setProperty sets a property by the name of its header. What is no property of a
// message is left out.
func setProperty(m *iot.Message, header, value string) error {
	if !utf8.ValidString(value) {
		return code.Errorf(code.ArgumentInvalid, "command", iot.Identity{}, "the header %s is not UTF-8", header)
	}
	lower := strings.ToLower(header)
	if name, ok := service.CommandProperties[lower]; ok {
		if at, err := http.ParseTime(value); name == iot.ExpiryTime && err == nil {
			value = at.UTC().Format(time.RFC3339Nano)
		}
		m.System.Set(name, value)
		return nil
	}
	if !strings.HasPrefix(lower, service.AppPrefix) {
		return nil
	}
	m.Properties.Set(header[len(service.AppPrefix):], value)
	if len(m.Properties) > maxProperties || len(header) == len(service.AppPrefix) {
		return code.Errorf(code.ArgumentInvalid, "command", iot.Identity{}, "a property has no name, or there are more than %d", maxProperties)
	}
	return nil
}

// targetOf reads whom a command is for, from its property to.
func targetOf(to string) (iot.Identity, error) {
	s := segmentsOf(to)
	var id iot.Identity
	for _, form := range []string{"/devices/{device}/messages/devicebound", "/devices/{device}/modules/{module}/messages/devicebound"} {
		if vars, ok := match(segmentsOf(form), s); ok {
			id = iot.Identity{Device: vars["device"], Module: vars["module"]}
		}
	}
	if id.Validate() != nil {
		return id, code.Errorf(code.ArgumentInvalid, "command", iot.Identity{}, "iothub-to is %.300q: it must be /devices/{device}/messages/devicebound", to)
	}
	return id, nil
}

// purgeCommands ends what waits for a device.
func purgeCommands(c *call) (answer, error) {
	id, err := c.identity()
	if err != nil {
		return answer{}, err
	}
	n, err := c.Hub.PurgeCommands(id)
	if err != nil {
		return answer{}, err
	}
	return answer{body: map[string]any{"deviceId": id.Device, "totalMessagesPurged": n}}, nil
}
