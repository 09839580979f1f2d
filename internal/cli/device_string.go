package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"sluice/internal/sas"
	"sluice/internal/service"
	"sluice/iot"
)

const connectionStringLong = `Prints the connection string that a device or module connects with. It holds a key:
keep it as you keep passwords.

With --gateway the device connects to that host instead of the hub. It must be the
name in the gateway's certificate, and the device must be below the gateway
("sluice device update ID --parent EDGE").`

func deviceConnectionStringCommand(f *deviceFlags) *cobra.Command {
	gateway, secondary := "", false
	cmd := &cobra.Command{
		Use:   "connection-string ID",
		Short: "Print what a device or module needs to connect",
		Long:  connectionStringLong,
		Example: `  sluice device connection-string pump-7
  sluice device connection-string pump-7 --gateway gateway.local`,
		Args: oneID,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runConnectionString(cmd, f, args[0], gateway, secondary)
		},
	}
	cmd.Flags().StringVar(&gateway, "gateway", "", "`host` of the gateway to connect to")
	cmd.Flags().BoolVar(&secondary, "secondary", false, "with the secondary key")
	return cmd
}

func runConnectionString(cmd *cobra.Command, f *deviceFlags, arg, gateway string, secondary bool) error {
	id, err := parseID(arg)
	if err != nil {
		return err
	}
	c, err := f.client()
	if err != nil {
		return err
	}
	defer c.Close()
	proof, err := proofOf(cmd.Context(), c, id)
	if err != nil {
		return refusedHint(err, id)
	}
	cs := sas.ConnectionString{HostName: c.HostName(), Identity: id, GatewayHostName: gateway}
	switch proof.Type {
	case iot.AuthSelfSigned, iot.AuthCA:
		cs.X509 = true
	default:
		if proof.SymmetricKey == nil || proof.SymmetricKey.PrimaryKey == "" {
			return withHint(withExit(fmt.Errorf("%s has no keys", noun(id)), ExitRefused),
				"\"sluice device update %s --new-keys\" gives it two", id)
		}
		cs.Key = proof.SymmetricKey.PrimaryKey
		if secondary {
			cs.Key = proof.SymmetricKey.SecondaryKey
		}
	}
	if f.json {
		return printJSON(cmd.OutOrStdout(), map[string]string{"connectionString": cs.Reveal()})
	}
	fmt.Fprintln(cmd.OutOrStdout(), cs.Reveal())
	return nil
}

func proofOf(ctx context.Context, c *service.Client, id iot.Identity) (service.Authentication, error) {
	var a *service.Authentication
	if id.IsModule() {
		m, err := c.Module(ctx, id)
		if err != nil {
			return service.Authentication{}, err
		}
		a = m.Authentication
	} else {
		d, err := c.Device(ctx, id.Device)
		if err != nil {
			return service.Authentication{}, err
		}
		a = d.Authentication
	}
	if a == nil {
		return service.Authentication{}, nil
	}
	return *a, nil
}
