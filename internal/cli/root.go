package cli

import (
	"context"
	"io"

	"github.com/spf13/cobra"
)

// Main runs one command line, without the program's name, and returns the exit
// status, one of [Exit]'s. It returns soon after ctx ends, which is how an
// interrupt is told to it.
func Main(ctx context.Context, args []string, in io.Reader, out, errw io.Writer) int {
	root := rootCommand()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errw)
	started := watchRuns(root)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return int(ExitOK)
	}
	if !*started {
		err = asUsage(err)
	}
	status := exitOf(ctx, err)
	if status != ExitInterrupted {
		report(errw, err)
	}
	return int(status)
}

// asUsage marks what cobra found wrong before any command ran.
func asUsage(err error) error {
	if askedExit(err) != ExitOK {
		return err
	}
	return withExit(err, ExitUsage)
}

// watchRuns notes when a command begins: an error before that is one of usage.
func watchRuns(cmd *cobra.Command) *bool {
	started := new(bool)
	var visit func(*cobra.Command)
	visit = func(c *cobra.Command) {
		if run := c.RunE; run != nil {
			c.RunE = func(cmd *cobra.Command, args []string) error {
				*started = true
				return run(cmd, args)
			}
		}
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit(cmd)
	return started
}

// The groups of the commands in the help, in order.
const (
	groupRun     = "run"
	groupManage  = "manage"
	groupMeasure = "measure"
)

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "sluice",
		Short:         "An IoT Edge gateway and a local IoT Hub in one program",
		Long:          rootLong,
		Example:       rootExamples,
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.AddGroup(
		&cobra.Group{ID: groupRun, Title: "Run:"},
		&cobra.Group{ID: groupManage, Title: "Manage:"},
		&cobra.Group{ID: groupMeasure, Title: "Measure:"},
	)
	addCommands(root)
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetUsageTemplate(usageTemplate)
	root.SetHelpCommand(helpCommand())
	root.SetFlagErrorFunc(flagError)
	root.Flags().BoolP("version", "v", false, "print version and build")
	completeGroups(root)
	return root
}

func addCommands(root *cobra.Command) {
	// One line per command, in the order of the help.
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add(groupRun, demoCommand(), hubCommand(), edgeCommand(), moduleCommand(), provisionCommand())
	add(groupManage, monitorCommand(), deviceCommand(), twinCommand(), methodCommand(), c2dCommand(), queryCommand(), deployCommand(), jobCommand())
	add(groupManage, gatewayCommand(), listCommand(), logsCommand(), restartCommand())
	add(groupManage, routeCommand(), certsCommand())
	add(groupMeasure, benchCommand())
}

// completeGroups gives commands that only hold others a run of their own: help
// without arguments, and with one the nearest command to it.
func completeGroups(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		completeGroups(sub)
	}
	if cmd.Runnable() || (!cmd.HasSubCommands() && cmd.HasParent()) {
		return
	}
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return unknownCommand(cmd, args[0])
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
}

func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Explain a command",
		RunE: func(cmd *cobra.Command, args []string) error {
			found, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				if found == nil || len(rest) == 0 {
					return usagef("there is no command %q", args)
				}
				return unknownCommand(found, rest[0])
			}
			found.InitDefaultHelpFlag()
			return found.Help()
		},
	}
}
