package cli

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"sluice/internal/bench"
)

const benchIdleLong = `Opens connections that do nothing, and with --pid tells what each costs the server
in resident memory (Linux only).

` + benchTargetHelp + `

A system limits how many files a process may open: "ulimit -n" shows it.`

const benchIdleExamples = `  sluice bench idle --clients 2000 --pid "$(pidof mosquitto)" --ca ca.pem`

type benchIdleFlags struct {
	benchTarget
	idle bench.Idle
	json bool
}

func benchIdleCommand() *cobra.Command {
	f := &benchIdleFlags{}
	cmd := &cobra.Command{
		Use:     "idle",
		Short:   "Hold idle connections and read the server's memory",
		Long:    benchIdleLong,
		Example: benchIdleExamples,
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	flags := cmd.Flags()
	f.add(flags)
	flags.IntVar(&f.idle.Clients, "clients", 1000, "`number` of connections")
	flags.IntVar(&f.idle.PID, "pid", 0, "process `id` of the server")
	flags.DurationVar(&f.idle.Settle, "settle", 5*time.Second, "`time` from the last connection to the reading")
	flags.BoolVar(&f.json, "json", false, "print JSON")
	return cmd
}

func (f *benchIdleFlags) run(cmd *cobra.Command) (err error) {
	if f.idle.Clients < 1 || f.idle.PID < 0 || f.idle.Settle < 0 {
		return usagef("--clients must be at least 1; --pid and --settle cannot be negative")
	}
	if f.idle.Target, err = f.target(); err != nil {
		return err
	}
	r, err := f.idle.Run(cmd.Context())
	if err != nil {
		return err
	}
	if f.json {
		return printJSON(cmd.OutOrStdout(), r)
	}
	return printIdle(cmd.OutOrStdout(), &r)
}

func printIdle(out io.Writer, r *bench.IdleResult) error {
	_, err := fmt.Fprintf(out, "%d connections, made at %.0f a second\n", r.Clients, r.ConnectRate)
	if err != nil || r.Before == 0 {
		return err
	}
	const mib = 1 << 20
	_, err = fmt.Fprintf(out, "resident memory %.1f MiB before, %.1f MiB after: %.1f KiB a connection\n",
		float64(r.Before)/mib, float64(r.After)/mib, float64(r.PerConnection)/1024)
	return err
}
