package cli

import (
	"encoding/json"
	"time"

	"github.com/spf13/cobra"

	"sluice/iot"
)

const methodLong = `Calls direct methods of devices and modules at a hub, Azure IoT Hub or a local one. A
module is written DEVICE/MODULE.

` + reachHelp

const methodExamples = `  sluice method invoke pump-7 reboot
  sluice method invoke pump-7 setSpeed --payload '{"rpm": 900}' --timeout 1m
  sluice method invoke site-1/$edgeAgent ping`

type invokeFlags struct {
	*reach
	payload          string
	timeout, connect time.Duration
}

func methodCommand() *cobra.Command {
	r := &reach{}
	cmd := &cobra.Command{
		Use:     "method",
		Short:   "Call direct methods of devices and modules",
		Long:    methodLong,
		Example: methodExamples,
	}
	r.add(cmd.PersistentFlags())
	cmd.AddCommand(invokeCommand(r))
	return cmd
}

func invokeCommand(r *reach) *cobra.Command {
	f := &invokeFlags{reach: r}
	cmd := &cobra.Command{
		Use:   "invoke ID METHOD",
		Short: "Call a method and print its answer",
		Long: `Calls a direct method and prints the answer: its status, which is the device's own, and
its payload. The command fails only if the method could not be called, or was not
answered in time.`,
		Example: methodExamples,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 {
				return withHint(usagef("%s takes an id and the name of a method", cmd.CommandPath()), "%q explains it", cmd.CommandPath()+" --help")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return runInvoke(cmd, f, args[0], args[1]) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.payload, "payload", "", "`JSON` for the method: the text itself, @FILE, or - for standard input")
	flags.DurationVar(&f.timeout, "timeout", 30*time.Second, "how long to wait for the answer, 5s to 5m")
	flags.DurationVar(&f.connect, "connect-timeout", 0, "how long to wait for the device to connect, 0s to 5m")
	return cmd
}

func runInvoke(cmd *cobra.Command, f *invokeFlags, arg, method string) error {
	id, err := parseID(arg)
	if err != nil {
		return err
	}
	payload, err := jsonArg(cmd, "payload", f.payload)
	if err != nil {
		return err
	}
	c, err := f.client()
	if err != nil {
		return err
	}
	defer c.Close()
	result, err := c.InvokeMethod(cmd.Context(), id, iot.MethodCall{
		Name: method, Payload: payload, ResponseTimeout: f.timeout, ConnectTimeout: f.connect,
	})
	if err != nil {
		return serviceHint(err, id)
	}
	return printJSON(cmd.OutOrStdout(), struct {
		Status  int             `json:"status"`
		Payload json.RawMessage `json:"payload"`
	}{result.Status, result.Payload})
}
