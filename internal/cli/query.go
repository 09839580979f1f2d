package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"sluice/iot"
)

const queryLong = `Asks a hub, Azure IoT Hub or a local one, about twins, modules and jobs in the IoT Hub
query language. Each result is printed as one line of JSON, as soon as it comes; with
--json all of them are one list.

Collections are devices, devices.modules and devices.jobs. There is no ORDER BY and no
JOIN.

` + reachHelp

const queryExamples = `  sluice query "SELECT * FROM devices WHERE tags.site = 'hall 4'"
  sluice query "SELECT deviceId, properties.reported.firmware AS v FROM devices
                WHERE connectionState = 'Connected' AND is_defined(properties.reported.firmware)"
  sluice query "SELECT tags.site AS site, COUNT() AS devices FROM devices GROUP BY tags.site"
  sluice query "SELECT * FROM devices.modules WHERE deviceId = 'site-1'" --top 10`

type queryFlags struct {
	reach
	top  int
	json bool
}

func queryCommand() *cobra.Command {
	f := &queryFlags{}
	cmd := &cobra.Command{
		Use:     "query QUERY",
		Short:   "Ask a hub about twins, modules and jobs",
		Long:    queryLong,
		Example: queryExamples,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				return nil
			}
			return withHint(usagef("%s takes one query, not %d words", cmd.CommandPath(), len(args)),
				"put double quotes around it: sluice query \"SELECT * FROM devices\"")
		},
		RunE: func(cmd *cobra.Command, args []string) error { return runQuery(cmd, f, args[0]) },
	}
	flags := cmd.Flags()
	f.add(flags)
	flags.IntVar(&f.top, "top", 0, "at most this many results; 0 is all")
	flags.BoolVar(&f.json, "json", false, "print one JSON list")
	return cmd
}

func runQuery(cmd *cobra.Command, f *queryFlags, text string) error {
	if f.top < 0 {
		return usagef("--top: %d is not a number of results", f.top)
	}
	c, err := f.client()
	if err != nil {
		return err
	}
	defer c.Close()
	out := cmd.OutOrStdout()
	list := []json.RawMessage{}
	show := func(r json.RawMessage) error { return printLine(out, r) }
	if f.json {
		show = func(r json.RawMessage) error {
			list = append(list, r)
			return nil
		}
	}
	if err := c.Query(cmd.Context(), strings.TrimSpace(text), f.top, show); err != nil {
		return serviceHint(err, iot.Identity{})
	}
	if f.json {
		return printJSON(out, list)
	}
	return nil
}

// printLine writes JSON on one line.
func printLine(out io.Writer, text json.RawMessage) error {
	var line bytes.Buffer
	if err := json.Compact(&line, text); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "%s\n", line.Bytes())
	return err
}
