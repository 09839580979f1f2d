package cli

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"sluice/internal/bench"
)

const benchSpoolLong = `Measures what the disk below DIR gives a gateway: bare writes with fsync, then a
spool that many writers append to, each waiting until its message is safe, and
that is closed, opened again, read and emptied. It is made in a new directory
below DIR, which is removed at the end.`

const benchSpoolExamples = `  sluice bench spool /var/lib/sluice`

type benchSpoolFlags struct {
	disk bench.Disk
	json bool
}

func benchSpoolCommand() *cobra.Command {
	f := &benchSpoolFlags{}
	cmd := &cobra.Command{
		Use:     "spool DIR",
		Short:   "Measure a disk the way a gateway uses it",
		Long:    benchSpoolLong,
		Example: benchSpoolExamples,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.disk.Dir = args[0]
			return f.run(cmd)
		},
	}
	flags := cmd.Flags()
	flags.IntVar(&f.disk.Writers, "writers", 256, "`number` of writers")
	flags.IntVar(&f.disk.Size, "size", 256, "`bytes` of each message")
	flags.DurationVar(&f.disk.Duration, "duration", 5*time.Second, "`time` of appending")
	flags.BoolVar(&f.json, "json", false, "print JSON")
	return cmd
}

func (f *benchSpoolFlags) run(cmd *cobra.Command) error {
	if f.disk.Writers < 1 || f.disk.Size < 0 || f.disk.Duration <= 0 {
		return usagef("--writers and --duration must be positive, and --size not negative")
	}
	r, err := f.disk.Run(cmd.Context())
	if err != nil {
		return err
	}
	if f.json {
		return printJSON(cmd.OutOrStdout(), r)
	}
	return printDisk(cmd.OutOrStdout(), &r)
}

func printDisk(out io.Writer, r *bench.DiskResult) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(w, "write and fsync\t%.0f a second, p50 %.3f ms, p99 %.3f ms\n", r.BareSyncRate, r.BareSync.P50, r.BareSync.P99)
	fmt.Fprintf(w, "appending\t%.0f messages a second from %d writers of %d bytes, in %.0f commits a second\n",
		r.AppendRate, r.Writers, r.Size, r.CommitRate)
	fmt.Fprintf(w, "until safe\tp50 %.3f ms, p99 %.3f ms, p99.9 %.3f ms, longest %.3f ms\n",
		r.Latency.P50, r.Latency.P99, r.Latency.P999, r.Latency.Max)
	fmt.Fprintf(w, "opening\t%.0f ms, with %d messages in it\n", r.OpenMs, r.Appended)
	fmt.Fprintf(w, "reading\t%.0f messages a second, acknowledged\n", r.ReadRate)
	return w.Flush()
}
