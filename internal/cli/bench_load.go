package cli

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"sluice/internal/bench"
)

// benchLoad are the flags of a load, whatever it speaks, and what it does.
type benchLoad struct {
	benchTarget
	load bench.Load
	json bool
}

func (f *benchLoad) add(cmd *cobra.Command, window int) {
	flags := cmd.Flags()
	f.benchTarget.add(flags)
	flags.IntVar(&f.load.Clients, "clients", 100, "`number` of connections")
	flags.IntVar(&f.load.Window, "window", window, "unacknowledged messages of each client")
	flags.IntVar(&f.load.Size, "size", 256, "`bytes` of each message")
	flags.DurationVar(&f.load.Duration, "duration", 10*time.Second, "`time` that is measured")
	flags.DurationVar(&f.load.WarmUp, "warm-up", 2*time.Second, "`time` before that")
	flags.Int64Var(&f.load.Count, "count", 0, "send this `number` of messages instead, and measure all of them")
	flags.Float64Var(&f.load.Rate, "rate", 0, "messages a second of all clients; 0 for as many as possible")
	flags.BoolVar(&f.json, "json", false, "print JSON")
	cmd.MarkFlagsMutuallyExclusive("duration", "count")
}

func (f *benchLoad) run(cmd *cobra.Command) error {
	if err := f.check(); err != nil {
		return err
	}
	target, err := f.target()
	if err != nil {
		return err
	}
	f.load.Target = target
	if errw := cmd.ErrOrStderr(); isTerminal(errw) {
		f.load.Progress = func(n int64, elapsed time.Duration) {
			fmt.Fprintf(errw, "\r%3.0f s  %d acknowledged ", elapsed.Seconds(), n)
		}
		defer fmt.Fprintln(errw)
	}
	r, err := f.load.Run(cmd.Context())
	if err != nil {
		return err
	}
	if f.json {
		err = printJSON(cmd.OutOrStdout(), r)
	} else {
		err = printLoad(cmd.OutOrStdout(), &r)
	}
	if err == nil && r.Errors > 0 {
		err = fmt.Errorf("%d of %d clients lost their connection: %s", r.Errors, r.Clients, r.FirstError)
	}
	return err
}

func (f *benchLoad) check() error {
	l := &f.load
	switch {
	case l.Clients < 1:
		return usagef("--clients %d: at least 1", l.Clients)
	case l.Window < 1 || l.Window > bench.MaxWindow:
		return usagef("--window %d: 1 to %d", l.Window, bench.MaxWindow)
	case l.Size < 0 || l.Size > 256<<20:
		return usagef("--size %d: 0 to %d", l.Size, 256<<20)
	case l.Count < 0 || l.Rate < 0 || l.WarmUp < 0:
		return usagef("--count, --rate and --warm-up cannot be negative")
	case l.Count == 0 && l.Duration <= 0:
		return usagef("--duration %v: too short", l.Duration)
	}
	return nil
}

func printLoad(out io.Writer, r *bench.Result) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(w, "clients\t%d, each with at most %d messages of %d bytes unacknowledged\n", r.Clients, r.Window, r.Size)
	fmt.Fprintf(w, "messages\t%d acknowledged in %.1f s\n", r.Messages, r.Seconds)
	fmt.Fprintf(w, "rate\t%.0f messages a second\n", r.Rate)
	fmt.Fprintf(w, "acknowledgement\tp50 %.3f ms, p99 %.3f ms, p99.9 %.3f ms, longest %.3f ms\n",
		r.Latency.P50, r.Latency.P99, r.Latency.P999, r.Latency.Max)
	fmt.Fprintf(w, "connecting\t%.0f a second\n", r.ConnectRate)
	fmt.Fprintf(w, "errors\t%d connections lost, %d messages unanswered\n", r.Errors, r.Unanswered)
	return w.Flush()
}
