// Package service speaks the service API of an IoT hub: the JSON forms of its
// resources, and a client that an operator's command line needs.
//
// The API is that of Azure IoT Hub and of the local hub (internal/hub/rest,
// which writes the forms that are read here), so a [Client] works with both:
//
//	cs, err := sas.ParseConnectionString(text) // HostName=…;SharedAccessKeyName=…;SharedAccessKey=…
//	c, err := service.New(cs, service.Options{})
//	d, err := c.CreateDevice(ctx, service.Device{DeviceID: "pump-7"})
//
// When the hub refuses, the error is an [iot.Error] in the hub's own words, whose
// cause is a [Refusal]: errors.Is(err, code.DeviceNotFound) asks for the hub's
// code. Errors of the network keep their types.
package service
