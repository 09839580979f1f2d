package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"sluice/internal/hub/code"
	"sluice/internal/service"
	"sluice/iot"
)

const deployLong = `Tells devices and edge devices what to be, at a hub, Azure IoT Hub or a local one.

"set-modules" sets the modules of one edge device: what $edgeAgent runs, the routes of
$edgeHub, and the desired properties of the others. A configuration does so for all
devices that meet its target condition, also those that come later; of several the one
with the highest priority applies, and upon an edge deployment its layers.

Contents are JSON as the tools of Azure have them, with deviceContent, moduleContent or
modulesContent in it: the text itself, @FILE, or - for standard input.

` + reachHelp

const deployExamples = `  The routes of a gateway:
    sluice deploy set-modules site-1 --content @deployment.json

  All pumps report every minute:
    sluice deploy create pumps --target-condition "tags.kind = 'pump'" --priority 10 \
      --content '{"deviceContent": {"properties.desired.interval": 60}}'
    sluice deploy show pumps`

func deployCommand() *cobra.Command {
	r := &reach{}
	cmd := &cobra.Command{
		Use:     "deploy",
		Short:   "Set modules, and keep configurations and edge deployments",
		Long:    deployLong,
		Example: deployExamples,
	}
	r.add(cmd.PersistentFlags())
	cmd.AddCommand(
		setModulesCommand(r),
		deployCreateCommand(r),
		deployUpdateCommand(r),
		deployListCommand(r),
		deployShowCommand(r),
		deployDeleteCommand(r),
	)
	return cmd
}

// contentArg reads a content, which may stand in a member of that name as in files
// of Azure's tools.
func contentArg(cmd *cobra.Command, value string) (c service.ConfigurationContent, err error) {
	if value == "" {
		return c, usagef("--content is missing: @FILE, or the JSON itself")
	}
	body, err := objectArg(cmd, "content", value)
	if err != nil {
		return c, err
	}
	var file struct {
		service.ConfigurationContent
		Content *service.ConfigurationContent `json:"content"`
	}
	if err := json.Unmarshal(body, &file); err != nil {
		return c, usagef("--content: not a content: %w", err)
	}
	c = file.ConfigurationContent
	if file.Content != nil {
		c = *file.Content
	}
	if c.DeviceContent == nil && c.ModuleContent == nil && c.ModulesContent == nil {
		return c, usagef("--content: it has none of modulesContent, moduleContent and deviceContent")
	}
	return c, nil
}

func setModulesCommand(r *reach) *cobra.Command {
	var content string
	cmd := &cobra.Command{
		Use:   "set-modules DEVICE",
		Short: "Set the modules of an edge device",
		Long: `Sets the desired properties of the modules that the content names, and creates those
that are missing. A gateway whose routes are in it follows at once.`,
		Args: oneID,
		RunE: func(cmd *cobra.Command, args []string) error {
			device, err := parseDevice(args[0])
			if err != nil {
				return err
			}
			c, err := contentArg(cmd, content)
			if err != nil {
				return err
			}
			return withClient(r, func(client *service.Client) error {
				if err := client.ApplyContent(cmd.Context(), device, c); err != nil {
					return refusedHint(err, iot.DeviceIdentity(device))
				}
				fmt.Fprintf(cmd.OutOrStdout(), "set modules of device %s\n", device)
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&content, "content", "", "`JSON` with modulesContent")
	return cmd
}

// withClient does something with a client of the hub.
func withClient(r *reach, do func(*service.Client) error) error {
	c, err := r.client()
	if err != nil {
		return err
	}
	defer c.Close()
	return do(c)
}

func deployListCommand(r *reach) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List configurations",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withClient(r, func(c *service.Client) error {
				list, err := c.Configurations(cmd.Context(), 100)
				if err != nil {
					return refusedHint(err, iot.Identity{})
				}
				t := table{out: cmd.OutOrStdout(), header: []string{"ID", "PRIORITY", "FOR", "TARGET", "TARGETED", "APPLIED"}}
				for i := range list {
					f := &list[i]
					n := f.SystemMetrics.Results
					t.add(f.ID, strconv.Itoa(f.Priority), targetOf(f), f.TargetCondition, strconv.Itoa(n["targetedCount"]), strconv.Itoa(n["appliedCount"]))
				}
				return t.print()
			})
		},
	}
}

// targetOf says what a configuration is for.
func targetOf(c *service.Configuration) string {
	switch {
	case c.Content.ModulesContent != nil:
		return "edge"
	case c.Content.ModuleContent != nil:
		return "modules"
	}
	return "devices"
}

func deployShowCommand(r *reach) *cobra.Command {
	return &cobra.Command{
		Use:   "show ID",
		Short: "Show a configuration and its metrics",
		Args:  oneID,
		RunE: func(cmd *cobra.Command, args []string) error {
			return withClient(r, func(c *service.Client) error {
				found, err := c.Configuration(cmd.Context(), args[0])
				if err != nil {
					return deployHint(err, args[0])
				}
				return printJSON(cmd.OutOrStdout(), found)
			})
		},
	}
}

func deployDeleteCommand(r *reach) *cobra.Command {
	return &cobra.Command{
		Use:     "delete ID",
		Aliases: []string{"remove"},
		Short:   "Remove a configuration",
		Long: `Removes a configuration. Devices that it applied to get the one with the next
priority; without one they stay as they are.`,
		Args: oneID,
		RunE: func(cmd *cobra.Command, args []string) error {
			return withClient(r, func(c *service.Client) error {
				if err := c.DeleteConfiguration(cmd.Context(), args[0], ""); err != nil {
					return deployHint(err, args[0])
				}
				fmt.Fprintf(cmd.OutOrStdout(), "deleted configuration %s\n", args[0])
				return nil
			})
		},
	}
}

func deployHint(err error, id string) error {
	switch {
	case errors.Is(err, code.ConfigurationAlreadyExists):
		return withHint(err, "\"sluice deploy update %s\" changes it", id)
	case errors.Is(err, code.ConfigurationNotFound):
		return withHint(err, "\"sluice deploy list\" lists the configurations of the hub")
	}
	return refusedHint(err, iot.Identity{})
}
