package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"sluice/iot"
)

func deviceDeleteCommand(f *deviceFlags) *cobra.Command {
	return &cobra.Command{
		Use:     "delete ID...",
		Aliases: []string{"remove"},
		Short:   "Remove devices or modules for good",
		Long: `Removes devices, with their modules, or modules. Their keys are gone with them, and
devices below a removed edge device have no parent any more. To keep a device from
connecting, "sluice device update ID --disable" may be enough.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("%s: which device or module?", cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return runDelete(cmd, f, args) },
	}
}

// runDelete looks at all ids before it removes the first.
func runDelete(cmd *cobra.Command, f *deviceFlags, args []string) error {
	ids := make([]iot.Identity, len(args))
	for i, arg := range args {
		var err error
		if ids[i], err = parseID(arg); err != nil {
			return err
		}
	}
	c, err := f.client()
	if err != nil {
		return err
	}
	defer c.Close()
	for _, id := range ids {
		if err := c.Delete(cmd.Context(), id, ""); err != nil {
			return refusedHint(err, id)
		}
		if !f.json {
			fmt.Fprintf(cmd.OutOrStdout(), "deleted %s\n", noun(id))
		}
	}
	if f.json {
		return printJSON(cmd.OutOrStdout(), map[string]any{"deleted": ids})
	}
	return nil
}
