package cli

import (
	"encoding/json"

	"github.com/spf13/cobra"

	"sluice/internal/service"
	"sluice/iot"
)

const twinLong = `Shows and changes twins at a hub, Azure IoT Hub or a local one: tags, which only
services see, and desired properties, which the device is told of. A module is written
DEVICE/MODULE. What is given as JSON may be the text itself, @FILE, or - for standard
input.

` + reachHelp

const twinExamples = `  sluice twin show pump-7
  sluice twin update pump-7 --tags '{"site": "hall 4"}' --desired '{"interval": 10}'
  sluice twin update pump-7 --desired '{"interval": null}'     null removes
  sluice twin replace pump-7 --json @twin.json`

// changeFlags say what a twin becomes.
type changeFlags struct {
	*reach
	tags, desired, body, etag string
}

func twinCommand() *cobra.Command {
	r := &reach{}
	cmd := &cobra.Command{
		Use:     "twin",
		Short:   "Show and change twins: tags, desired and reported properties",
		Long:    twinLong,
		Example: twinExamples,
	}
	r.add(cmd.PersistentFlags())
	cmd.AddCommand(twinShowCommand(r), twinUpdateCommand(r), twinReplaceCommand(r))
	return cmd
}

func twinShowCommand(r *reach) *cobra.Command {
	return &cobra.Command{
		Use:   "show ID",
		Short: "Show the twin of a device or module",
		Args:  oneID,
		RunE: func(cmd *cobra.Command, args []string) error {
			return onTwin(cmd, r, args[0], func(c *service.Client, id iot.Identity) (json.RawMessage, error) {
				return c.Twin(cmd.Context(), id)
			})
		},
	}
}

// onTwin does something with the twin of an identity and prints what became of it.
func onTwin(cmd *cobra.Command, r *reach, arg string, do func(*service.Client, iot.Identity) (json.RawMessage, error)) error {
	id, err := parseID(arg)
	if err != nil {
		return err
	}
	c, err := r.client()
	if err != nil {
		return err
	}
	defer c.Close()
	t, err := do(c, id)
	if err != nil {
		return serviceHint(err, id)
	}
	return printJSON(cmd.OutOrStdout(), t)
}

func twinUpdateCommand(r *reach) *cobra.Command {
	f := &changeFlags{reach: r}
	cmd := &cobra.Command{
		Use:   "update ID",
		Short: "Change tags and desired properties of a device or module",
		Long: `Merges what is given into the twin, and prints it as it is then. A property that is
null is removed, what is not named stays.`,
		Args: oneID,
		RunE: func(cmd *cobra.Command, args []string) error {
			change, err := f.change(cmd)
			if err != nil {
				return err
			}
			return onTwin(cmd, r, args[0], func(c *service.Client, id iot.Identity) (json.RawMessage, error) {
				return c.UpdateTwin(cmd.Context(), id, change, f.etag)
			})
		},
	}
	f.addParts(cmd)
	return cmd
}

func twinReplaceCommand(r *reach) *cobra.Command {
	f := &changeFlags{reach: r}
	cmd := &cobra.Command{
		Use:   "replace ID",
		Short: "Replace tags or desired properties of a device or module",
		Long: `Replaces the tags, the desired properties or both by what is given, and prints the
twin as it is then. With --json it takes a whole twin, such as "sluice twin show"
prints, of which it reads those two.`,
		Args: oneID,
		RunE: func(cmd *cobra.Command, args []string) error {
			change, err := f.replacement(cmd)
			if err != nil {
				return err
			}
			return onTwin(cmd, r, args[0], func(c *service.Client, id iot.Identity) (json.RawMessage, error) {
				return c.ReplaceTwin(cmd.Context(), id, change, f.etag)
			})
		},
	}
	f.addParts(cmd)
	cmd.Flags().StringVarP(&f.body, "json", "j", "", "the `twin` with tags and properties.desired")
	return cmd
}

func (f *changeFlags) addParts(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.tags, "tags", "", "`JSON` object of tags")
	flags.StringVar(&f.desired, "desired", "", "`JSON` object of desired properties")
	flags.StringVar(&f.etag, "etag", "", "only if the twin's `etag` is still this one")
}

// change is what the flags say.
func (f *changeFlags) change(cmd *cobra.Command) (change service.TwinChange, err error) {
	if change.Tags, err = objectArg(cmd, "tags", f.tags); err != nil {
		return change, err
	}
	desired, err := objectArg(cmd, "desired", f.desired)
	if err != nil {
		return change, err
	}
	if desired != nil {
		change.Properties = &service.TwinProperties{Desired: desired}
	}
	if change.Tags == nil && change.Properties == nil {
		return change, withHint(usagef("nothing was said to change"), "the flags are --tags and --desired")
	}
	return change, nil
}

func (f *changeFlags) replacement(cmd *cobra.Command) (change service.TwinChange, err error) {
	if f.body == "" {
		return f.change(cmd)
	}
	if f.tags != "" || f.desired != "" {
		return change, usagef("--json is instead of --tags and --desired")
	}
	body, err := objectArg(cmd, "json", f.body)
	if err != nil {
		return change, err
	}
	if err := json.Unmarshal(body, &change); err != nil {
		return change, usagef("--json: not a twin: %w", err)
	}
	if change.Tags == nil && (change.Properties == nil || change.Properties.Desired == nil) {
		return change, usagef("--json: it has neither tags nor properties.desired")
	}
	return change, nil
}
