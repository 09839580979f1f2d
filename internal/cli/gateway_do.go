package cli

import (
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"sluice/internal/operate"
	"sluice/internal/pki"
	"sluice/iot"
)

func gatewayMethodCommand(f *operatorFlags) *cobra.Command {
	var timeout, connect time.Duration
	cmd := &cobra.Command{
		Use:   "method ID NAME [PAYLOAD]",
		Short: "Call a direct method, without the hub",
		Long: `Calls a direct method of a device or module that is connected to the gateway, and prints
the answer: its status, which is the device's own, and its payload. PAYLOAD is JSON: the
text itself, @FILE, or - for standard input. The command fails only if the method could
not be called, or was not answered in time.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 || len(args) > 3 {
				return withHint(usagef("%s takes an id, the name of a method and perhaps a payload", cmd.CommandPath()), "%q explains it", cmd.CommandPath()+" --help")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := parseID(args[0])
			if err != nil {
				return err
			}
			call := iot.MethodCall{Name: args[1], ResponseTimeout: timeout, ConnectTimeout: connect}
			if len(args) == 3 {
				if call.Payload, err = jsonArg(cmd, "payload", args[2]); err != nil {
					return err
				}
			}
			return f.ask(func(c *operate.Client) error {
				r, err := c.Invoke(cmd.Context(), id, call)
				return orJSON(cmd.OutOrStdout(), r, err)
			})
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 30*time.Second, "how long to wait for the answer, 5s to 5m")
	cmd.Flags().DurationVar(&connect, "connect-timeout", 0, "how long to wait for the device to connect, 0s to 5m")
	return cmd
}

func gatewayQueuesCommand(f *operatorFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "queues",
		Short: "List the queues, and what waits in them",
		Long: `Lists the queues: name, what waits, for how long the oldest has, how many senders it is
from, how many of those rest because the last attempt failed, and where the queue leads.
A queue without a route is drained and then gone.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.ask(func(c *operate.Client) error {
				list, err := c.Queues(cmd.Context())
				if err != nil || f.json {
					return orJSON(cmd.OutOrStdout(), list, err)
				}
				t := table{out: cmd.OutOrStdout(), header: []string{"QUEUE", "MESSAGES", "SIZE", "OLDEST", "SENDERS", "RESTING", "LEADS TO"}}
				for _, q := range list {
					oldest, to := "", q.Endpoint
					if q.Oldest != nil {
						oldest = pki.Span(max(0, time.Since(*q.Oldest)))
					}
					if !q.Routed {
						to += " (no route)"
					}
					t.add(q.Name, strconv.FormatUint(q.Messages, 10), size(q.Bytes), oldest, strconv.Itoa(q.Lanes), strconv.Itoa(q.Resting), to)
				}
				return t.print()
			})
		},
	}
}

func gatewayPurgeCommand(f *operatorFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "purge QUEUE",
		Short: "Remove everything that waits in a queue, for good",
		Long: `Removes all messages that wait in a queue, as "sluice gateway queues" names it. Their
senders were told that they are safe: nothing will tell them that they are not.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return withHint(usagef("%s takes the name of one queue", cmd.CommandPath()), `"sluice gateway queues" lists them`)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.ask(func(c *operate.Client) error {
				n, err := c.Purge(cmd.Context(), args[0])
				switch {
				case iot.KindOf(err) == iot.NotFound:
					return withHint(err, `"sluice gateway queues" lists them`)
				case err != nil || f.json:
					return orJSON(cmd.OutOrStdout(), map[string]any{"queue": args[0], "purged": n}, err)
				}
				fmt.Fprintf(cmd.OutOrStdout(), "purged %d messages of %s\n", n, args[0])
				return nil
			})
		},
	}
}
