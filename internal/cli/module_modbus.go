package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"sluice/internal/modbus/poller"
)

const modbusLong = `Run the protocol translator for Modbus TCP: units become devices at the hub, whose
registers are read as a description says, and sent as telemetry in JSON. It needs the
identity translation module.

Each unit answers two direct methods: read, with all its values, and write, with
{"NAME": VALUE, ...} for registers that the description makes writable, within their
bounds. A unit that does not answer is asked less and less often, up to once a minute,
and its reported properties say so. While the gateway takes no messages nothing is read.

The deployment needs these routes, here for a module ptm-modbus and an identity module
itm:

  FROM /messages/modules/ptm-modbus/outputs/* INTO BrokeredEndpoint("/modules/itm/inputs/itminput")
  FROM /messages/modules/itm/outputs/itmdown WHERE moduleId = 'ptm-modbus' INTO BrokeredEndpoint("/modules/ptm-modbus/inputs/leaf")`

const modbusExamples = `  Begin with a commented description, and see whether it can be:
    sluice module modbus --example > field.toml
    sluice module modbus --config field.toml --check

  As a module of a deployment:
    "settings": {"image": "sluice", "createOptions": {"Cmd": ["module", "modbus", "--config", "/etc/sluice/field.toml"]}}`

type modbusFlags struct {
	moduleFlags
	config         string
	check, example bool
}

func modbusCommand() *cobra.Command {
	f := &modbusFlags{}
	cmd := &cobra.Command{
		Use:     "modbus",
		Short:   "Translate Modbus TCP: its units become leaves",
		Long:    modbusLong,
		Example: modbusExamples,
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runModbus(cmd, f) },
	}
	flags := cmd.Flags()
	f.add(flags)
	flags.StringVarP(&f.config, "config", "c", "modbus.toml", "`file` that describes the field, in TOML, or in JSON if its name ends in .json")
	flags.BoolVar(&f.check, "check", false, "check the description, and end")
	flags.BoolVar(&f.example, "example", false, "print a commented description, and end")
	return cmd
}

func runModbus(cmd *cobra.Command, f *modbusFlags) error {
	if f.example {
		_, err := io.WriteString(cmd.OutOrStdout(), poller.Example)
		return err
	}
	cfg, err := poller.Load(f.config)
	if err != nil {
		return err
	}
	if f.check {
		_, err := fmt.Fprintln(cmd.OutOrStdout(), "The description is good.")
		return err
	}
	log, err := f.log.logger(cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	opt, end, err := f.translator(cmd, log)
	if err != nil {
		return err
	}
	defer end()
	p, err := poller.New(cfg, poller.Options{Translator: opt, Log: log})
	if err != nil {
		return err
	}
	log.Info("ready", "devices", len(cfg.Devices))
	return p.Run(cmd.Context())
}
