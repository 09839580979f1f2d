package cli

import (
	"cmp"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"sluice/internal/gateway"
	"sluice/internal/operate"
	"sluice/internal/pki"
)

func gatewayStatusCommand(f *operatorFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show how the gateway is",
		Long: `Shows the gateway in a few figures. Those of messages count since it began; what waits
and the dead letters are from before, too.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.ask(func(c *operate.Client) error {
				s, err := c.Status(cmd.Context())
				if err != nil || f.json {
					return orJSON(cmd.OutOrStdout(), s, err)
				}
				return printStatus(cmd.OutOrStdout(), &s, time.Now())
			})
		},
	}
}

// orJSON prints v if there is no error.
func orJSON(out io.Writer, v any, err error) error {
	if err != nil {
		return err
	}
	return printJSON(out, v)
}

func printStatus(out io.Writer, s *operate.Status, now time.Time) error {
	t := table{out: out, header: []string{"GATEWAY", s.Device}}
	uplink := "down"
	if s.Online {
		uplink = "up"
	}
	known := "never told"
	if s.AsOf != nil {
		known = fmt.Sprintf("%d, as of %s", s.Members, when(*s.AsOf))
	}
	disk := size(int64(s.DiskBytes))
	if s.Refusing {
		disk += ", too little is left: messages are refused"
	}
	t.add("hub", s.Hub)
	t.add("uplink", uplink)
	t.add("up for", pki.Span(now.Sub(s.Began)))
	t.add("connected", strconv.Itoa(s.Clients))
	t.add("identities", known)
	t.add("routes", strconv.Itoa(s.Routes))
	t.add("waiting", fmt.Sprintf("%d messages, %s", s.Waiting, size(s.Bytes)))
	t.add("on disk", disk)
	t.add("received", strconv.FormatUint(s.Received, 10))
	t.add("sent to the hub", strconv.FormatUint(s.Sent, 10))
	t.add("without a route", strconv.FormatUint(s.Unrouted, 10))
	t.add("in a loop", strconv.FormatUint(s.Looped, 10))
	t.add("refused", strconv.FormatUint(s.Refused, 10))
	t.add("dead letters", strconv.Itoa(s.DeadLetters))
	return t.print()
}

// size writes bytes for people.
func size(n int64) string {
	units := []string{"bytes", "KiB", "MiB", "GiB", "TiB"}
	v, unit := float64(n), 0
	for v >= 1024 && unit < len(units)-1 {
		v /= 1024
		unit++
	}
	if unit == 0 {
		return fmt.Sprintf("%d bytes", n)
	}
	return fmt.Sprintf("%.1f %s", v, units[unit])
}

func gatewayClientsCommand(f *operatorFlags) *cobra.Command {
	all := false
	cmd := &cobra.Command{
		Use:   "clients",
		Short: "List the devices and modules that are connected",
		Long: `Lists who is connected: id, status, protocol, since when, from where, by which proof,
whether it takes direct methods, and how many of its messages wait for the hub. With
--all also those that might be.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.ask(func(c *operate.Client) error {
				members, err := c.Members(cmd.Context())
				list := make([]gateway.Member, 0, len(members))
				for _, m := range members {
					if all || m.Seat != nil {
						list = append(list, m)
					}
				}
				if err != nil || f.json {
					return orJSON(cmd.OutOrStdout(), list, err)
				}
				return printMembers(cmd.OutOrStdout(), list)
			})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "all whom the gateway knows, connected or not")
	return cmd
}

func printMembers(out io.Writer, list []gateway.Member) error {
	t := table{out: out, header: []string{"ID", "STATUS", "PROTOCOL", "SINCE", "FROM", "PROOF", "METHODS", "WAITING"}}
	for i := range list {
		m := &list[i]
		s := cmp.Or(m.Seat, new(gateway.Seat))
		methods := ""
		if s.Methods {
			methods = "yes"
		}
		t.add(m.Identity.String(), statusOf(m), s.Protocol, when(s.Since), s.Remote, string(s.Proof), methods, strconv.FormatUint(m.Waiting, 10))
	}
	return t.print()
}

func statusOf(m *gateway.Member) string {
	switch {
	case !m.Enabled:
		return "disabled"
	case m.Seat != nil:
		return "connected"
	}
	return "away"
}

func gatewayTwinCommand(f *operatorFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "twin ID",
		Short: "Show a twin as the gateway knows it",
		Long: `Shows the twin of a device or module, as JSON: the hub's, or, while the hub is away,
what it said last, with what was reported since. "pending" are the patches of reported
properties that the hub does not have yet.`,
		Args: oneID,
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := parseID(args[0])
			if err != nil {
				return err
			}
			return f.ask(func(c *operate.Client) error {
				t, err := c.Twin(cmd.Context(), id)
				return orJSON(cmd.OutOrStdout(), t, err)
			})
		},
	}
}
