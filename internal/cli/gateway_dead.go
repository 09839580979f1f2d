package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"sluice/internal/operate"
)

const gatewayDeadLong = `Shows the messages that could not be delivered for good, with the reason, sends them
again, or drops them. The gateway keeps the last 10,000, up to 64 MiB.`

const gatewayDeadExamples = `  sluice gateway dead list
  sluice gateway dead show 4711
  sluice gateway dead export > letters.jsonl
  sluice gateway dead retry 4711 4712
  sluice gateway dead retry --all --queue modules/filter/input1
  sluice gateway dead drop --all`

func gatewayDeadCommand(f *operatorFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "dead",
		Short:   "Show dead letters, send them again, or drop them",
		Long:    gatewayDeadLong,
		Example: gatewayDeadExamples,
	}
	retry := func(ctx context.Context, c *operate.Client, seqs []uint64) (uint64, error) {
		return c.Retry(ctx, seqs...)
	}
	drop := func(ctx context.Context, c *operate.Client, seqs []uint64) (uint64, error) {
		if err := c.Drop(ctx, seqs...); err != nil {
			return 0, err
		}
		return uint64(len(seqs)), nil
	}
	cmd.AddCommand(
		deadListCommand(f),
		deadShowCommand(f),
		deadExportCommand(f),
		deadDoCommand(f, "retry", "Send dead letters again",
			`Puts dead letters back into their queues, behind what waits there, with a new time to
live. What the hub or the module refuses again becomes a dead letter again.`, "sent again", retry),
		deadDoCommand(f, "drop", "Remove dead letters for good", "Removes dead letters for good.", "dropped", drop),
	)
	return cmd
}

// page is how many dead letters are asked for at once.
const page = 500

// eachLetter calls do for all dead letters, the oldest first, or for those of one
// queue.
func eachLetter(ctx context.Context, c *operate.Client, queue string, do func(*operate.DeadLetter) error) error {
	for after := uint64(0); ; {
		list, err := c.DeadLetters(ctx, after, page)
		if err != nil || len(list) == 0 {
			return err
		}
		for i := range list {
			if queue == "" || list[i].Queue == queue {
				if err := do(&list[i]); err != nil {
					return err
				}
			}
		}
		after = list[len(list)-1].Seq
	}
}

func deadListCommand(f *operatorFlags) *cobra.Command {
	queue := ""
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List dead letters, the oldest first",
		Long:  "Lists dead letters: number, when it died, sender, queue and reason.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.ask(func(c *operate.Client) error {
				t := table{out: cmd.OutOrStdout(), header: []string{"NUMBER", "DIED", "SENDER", "QUEUE", "REASON"}}
				list := []*operate.DeadLetter{}
				err := eachLetter(cmd.Context(), c, queue, func(d *operate.DeadLetter) error {
					list = append(list, d)
					sender := ""
					if id := d.Sender(); !id.IsZero() {
						sender = id.String()
					}
					t.add(strconv.FormatUint(d.Seq, 10), when(d.Died), sender, d.Queue, d.Reason)
					return nil
				})
				if err != nil || f.json {
					return orJSON(cmd.OutOrStdout(), list, err)
				}
				return t.print()
			})
		},
	}
	cmd.Flags().StringVar(&queue, "queue", "", "those of this `queue` only")
	return cmd
}

func deadShowCommand(f *operatorFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "show NUMBER",
		Short: "Show a dead letter with its message, as JSON",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			seqs, err := numbers(args)
			if err != nil {
				return err
			}
			return f.ask(func(c *operate.Client) error {
				d, err := c.DeadLetter(cmd.Context(), seqs[0])
				return orJSON(cmd.OutOrStdout(), d, letterHint(err))
			})
		},
	}
}

func deadExportCommand(f *operatorFlags) *cobra.Command {
	queue := ""
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Print dead letters with their messages, one line of JSON each",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.ask(func(c *operate.Client) error {
				out := json.NewEncoder(cmd.OutOrStdout())
				out.SetEscapeHTML(false)
				return eachLetter(cmd.Context(), c, queue, func(d *operate.DeadLetter) error { return out.Encode(d) })
			})
		},
	}
	cmd.Flags().StringVar(&queue, "queue", "", "those of this `queue` only")
	return cmd
}

// deadDoCommand is a command that does something to the dead letters that are named,
// or to all.
func deadDoCommand(f *operatorFlags, name, short, long, past string, do func(context.Context, *operate.Client, []uint64) (uint64, error)) *cobra.Command {
	all, queue := false, ""
	cmd := &cobra.Command{
		Use:   name + " NUMBER...",
		Short: short,
		Long:  long,
		RunE: func(cmd *cobra.Command, args []string) error {
			seqs, err := numbers(args)
			switch {
			case err != nil:
				return err
			case all == (len(args) > 0) || queue != "" && !all:
				return withHint(usagef("%s takes the numbers of dead letters, or --all, perhaps with --queue", cmd.CommandPath()), `"sluice gateway dead list" lists them`)
			}
			return f.ask(func(c *operate.Client) error {
				if all {
					err = eachLetter(cmd.Context(), c, queue, func(d *operate.DeadLetter) error { seqs = append(seqs, d.Seq); return nil })
				}
				if err != nil {
					return err
				}
				n, err := doInPages(cmd.Context(), c, seqs, do)
				if f.json {
					return orJSON(cmd.OutOrStdout(), map[string]uint64{name: n}, letterHint(err))
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s: %d\n", past, n)
				return letterHint(err)
			})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "all that there are")
	cmd.Flags().StringVar(&queue, "queue", "", "with --all: those of this `queue`")
	return cmd
}

func doInPages(ctx context.Context, c *operate.Client, seqs []uint64, do func(context.Context, *operate.Client, []uint64) (uint64, error)) (n uint64, err error) {
	for len(seqs) > 0 && err == nil {
		some := seqs[:min(page, len(seqs))]
		seqs = seqs[len(some):]
		var k uint64
		k, err = do(ctx, c, some)
		n += k
	}
	return n, err
}

func numbers(args []string) ([]uint64, error) {
	var list []uint64
	for _, arg := range args {
		n, err := strconv.ParseUint(arg, 10, 64)
		if err != nil {
			return nil, withHint(usagef("%q is not the number of a dead letter", arg), `"sluice gateway dead list" lists them`)
		}
		list = append(list, n)
	}
	return list, nil
}

func letterHint(err error) error {
	if err == nil {
		return nil
	}
	return withHint(err, `"sluice gateway dead list" lists those that there are`)
}
