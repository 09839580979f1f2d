package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sluice/internal/module"
	"sluice/internal/operate"
	"sluice/internal/pki"
)

// gatewayFlags say which gateway of this machine a command is for.
type gatewayFlags struct{ config, data string }

func (g *gatewayFlags) add(flags *pflag.FlagSet) {
	flags.StringVarP(&g.config, "config", "c", "", "configuration `file` of the gateway (default ./config.toml, then /etc/sluice/config.toml)")
	flags.StringVar(&g.data, "data", "", "data `directory` of the gateway (default: the configuration's)")
}

// modules does something with the modules of the gateway, and says of its errors what
// can be done about them.
func (g *gatewayFlags) modules(do func(*module.Client) error) error {
	dir, err := (&operatorFlags{at: *g}).dataDir()
	if err != nil {
		return err
	}
	err = do(module.NewClient(operate.Path(dir)))
	if errors.Is(err, module.ErrNoDeployment) {
		return withHint(err, "name their deployment with deployment under [sluice] in its configuration")
	}
	return operatorHint(err, dir)
}

const listExamples = `  sluice list
  sluice list --json --data /var/lib/sluice`

func listCommand() *cobra.Command {
	var at gatewayFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the modules of the gateway on this machine",
		Long:    "Lists the modules of the gateway's deployment, and how each of them is.",
		Example: listExamples,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var list []module.Details
			err := at.modules(func(c *module.Client) (err error) { list, err = c.List(cmd.Context()); return err })
			if err != nil || asJSON {
				return orJSON(cmd.OutOrStdout(), list, err)
			}
			t := table{out: cmd.OutOrStdout(), header: []string{"NAME", "STATUS", "DESCRIPTION", "PROGRAM"}}
			for _, m := range list {
				t.add(m.Name, string(m.Status.Runtime.Status), moduleSaid(&m.Status, time.Now()), m.Config.Settings.Image)
			}
			return t.print()
		},
	}
	at.add(cmd.Flags())
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// moduleSaid describes how a module is.
func moduleSaid(s *module.DetailsStatus, now time.Time) string {
	switch {
	case s.Runtime.Status == module.Running && s.StartTime != nil:
		text := "up " + pki.Span(now.Sub(*s.StartTime))
		if s.Restarts > 0 {
			text += fmt.Sprintf(", restarted %d times", s.Restarts)
		}
		return text
	case s.Runtime.Status == module.Stopped && s.ExitStatus != nil:
		return "stopped " + pki.Span(now.Sub(s.ExitStatus.ExitTime)) + " ago"
	}
	return cmp.Or(s.Runtime.Description, string(s.Runtime.Status))
}

const logsExamples = `  sluice logs filter
  sluice logs -f --tail 20 filter
  sluice logs --since 90m --timestamps filter`

type logsFlags struct {
	at            gatewayFlags
	tail, since   string
	follow, times bool
}

func logsCommand() *cobra.Command {
	f := &logsFlags{}
	cmd := &cobra.Command{
		Use:     "logs MODULE",
		Short:   "Print what a module wrote",
		Long:    "Prints what a module wrote to its standard output and standard error, as far as it is kept.",
		Example: logsExamples,
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return printLogs(cmd, args[0], f) },
	}
	f.at.add(cmd.Flags())
	cmd.Flags().BoolVarP(&f.follow, "follow", "f", false, "go on with what it writes, until interrupted")
	cmd.Flags().StringVar(&f.tail, "tail", "all", "only the last `lines`")
	cmd.Flags().StringVar(&f.since, "since", "", "only what was written since a `time`: 2026-01-31T10:20:30Z, or 90m for so long ago")
	cmd.Flags().BoolVarP(&f.times, "timestamps", "t", false, "print the time before each line")
	return cmd
}

func printLogs(cmd *cobra.Command, name string, f *logsFlags) error {
	q, err := module.ParseLogQuery(f.tail, f.since, time.Now())
	if err != nil {
		return usagef("--%s", strings.TrimPrefix(err.Error(), module.ErrQuery.Error()+": "))
	}
	q.Follow = f.follow
	err = f.at.modules(func(c *module.Client) error {
		return c.Logs(cmd.Context(), name, q, f.times, cmd.OutOrStdout())
	})
	if f.follow && errors.Is(err, context.Canceled) {
		return nil // that is how it ends
	}
	return err
}

func restartCommand() *cobra.Command {
	var at gatewayFlags
	cmd := &cobra.Command{
		Use:     "restart MODULE",
		Short:   "Restart a module",
		Long:    "Ends a module, with its grace period, and starts it again at once.",
		Example: "  sluice restart filter",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			err := at.modules(func(c *module.Client) error { return c.Restart(cmd.Context(), args[0]) })
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), "Restarted", args[0])
			return err
		},
	}
	at.add(cmd.Flags())
	return cmd
}
