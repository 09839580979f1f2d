package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"sluice/internal/service"
	"sluice/iot"
)

// maxChildren bounds how many devices are looked through for the children of one.
const maxChildren = 1_000_000

func deviceListCommand(f *deviceFlags) *cobra.Command {
	limit, edge := 0, false
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the devices of the hub",
		Long: `Lists devices in the order of their ids: id, kind, status, connection, proof, and the
edge device above. In a pipe the columns are separated by tabs and have no header.

Azure IoT Hub lists no more than its first 1000 devices.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runList(cmd, f, limit, edge) },
	}
	cmd.Flags().IntVar(&limit, "limit", 10_000, "list at most this `number` of devices")
	cmd.Flags().BoolVar(&edge, "edge", false, "edge devices only")
	return cmd
}

func runList(cmd *cobra.Command, f *deviceFlags, limit int, edge bool) error {
	if limit < 1 {
		return usagef("--limit %d: it must be at least 1", limit)
	}
	return printDevices(cmd, f, limit, func(d *service.Device) bool { return !edge || d.Edge() })
}

func deviceChildrenCommand(f *deviceFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "children EDGE",
		Short: "List the devices directly below an edge device",
		Long: `Lists the devices that an edge device may serve as their gateway: those whose parent
it is. The columns are those of "sluice device list".`,
		Args: oneID,
		RunE: func(cmd *cobra.Command, args []string) error { return runChildren(cmd, f, args[0]) },
	}
}

func runChildren(cmd *cobra.Command, f *deviceFlags, arg string) error {
	id, err := parseDevice(arg)
	if err != nil {
		return err
	}
	scope, err := scopeOf(cmd.Context(), f, id)
	if err != nil {
		return err
	}
	return printDevices(cmd, f, maxChildren, func(d *service.Device) bool { return d.Parent() == scope })
}

func scopeOf(ctx context.Context, f *deviceFlags, id string) (string, error) {
	c, err := f.client()
	if err != nil {
		return "", err
	}
	defer c.Close()
	d, err := c.Device(ctx, id)
	switch {
	case err != nil:
		return "", refusedHint(err, iot.DeviceIdentity(id))
	case !d.Edge():
		return "", withExit(fmt.Errorf("%s is not an edge device: nothing can be below it", id), ExitRefused)
	}
	return d.DeviceScope, nil
}

// printDevices prints the devices that keep keeps, of the first limit.
func printDevices(cmd *cobra.Command, f *deviceFlags, limit int, keep func(*service.Device) bool) error {
	c, err := f.client()
	if err != nil {
		return err
	}
	defer c.Close()
	all, more, err := c.Devices(cmd.Context(), limit)
	if err != nil {
		return refusedHint(err, iot.Identity{})
	}
	list := make([]service.Device, 0, len(all))
	for i := range all {
		if keep(&all[i]) {
			list = append(list, all[i])
		}
	}
	if more {
		fmt.Fprintf(cmd.ErrOrStderr(), "sluice: these are from the first %d devices; the hub may have more\n", len(all))
	}
	if f.json {
		return printJSON(cmd.OutOrStdout(), list)
	}
	t := table{out: cmd.OutOrStdout(), header: []string{"DEVICE", "KIND", "STATUS", "CONNECTION", "PROOF", "PARENT"}}
	for i := range list {
		d := &list[i]
		t.add(d.DeviceID, kindOf(d), d.Status, d.ConnectionState, authOf(d.Authentication), edgeOf(d.Parent()))
	}
	return t.print()
}
