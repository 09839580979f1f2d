package cli

import (
	"context"
	"errors"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"sluice/internal/demo"
)

const demoLong = `Runs a hub, a gateway and simulated devices on this machine, with certificates
made on the spot, and shows how messages survive: the uplink is cut and restored,
the gateway killed with SIGKILL and started again, by a schedule or at your keys.

Nothing is needed and nothing is left behind, unless --dir names a directory: then
everything stays there, to look at or to start from.`

const demoExamples = `  Watch it:
    sluice demo

  A bounded run that proves delivery: exit status 0 if every acknowledged message
  reached the hub in order, else 1:
    sluice demo --once

  More of it:
    sluice demo --devices 50 --rate 20

  Machines that know nothing of IoT Hub:
    sluice demo identity-translation`

const leafDemoLong = `Runs a hub, provisioning, a gateway with its modules mqtt-bridge and
identity-translation, and machines that know plain MQTT and nothing else. What they
publish is kept at the gateway until provisioning comes; then one after the other
appears at the hub as a device of its own, with its kept messages first. Some are not
on the allow list, and are refused.

Nothing is needed and nothing is left behind, unless --dir names a directory: then
everything stays there: the allow list, the gateway's configuration, logs.`

const leafDemoExamples = `  Watch it:
    sluice demo identity-translation

  A bounded run, in which the gateway is killed while machines are registered, that
  proves delivery: exit status 0 if all is as it must be, else 1:
    sluice demo identity-translation --once`

func demoCommand() *cobra.Command {
	opt := demo.Options{}
	cmd := &cobra.Command{
		Use:     "demo",
		Short:   "See it all at work on this machine, with nothing to set up",
		Long:    demoLong,
		Example: demoExamples,
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runDemo(cmd, opt) },
	}
	flags := cmd.Flags()
	flags.BoolVar(&opt.Once, "once", false, "send a bounded number of messages, judge what arrived, and exit")
	flags.IntVar(&opt.Devices, "devices", 8, "`number` of simulated devices, at most 100")
	flags.Float64Var(&opt.Rate, "rate", 25, "messages a second of each device")
	flags.IntVar(&opt.Messages, "messages", 250, "with --once: messages of each device")
	flags.StringVar(&opt.Dir, "dir", "", dirUsage)
	cmd.AddCommand(leafDemoCommand())
	return cmd
}

const dirUsage = "`directory` for everything, and keep it (default: a temporary one, removed at the end)"

func leafDemoCommand() *cobra.Command {
	opt := demo.Options{}
	cmd := &cobra.Command{
		Use:     "identity-translation",
		Short:   "See machines that know nothing of IoT Hub get an identity there",
		Long:    leafDemoLong,
		Example: leafDemoExamples,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("rate") && opt.Once {
				opt.Rate = 20
			}
			return perform(cmd, opt, demo.RunLeaves)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&opt.Once, "once", false, "send a bounded number of messages, judge what arrived, and exit")
	flags.IntVar(&opt.Devices, "devices", 20, "`number` of machines, at most 100; one in four is not on the allow list")
	flags.Float64Var(&opt.Rate, "rate", 1, "messages a second of each machine (with --once: 20)")
	flags.IntVar(&opt.Messages, "messages", 60, "with --once: messages of each machine")
	flags.StringVar(&opt.Dir, "dir", "", dirUsage)
	return cmd
}

func runDemo(cmd *cobra.Command, opt demo.Options) error { return perform(cmd, opt, demo.Run) }

// perform shows a demonstration.
func perform(cmd *cobra.Command, opt demo.Options, show func(context.Context, demo.Options) error) error {
	switch {
	case opt.Devices < 1 || opt.Devices > 100:
		return usagef("--devices %d: it must be 1 to 100", opt.Devices)
	case opt.Rate <= 0 || opt.Rate > 1000:
		return usagef("--rate %g: it must be above 0 and at most 1000", opt.Rate)
	case opt.Messages < 1:
		return usagef("--messages %d: it must be at least 1", opt.Messages)
	}
	opt.Out = cmd.OutOrStdout()
	opt.Live = isTerminal(opt.Out)
	if in, ok := cmd.InOrStdin().(*os.File); ok && opt.Live && !opt.Once {
		keys, restore, err := readKeys(cmd.Context(), in)
		if err != nil {
			return err
		}
		defer restore()
		opt.Keys = keys
	}
	err := show(cmd.Context(), opt)
	if errors.Is(err, demo.ErrVerdict) {
		return withExit(err, ExitFailed)
	}
	return err
}

// isTerminal reports whether somebody looks at w, and can be drawn for.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"
}
