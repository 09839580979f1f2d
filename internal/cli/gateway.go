package cli

import (
	"errors"
	"io/fs"
	"net"
	"path/filepath"

	"github.com/spf13/cobra"

	"sluice/internal/operate"
	"sluice/iot"
)

const gatewayLong = `Looks into the gateway that runs on this machine and operates it, whether its hub is
there or not. A module is written DEVICE/MODULE.

The gateway is found by its configuration, or by its data directory. Who may open the
socket there may do all of this: the user that the gateway runs as, and root. There is
none of it on Windows.`

const gatewayExamples = `  sluice gateway status
  sluice gateway clients --all
  sluice gateway twin pump-7
  sluice gateway method pump-7 setSpeed '{"rpm": 900}'
  sluice gateway command pump-7 'open the valve'
  sluice gateway queues
  sluice gateway dead list --data /var/lib/sluice`

// operatorFlags are those of every gateway command.
type operatorFlags struct {
	at   gatewayFlags
	json bool
}

func gatewayCommand() *cobra.Command {
	f := &operatorFlags{}
	cmd := &cobra.Command{
		Use:     "gateway",
		Short:   "Look into the gateway on this machine, and operate it",
		Long:    gatewayLong,
		Example: gatewayExamples,
	}
	f.at.add(cmd.PersistentFlags())
	cmd.PersistentFlags().BoolVar(&f.json, "json", false, "print JSON")
	cmd.AddCommand(
		gatewayStatusCommand(f),
		gatewayClientsCommand(f),
		gatewayTwinCommand(f),
		gatewayOverrideCommand(f),
		gatewayMethodCommand(f),
		gatewayCommandCommand(f),
		gatewayQueuesCommand(f),
		gatewayPurgeCommand(f),
		gatewayDeadCommand(f),
	)
	return cmd
}

// ask does something with the client of the gateway, and says of its errors what can
// be done about them.
func (f *operatorFlags) ask(do func(*operate.Client) error) error {
	dir, err := f.dataDir()
	if err != nil {
		return err
	}
	c := operate.Dial(dir)
	defer c.Close()
	return operatorHint(do(c), dir)
}

func (f *operatorFlags) dataDir() (string, error) {
	if f.at.data != "" {
		return f.at.data, nil
	}
	cfg, err := (&edgeFlags{config: f.at.config}).load()
	if err != nil {
		return "", withHint(err, "name the gateway's data directory with --data DIR, or its configuration with --config FILE")
	}
	return filepath.Abs(cfg.DataDir)
}

func operatorHint(err error, dir string) error {
	var dial *net.OpError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrPermission):
		return withHint(err, "only the user that the gateway runs as, and root, may do this")
	case errors.As(err, &dial) && dial.Op == "dial":
		return withHint(err, "no gateway runs with the data directory %s; --data names another", dir)
	case iot.KindOf(err) == iot.NotFound && hintOf(err) == "":
		return withHint(err, `"sluice gateway clients --all" lists whom the gateway knows; methods and commands need a device that is connected and takes them`)
	}
	return err
}
