package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"sluice/internal/operate"
	"sluice/iot"
)

func gatewayCommandCommand(f *operatorFlags) *cobra.Command {
	var m messageFlags
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "command ID TEXT",
		Short: "Send a command (cloud-to-device message), without the hub",
		Long: `Gives a device that is connected to the gateway a cloud-to-device message, as the hub
would, and waits until the device has settled it: completed, rejected, or abandoned,
which is to say given back. The message is for now: it is not kept for a device that is
away, nor given again, and the hub is not told of it. Exit status 1 says that it was not
completed. TEXT is the message itself, or @FILE.`,
		Example: `  sluice gateway command pump-7 'open the valve' --property urgent=yes
  sluice gateway command pump-7 @program.json --content-type application/json`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 {
				return withHint(usagef("%s takes an id and the text of a message", cmd.CommandPath()), "%q explains it", cmd.CommandPath()+" --help")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := parseID(args[0])
			if err != nil {
				return err
			}
			m.text = args[1]
			message, err := m.message()
			if err != nil {
				return err
			}
			return f.ask(func(c *operate.Client) error {
				outcome, err := c.Command(cmd.Context(), id, message, timeout)
				if err == nil && f.json {
					err = printJSON(cmd.OutOrStdout(), map[string]any{"id": id, "outcome": outcome})
				} else if err == nil {
					fmt.Fprintf(cmd.OutOrStdout(), "%s by %s\n", outcome, id)
				}
				if err == nil && outcome != "completed" {
					return withExit(fmt.Errorf("%s has %s the command", id, outcome), ExitFailed)
				}
				return err
			})
		},
	}
	m.add(cmd.Flags(), iot.MessageID, iot.CorrelationID, iot.UserID, iot.ContentType, iot.ContentEncoding)
	cmd.Flags().DurationVar(&timeout, "timeout", 30*time.Second, "how long to wait for the device to settle it, at most 5m")
	return cmd
}
