package cli

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"sluice/internal/operate"
)

func gatewayOverrideCommand(f *operatorFlags) *cobra.Command {
	end := false
	cmd := &cobra.Command{
		Use:   "override ID [PATCH]",
		Short: "Override desired properties, at this gateway alone",
		Long: `Changes the desired properties that a device or module sees, at this gateway alone: PATCH
is merged over those of the hub, null hiding a property, now and whenever the hub changes
them, until it is ended with --end. Another PATCH takes the place of this one. It outlives
restarts. The hub is told nothing of it and goes on showing its own. PATCH is JSON: the
text itself, @FILE, or - for standard input.

Desired properties of the hub are changed at the hub, with "sluice twin".`,
		Example: `  sluice gateway override pump-7 '{"interval": 5}'
  sluice gateway override pump-7 --end`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 1 || len(args) > 2 || end != (len(args) == 1) {
				return withHint(usagef("%s takes an id, and a patch or --end", cmd.CommandPath()), "%q explains it", cmd.CommandPath()+" --help")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := parseID(args[0])
			if err != nil {
				return err
			}
			var patch json.RawMessage
			if !end {
				if patch, err = objectArg(cmd, "patch", args[1]); err != nil {
					return err
				}
			}
			return f.ask(func(c *operate.Client) error {
				if err := c.Override(cmd.Context(), id, patch); err != nil {
					return err
				}
				t, err := c.Twin(cmd.Context(), id)
				if f.json || err != nil {
					return orJSON(cmd.OutOrStdout(), t, err)
				}
				if end {
					fmt.Fprintf(cmd.OutOrStdout(), "%s sees the hub's desired properties\n", id)
				} else {
					fmt.Fprintf(cmd.OutOrStdout(), "overridden for %s, at this gateway alone\n", id)
				}
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&end, "end", false, "end it: the hub's desired properties alone count again")
	return cmd
}
