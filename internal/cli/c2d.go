package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sluice/iot"
)

const c2dLong = `Sends cloud-to-device messages and purges those that wait. The hub keeps a message
until the device completes it, for an hour or as long as --expiry says.

Azure IoT Hub takes cloud-to-device messages over AMQP alone, on port 5671, and is sent
them there.

` + reachHelp

const c2dExamples = `  sluice c2d send pump-7 --data 'open the valve' --property urgent=yes
  sluice c2d send pump-7 --data @picture.png --content-type image/png --ack full
  sluice c2d purge pump-7`

func c2dCommand() *cobra.Command {
	r := &reach{}
	cmd := &cobra.Command{
		Use:     "c2d",
		Short:   "Send cloud-to-device messages, and purge those that wait",
		Long:    c2dLong,
		Example: c2dExamples,
	}
	r.add(cmd.PersistentFlags())
	cmd.AddCommand(c2dSendCommand(r), c2dPurgeCommand(r))
	return cmd
}

type sendFlags struct {
	*reach
	messageFlags
	expiry time.Duration
}

// messageFlags are those that make a command.
type messageFlags struct {
	text       string
	properties []string
	system     map[iot.SystemName]*string
}

// add adds the flags but data, of system properties those named.
func (f *messageFlags) add(flags *pflag.FlagSet, names ...iot.SystemName) {
	flags.StringArrayVarP(&f.properties, "property", "p", nil, "`NAME=VALUE` that the application sees; may be repeated")
	f.system = map[iot.SystemName]*string{}
	for _, name := range names {
		f.system[name] = flags.String(messageFlagText[name][0], "", messageFlagText[name][1])
	}
}

var messageFlagText = map[iot.SystemName][2]string{
	iot.MessageID:       {"message-id", "`id` of the message, which feedback repeats"},
	iot.CorrelationID:   {"correlation-id", "`id` of what it belongs to"},
	iot.UserID:          {"user-id", "`id` of who sends it"},
	iot.ContentType:     {"content-type", "`type` of the text, such as application/json"},
	iot.ContentEncoding: {"content-encoding", "`encoding` of the text, such as utf-8"},
	iot.Ack:             {"ack", "feedback that is wanted: none, positive, negative or full"},
}

func c2dSendCommand(r *reach) *cobra.Command {
	f := &sendFlags{reach: r}
	cmd := &cobra.Command{
		Use:   "send ID",
		Short: "Send a message to a device or module",
		Args:  oneID,
		RunE:  func(cmd *cobra.Command, args []string) error { return runSend(cmd, f, args[0]) },
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.text, "data", "d", "", "`text` of the message, or @FILE")
	f.messageFlags.add(flags, iot.MessageID, iot.CorrelationID, iot.UserID, iot.ContentType, iot.ContentEncoding, iot.Ack)
	flags.DurationVar(&f.expiry, "expiry", 0, "how long the hub keeps it, at most 48h (default: the hub's, an hour)")
	return cmd
}

func runSend(cmd *cobra.Command, f *sendFlags, arg string) error {
	id, err := parseID(arg)
	if err != nil {
		return err
	}
	m, err := f.message(time.Now())
	if err != nil {
		return err
	}
	c, err := f.client()
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SendCommand(cmd.Context(), id, m); err != nil {
		return serviceHint(err, id)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "sent to %s\n", noun(id))
	return nil
}

func (f *sendFlags) message(now time.Time) (m iot.Message, err error) {
	if f.expiry < 0 {
		return m, usagef("--expiry: %v is in the past", f.expiry)
	}
	m, err = f.messageFlags.message()
	if f.expiry > 0 {
		m.System.Set(iot.ExpiryTime, now.Add(f.expiry).UTC().Format(time.RFC3339Nano))
	}
	return m, err
}

func (f *messageFlags) message() (m iot.Message, err error) {
	m.Body = []byte(f.text)
	if file, ok := strings.CutPrefix(f.text, "@"); ok {
		if m.Body, err = readFile(file); err != nil {
			return m, withExit(fmt.Errorf("text of the message: %w", err), ExitUsage)
		}
	}
	for name, value := range f.system {
		if *value != "" {
			m.System.Set(name, *value)
		}
	}
	for _, p := range f.properties {
		name, value, ok := strings.Cut(p, "=")
		if !ok || name == "" {
			return m, usagef("--property: %q is not NAME=VALUE", p)
		}
		m.Properties.Set(name, value)
	}
	return m, nil
}

func c2dPurgeCommand(r *reach) *cobra.Command {
	return &cobra.Command{
		Use:   "purge DEVICE",
		Short: "End all messages that wait for a device",
		Args:  oneID,
		RunE: func(cmd *cobra.Command, args []string) error {
			device, err := parseDevice(args[0])
			if err != nil {
				return err
			}
			c, err := r.client()
			if err != nil {
				return err
			}
			defer c.Close()
			n, err := c.PurgeCommands(cmd.Context(), device)
			if err != nil {
				return serviceHint(err, iot.DeviceIdentity(device))
			}
			fmt.Fprintf(cmd.OutOrStdout(), "purged %d messages of device %s\n", n, device)
			return nil
		},
	}
}
