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
// Errors of the hub are [iot.Error] with the hub's own words; code.Of tells
// which of its codes it answered with. Errors of the network keep their type.
package service
