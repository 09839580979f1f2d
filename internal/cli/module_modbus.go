package cli

import (
	"github.com/spf13/cobra"

	"sluice/internal/modbus/poller"
	"sluice/translator"
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

func modbusCommand() *cobra.Command {
	f := &translatorFlags{what: "description", example: poller.Example}
	cmd := &cobra.Command{
		Use:     "modbus",
		Short:   "Translate Modbus TCP: its units become leaves",
		Long:    modbusLong,
		Example: modbusExamples,
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runModbus(cmd, f) },
	}
	f.add(cmd.Flags(), "modbus.toml", "`file` that describes the field")
	return cmd
}

func runModbus(cmd *cobra.Command, f *translatorFlags) error {
	var cfg *poller.Config
	load := func(file string) (err error) {
		cfg, err = poller.Load(file)
		return err
	}
	return f.run(cmd, load, func(opt translator.Options) error {
		p, err := poller.New(cfg, poller.Options{Translator: opt, Log: opt.Log})
		if err != nil {
			return err
		}
		opt.Log.Info("ready", "devices", len(cfg.Devices))
		return p.Run(cmd.Context())
	})
}
