package cli

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"sluice/internal/bench"
)

const benchMQTTLong = `Publishes at QoS 1 from many clients and measures the rate, and how long each
message waits for its acknowledgement.

Each client keeps --window messages unacknowledged, and sends the next as soon as
there is room, or with --rate at even intervals; then a message's time counts from
when it was due. What arrives in the warm-up is not counted.

` + benchTargetHelp + `

The exit status is 1 if a client lost its connection.`

const benchMQTTExamples = `  A gateway, as device bench-0 to bench-99, which share a key:
    sluice bench mqtt --url mqtts://gateway.local --ca root.pem --connection-string \
      'HostName=hub.local;DeviceId=bench-{n};SharedAccessKey=…'

  mosquitto:
    sluice bench mqtt --url mqtts://broker.local --ca ca.pem --topic 'load/{n}'

  How long one message takes when nothing else happens:
    sluice bench mqtt --clients 1 --window 1`

type benchMQTTFlags struct {
	benchTarget
	load bench.Load
	json bool
}

func benchMQTTCommand() *cobra.Command {
	f := &benchMQTTFlags{}
	cmd := &cobra.Command{
		Use:     "mqtt",
		Short:   "Publish from many clients at once",
		Long:    benchMQTTLong,
		Example: benchMQTTExamples,
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	flags := cmd.Flags()
	f.add(flags)
	flags.IntVar(&f.load.Clients, "clients", 100, "`number` of connections")
	flags.IntVar(&f.load.Window, "window", 16, "unacknowledged messages of each client")
	flags.IntVar(&f.load.Size, "size", 256, "`bytes` of each message")
	flags.DurationVar(&f.load.Duration, "duration", 10*time.Second, "`time` that is measured")
	flags.DurationVar(&f.load.WarmUp, "warm-up", 2*time.Second, "`time` before that")
	flags.Int64Var(&f.load.Count, "count", 0, "send this `number` of messages instead, and measure all of them")
	flags.Float64Var(&f.load.Rate, "rate", 0, "messages a second of all clients; 0 for as many as possible")
	flags.BoolVar(&f.json, "json", false, "print JSON")
	cmd.MarkFlagsMutuallyExclusive("duration", "count")
	return cmd
}

func (f *benchMQTTFlags) run(cmd *cobra.Command) error {
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

func (f *benchMQTTFlags) check() error {
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
