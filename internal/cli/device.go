package cli

import (
	"errors"
	"regexp"

	"github.com/spf13/cobra"

	"sluice/internal/hub/code"
	"sluice/internal/service"
	"sluice/iot"
)

const deviceLong = `Registers devices and modules at a hub, Azure IoT Hub or a local one, and shows and
changes them. A module is written DEVICE/MODULE.

` + reachHelp

const deviceExamples = `  A gateway, a device behind it, and what the device needs to connect:
    sluice device create site-1 --edge
    sluice device create pump-7 --parent site-1
    sluice device connection-string pump-7 --gateway gateway.local

  A device that proves itself with a certificate:
    sluice device create meter-3 --x509-thumbprint 9F86D081884C7D659A2FEAA0C55AD015A3BF4F1B

  What is there:
    sluice device list
    sluice device children site-1
    sluice device show site-1/$edgeHub --json`

// deviceFlags are those of every device command.
type deviceFlags struct {
	reach
	json bool
}

func deviceCommand() *cobra.Command {
	f := &deviceFlags{}
	cmd := &cobra.Command{
		Use:     "device",
		Short:   "Register devices and modules at a hub, show and change them",
		Long:    deviceLong,
		Example: deviceExamples,
	}
	f.add(cmd.PersistentFlags())
	cmd.PersistentFlags().BoolVar(&f.json, "json", false, "print JSON as the hub has it, keys included")
	cmd.AddCommand(
		deviceCreateCommand(f),
		deviceListCommand(f),
		deviceShowCommand(f),
		deviceUpdateCommand(f),
		deviceDeleteCommand(f),
		deviceConnectionStringCommand(f),
		deviceChildrenCommand(f),
	)
	return cmd
}

// oneID takes the identity that a command is about, and nothing else.
func oneID(cmd *cobra.Command, args []string) error {
	if len(args) == 1 {
		return nil
	}
	return withHint(usagef("%s takes one id, not %d", cmd.CommandPath(), len(args)), "%q explains it", cmd.CommandPath()+" --help")
}

func parseID(arg string) (iot.Identity, error) {
	id, err := iot.ParseIdentity(arg)
	if err != nil {
		return id, withHint(usagef("%q is not an id: %w", arg, err), "a device is written DEVICE, a module DEVICE/MODULE")
	}
	return id, nil
}

// parseDevice is parseID for commands that are not for modules.
func parseDevice(arg string) (string, error) {
	id, err := parseID(arg)
	if err == nil && id.IsModule() {
		err = usagef("%s is a module; this is for devices", id)
	}
	return id.Device, err
}

// refusedHint adds to a refusal of the hub what can be done about it, unless err
// says so already.
func refusedHint(err error, id iot.Identity) error {
	if f := new(failure); errors.As(err, &f) && f.hint != "" {
		return err
	}
	for _, known := range []struct {
		code code.Code
		hint string
	}{
		{code.DeviceAlreadyExists, "\"sluice device update " + id.String() + "\" changes it"},
		{code.ModuleAlreadyExistsOnDevice, "\"sluice device update " + id.String() + "\" changes it"},
		{code.DeviceNotFound, "\"sluice device list\" lists the devices of the hub; ids are case-sensitive"},
		{code.ModuleNotFound, "\"sluice device show " + id.Device + "\" lists the modules of the device"},
		{code.PreconditionFailed, "somebody else changed it at the same time; look at it and try again"},
		{code.Unauthorized, "the connection string must be that of a policy with registry read and write, such as iothubowner, and its key the current one"},
		{code.IotHubNotFound, "look at HostName in the connection string"},
	} {
		if errors.Is(err, known.code) {
			return withHint(err, "%s", known.hint)
		}
	}
	return err
}

// serviceHint is refusedHint for what a service does with devices.
func serviceHint(err error, id iot.Identity) error {
	switch {
	case errors.Is(err, code.Unauthorized):
		return withHint(err, "the connection string must be that of a policy with service connect, such as iothubowner or service, and its key the current one")
	case errors.Is(err, code.DeviceNotOnline):
		return withHint(err, "--connect-timeout waits for it to connect")
	case errors.Is(err, code.QueueDepthExceeded):
		return withHint(err, "\"sluice c2d purge %s\" ends what waits", id.Device)
	}
	return refusedHint(err, id)
}

var scopeForm = regexp.MustCompile(`^ms-azure-iot-edge://(.+)-\d+$`)

// edgeOf is the edge device that a scope belongs to, or the scope itself if it
// does not look like one.
func edgeOf(scope string) string {
	if m := scopeForm.FindStringSubmatch(scope); m != nil {
		return m[1]
	}
	return scope
}

// authOf says how an identity proves itself.
func authOf(a *service.Authentication) string {
	if a == nil || a.Type == "" {
		return string(iot.AuthSAS)
	}
	return string(a.Type)
}

// kindOf says what a device is.
func kindOf(d *service.Device) string {
	if d.Edge() {
		return "edge"
	}
	return "device"
}

// noun is "device x" or "module x/y".
func noun(id iot.Identity) string {
	if id.IsModule() {
		return "module " + id.String()
	}
	return "device " + id.String()
}
