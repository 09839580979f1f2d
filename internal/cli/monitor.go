package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sluice/internal/eventhub"
	"sluice/internal/hubevent"
	"sluice/internal/service"
)

const monitorLong = `Follows the events that a hub receives, as they are stored: each on a line, or with
--json as one JSON object on a line, with the names of the Event Hubs-compatible
endpoint. A connection that is lost is made again; nothing is missed or shown
twice. Ctrl-C ends it.

A Sluice hub is read over HTTPS. Azure IoT Hub, and any hub with --event-hub, is read
from its Event Hubs-compatible endpoint over AMQP, port 5671; then --from is start,
latest or a time, and --device is chosen from all that comes.

` + reachHelp

const monitorExamples = `  What arrives from now on:
    sluice monitor

  Everything that one device has sent, then end:
    sluice monitor --device pump-7 --from start --no-follow

  For a program:
    sluice monitor --json | jq .body`

type monitorFlags struct {
	reach
	query    service.EventQuery
	noFollow bool
	eventHub bool
	group    string
	json     bool
	props    bool
	count    int
}

func monitorCommand() *cobra.Command {
	f := &monitorFlags{}
	cmd := &cobra.Command{
		Use:     "monitor",
		Short:   "Follow the events that a hub receives",
		Long:    monitorLong,
		Example: monitorExamples,
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runMonitor(cmd, f) },
	}
	flags := cmd.Flags()
	f.add(flags)
	flags.StringVar(&f.query.Device, "device", "", "only events of this device and its modules")
	flags.StringVar(&f.query.From, "from", "latest", "begin at start, at latest, at a `time` such as 2026-01-02T15:04:05Z or 10m ago, or at partition:sequence,…")
	flags.StringVar(&f.query.Partition, "partition", "", "only this `partition`")
	flags.BoolVar(&f.noFollow, "no-follow", false, "end where the log ends, instead of waiting for more")
	flags.IntVarP(&f.count, "count", "n", 0, "end after this many events")
	flags.BoolVar(&f.eventHub, "event-hub", false, "read the Event Hubs-compatible endpoint, of a Sluice hub too")
	flags.StringVar(&f.group, "consumer-group", "$Default", "`name` of the consumer group there")
	flags.BoolVar(&f.props, "properties", false, "show application and system properties too")
	flags.BoolVar(&f.json, "json", false, "one JSON object on a line")
	return cmd
}

// errCounted ends a monitor that has shown what was asked for.
var errCounted = errors.New("that many")

func runMonitor(cmd *cobra.Command, f *monitorFlags) error {
	f.query.Follow = !f.noFollow
	var err error
	if f.query.From, err = absoluteTime(f.query.From, time.Now()); err != nil {
		return err
	}
	out, errw := cmd.OutOrStdout(), cmd.ErrOrStderr()
	show := f.show(out)
	shown := 0
	err = f.read(cmd.Context(), func(e *hubevent.Event) error {
		if err := show(e); err != nil {
			return err
		}
		if shown++; shown == f.count {
			return errCounted
		}
		return nil
	}, func(err error) {
		fmt.Fprintf(errw, "sluice: connection lost, trying again: %v\n", err)
	})
	switch {
	case errors.Is(err, errCounted), cmd.Context().Err() != nil:
		return nil // it was asked to end
	}
	return err
}

// read reads events from where the hub has them.
func (f *monitorFlags) read(ctx context.Context, event func(*hubevent.Event) error, lost func(error)) error {
	t, err := f.target()
	if err != nil {
		return err
	}
	if f.eventHub || strings.HasSuffix(t.connection.HostName, ".azure-devices.net") {
		return f.readEventHub(ctx, t, event, lost)
	}
	client, err := service.New(t.connection, t.options)
	if err != nil {
		return withExit(err, ExitUsage)
	}
	defer client.Close()
	return client.Events(ctx, f.query, event, lost)
}

// readEventHub reads the Event Hubs-compatible endpoint. An address with a port is
// that of AMQP; without, the port is the usual one.
func (f *monitorFlags) readEventHub(ctx context.Context, t target, event func(*hubevent.Event) error, lost func(error)) error {
	var from eventhub.Position
	switch f.query.From {
	case "start":
		from.Start = true
	case "latest", "":
	default:
		var err error
		if from.Time, err = time.Parse(time.RFC3339Nano, f.query.From); err != nil {
			return usagef("--from %s: at the Event Hubs-compatible endpoint it is start, latest or a time", f.query.From)
		}
	}
	opt := eventhub.Options{Roots: t.options.Roots, Address: t.options.Address, Port: t.amqpPort, ConsumerGroup: f.group}
	reader, err := eventhub.New(t.connection, opt)
	if err != nil {
		return withExit(err, ExitUsage)
	}
	return reader.Read(ctx, from, f.query.Follow, func(e *hubevent.Event) error {
		if !f.wants(e) {
			return nil
		}
		return event(e)
	}, lost)
}

func (f *monitorFlags) wants(e *hubevent.Event) bool {
	return (f.query.Device == "" || strings.EqualFold(e.Device, f.query.Device)) &&
		(f.query.Partition == "" || f.query.Partition == strconv.Itoa(e.Partition))
}

// absoluteTime turns "10m" and "10m ago" into a time.
func absoluteTime(from string, now time.Time) (string, error) {
	d, err := time.ParseDuration(strings.TrimSpace(strings.TrimSuffix(from, "ago")))
	if err != nil {
		return from, nil // the hub knows the other forms
	}
	if d < 0 {
		return "", usagef("--from %s: a time in the future", from)
	}
	return now.Add(-d).UTC().Format(time.RFC3339Nano), nil
}

// show returns what writes one event.
func (f *monitorFlags) show(out io.Writer) func(*hubevent.Event) error {
	if f.json {
		e := json.NewEncoder(out)
		e.SetEscapeHTML(false)
		return func(event *hubevent.Event) error { return e.Encode(event) }
	}
	style := plainStyle
	if isTerminal(out) {
		style = colours
	}
	return func(event *hubevent.Event) error {
		_, err := io.WriteString(out, f.line(event, style))
		return err
	}
}

// style is how parts of a line stand out.
type style struct{ dim, bold, off string }

var (
	plainStyle = style{}
	colours    = style{dim: "\x1b[2m", bold: "\x1b[1m", off: "\x1b[0m"}
)

func (f *monitorFlags) line(e *hubevent.Event, s style) string {
	sender := e.Device
	if e.Module != "" {
		sender += "/" + e.Module
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s%s%s %s%s%s %s\n", s.dim, e.Enqueued.Local().Format("15:04:05.000"), s.off, s.bold, printable(sender), s.off, printable(e.Text()))
	if f.props {
		writeProperties(&b, "  ", e.Properties, s)
		writeProperties(&b, "  $", e.System, s)
	}
	return b.String()
}

func writeProperties(b *strings.Builder, prefix string, properties map[string]string, s style) {
	keys := make([]string, 0, len(properties))
	for k := range properties {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		fmt.Fprintf(b, "%s%s%s = %s%s\n", s.dim, prefix, printable(k), printable(properties[k]), s.off)
	}
}

// printable keeps what a device sent from commanding the terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' || r >= ' ' && r != 0x7f && (r < 0x80 || r > 0x9f) {
			return r
		}
		return '·'
	}, text)
}
