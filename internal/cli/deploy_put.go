package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sluice/internal/service"
)

// configurationFlags say what a configuration is.
type configurationFlags struct {
	*reach
	content, condition string
	priority           int
	labels, metrics    []string
}

func (f *configurationFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.content, "content", "", "`JSON` with deviceContent, moduleContent or modulesContent")
	flags.StringVar(&f.condition, "target-condition", "", "`condition` on twins in the query language; * is all")
	flags.IntVar(&f.priority, "priority", 0, "the highest `number` applies")
	flags.StringArrayVar(&f.labels, "label", nil, "`NAME=VALUE` for people; may be repeated")
	flags.StringArrayVar(&f.metrics, "metric", nil, "`NAME=QUERY` whose results are counted; may be repeated")
}

// parse reads the flags, and returns what puts what they say into a configuration
// and leaves the rest.
func (f *configurationFlags) parse(cmd *cobra.Command) (change func(*service.Configuration), err error) {
	given := cmd.Flags().Changed
	var content service.ConfigurationContent
	if given("content") {
		if content, err = contentArg(cmd, f.content); err != nil {
			return nil, err
		}
	}
	labels, err := pairs("label", f.labels)
	if err != nil {
		return nil, err
	}
	metrics, err := pairs("metric", f.metrics)
	if err != nil {
		return nil, err
	}
	some := false
	for _, name := range []string{"content", "target-condition", "priority", "label", "metric"} {
		some = some || given(name)
	}
	if !some {
		return nil, withHint(usagef("nothing was said to change"), "%q lists the flags", cmd.CommandPath()+" --help")
	}
	return func(c *service.Configuration) {
		if given("content") {
			c.Content = content
		}
		if given("target-condition") {
			c.TargetCondition = f.condition
		}
		if given("priority") {
			c.Priority = f.priority
		}
		if given("label") {
			c.Labels = labels
		}
		if given("metric") {
			c.Metrics.Queries = metrics
		}
	}, nil
}

// pairs reads NAME=VALUE.
func pairs(flag string, list []string) (map[string]string, error) {
	m := make(map[string]string, len(list))
	for _, p := range list {
		name, value, ok := strings.Cut(p, "=")
		if !ok || name == "" {
			return nil, usagef("--%s: %q is not NAME=VALUE", flag, p)
		}
		m[name] = value
	}
	return m, nil
}

func deployCreateCommand(r *reach) *cobra.Command {
	f := &configurationFlags{reach: r}
	cmd := &cobra.Command{
		Use:   "create ID",
		Short: "Make a configuration of devices, modules or edge devices",
		Args:  oneID,
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.content == "" {
				return usagef("--content is missing: @FILE, or the JSON itself")
			}
			change, err := f.parse(cmd)
			if err != nil {
				return err
			}
			c := service.Configuration{ID: args[0]}
			change(&c)
			return withClient(r, func(client *service.Client) error {
				if _, err := client.CreateConfiguration(cmd.Context(), c); err != nil {
					return deployHint(err, c.ID)
				}
				fmt.Fprintf(cmd.OutOrStdout(), "created configuration %s\n", c.ID)
				return nil
			})
		},
	}
	f.add(cmd.Flags())
	return cmd
}

func deployUpdateCommand(r *reach) *cobra.Command {
	f := &configurationFlags{reach: r}
	cmd := &cobra.Command{
		Use:   "update ID",
		Short: "Change a configuration",
		Long:  `Changes what the flags name, and leaves the rest of a configuration as it is.`,
		Args:  oneID,
		RunE: func(cmd *cobra.Command, args []string) error {
			change, err := f.parse(cmd)
			if err != nil {
				return err
			}
			return withClient(r, func(client *service.Client) error {
				c, err := client.Configuration(cmd.Context(), args[0])
				if err == nil {
					change(&c)
					_, err = client.UpdateConfiguration(cmd.Context(), c)
				}
				if err != nil {
					return deployHint(err, args[0])
				}
				fmt.Fprintf(cmd.OutOrStdout(), "updated configuration %s\n", args[0])
				return nil
			})
		},
	}
	f.add(cmd.Flags())
	return cmd
}
