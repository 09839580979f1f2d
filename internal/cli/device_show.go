package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"sluice/internal/service"
	"sluice/iot"
)

func deviceShowCommand(f *deviceFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "show ID",
		Short: "Show a device or module",
		Long: `Shows what the hub knows of a device, with its modules, or of a module. Keys are
shown with --json, and by "sluice device connection-string".`,
		Args: oneID,
		RunE: func(cmd *cobra.Command, args []string) error { return runShow(cmd, f, args[0]) },
	}
}

func runShow(cmd *cobra.Command, f *deviceFlags, arg string) error {
	id, err := parseID(arg)
	if err != nil {
		return err
	}
	c, err := f.client()
	if err != nil {
		return err
	}
	defer c.Close()
	t := table{out: cmd.OutOrStdout()}
	var shown any
	if id.IsModule() {
		shown, err = showModule(cmd.Context(), c, &t, id)
	} else {
		shown, err = showDevice(cmd.Context(), c, &t, id)
	}
	switch {
	case err != nil:
		return refusedHint(err, id)
	case f.json:
		return printJSON(cmd.OutOrStdout(), shown)
	}
	return t.print()
}

func showModule(ctx context.Context, c *service.Client, t *table, id iot.Identity) (service.Module, error) {
	m, err := c.Module(ctx, id)
	if err != nil {
		return m, err
	}
	t.header = []string{"MODULE", id.String()}
	t.add("connection", m.ConnectionState)
	t.add("connection since", when(m.ConnectionStateUpdatedTime.Time))
	t.add("last activity", when(m.LastActivityTime.Time))
	t.add("proof", authOf(m.Authentication))
	t.add("managed by", string(m.ManagedBy))
	t.add("generation", m.GenerationID)
	t.add("etag", m.ETag)
	return m, nil
}

func showDevice(ctx context.Context, c *service.Client, t *table, id iot.Identity) (service.Device, error) {
	d, err := c.Device(ctx, id.Device)
	if err != nil {
		return d, err
	}
	modules, err := c.Modules(ctx, id.Device)
	if err != nil {
		return d, err
	}
	names := make([]string, len(modules))
	for i := range modules {
		names[i] = modules[i].ModuleID
	}
	t.header = []string{"DEVICE", id.Device}
	t.add("kind", kindOf(&d))
	t.add("status", strings.TrimSpace(d.Status+" "+string(d.StatusReason)))
	t.add("connection", d.ConnectionState)
	t.add("connection since", when(d.ConnectionStateUpdatedTime.Time))
	t.add("last activity", when(d.LastActivityTime.Time))
	t.add("proof", authOf(d.Authentication))
	if d.Authentication != nil && d.Authentication.X509Thumbprint != nil && d.Authentication.Type == iot.AuthSelfSigned {
		t.add("thumbprint", string(d.Authentication.X509Thumbprint.PrimaryThumbprint))
	}
	t.add("parent", edgeOf(d.Parent()))
	t.add("scope", d.DeviceScope)
	t.add("modules", strings.Join(names, ", "))
	t.add("generation", d.GenerationID)
	t.add("etag", d.ETag)
	return d, nil
}
