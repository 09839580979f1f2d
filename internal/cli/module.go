package cli

import (
	"log/slog"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sluice/internal/moduleclient"
	"sluice/internal/upstream"
	"sluice/iot"
)

const moduleLong = `Runs a module of a gateway. The gateway starts it, with these commands as its
program, from its deployment; it runs on a real IoT Edge as well. Who it is it
learns from its environment (IOTEDGE_MODULEID and others), or for development
from --connection-string.`

const moduleExamples = `  In a deployment, as the process of a module:
    "settings": {"image": "sluice", "createOptions": {"Cmd": ["module", "identity-translation"]}}

  By hand, against a gateway on this machine:
    sluice module identity-translation --data ./leaves --ca root.pem \
      --connection-string "$(sluice device connection-string site-1/itm --gateway localhost)"`

func moduleCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "module",
		Short:   "Run a module of a gateway: identity translation, and what feeds it",
		Long:    moduleLong,
		Example: moduleExamples,
	}
	cmd.AddCommand(identityTranslationCommand(), mqttBridgeCommand(), modbusCommand())
	return cmd
}

// moduleFlags say which module a command runs as, and how it reaches its gateway.
type moduleFlags struct {
	connection, ca, address string
	protocol                string
	amqpPort, mqttPort      int
	log                     logFlags
}

func (f *moduleFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.connection, "connection-string", "", "who the module is: a module's connection `string`, with GatewayHostName (default: its environment)")
	flags.StringVar(&f.ca, "ca", "", "`file` of what to trust, in PEM (default: what the gateway says)")
	flags.StringVar(&f.address, "address", "", "`address` of the gateway, if its name does not resolve here")
	flags.StringVar(&f.protocol, "protocol", string(upstream.AMQP), "to the gateway: amqp, amqp-ws, mqtt or mqtt-ws; with amqp, leaves share connections")
	flags.IntVar(&f.amqpPort, "amqp-port", 0, "the gateway's `port` for AMQP (default 5671)")
	flags.IntVar(&f.mqttPort, "mqtt-port", 0, "the gateway's `port` for MQTT (default 8883)")
	f.log.add(flags)
}

// environment is who the module is.
func (f *moduleFlags) environment() (env moduleclient.Environment, err error) {
	if f.connection != "" {
		env, err = moduleclient.FromConnectionString(f.connection)
	} else {
		env, err = moduleclient.FromEnvironment()
	}
	if err != nil {
		return env, withExit(err, ExitUsage)
	}
	if f.ca != "" {
		env.Roots = f.ca
	}
	return env, nil
}

// options say how the gateway is reached.
func (f *moduleFlags) options() (opt moduleclient.Options, err error) {
	opt = moduleclient.Options{Address: f.address, AMQPPort: f.amqpPort, MQTTPort: f.mqttPort}
	if opt.Protocol, err = upstream.ParseProtocol(f.protocol); err != nil {
		return opt, usagef("--protocol %s: %v", f.protocol, err)
	}
	return opt, nil
}

// A gatewayModule is a module: its way to its gateway, and its log.
type gatewayModule struct {
	*moduleclient.Client
	id  iot.Identity
	log *slog.Logger
}

// open connects to the gateway as the module that the flags, or its environment, name.
func (f *moduleFlags) open(cmd *cobra.Command) (m gatewayModule, err error) {
	if m.log, err = f.log.logger(cmd.ErrOrStderr()); err != nil {
		return m, err
	}
	env, err := f.environment()
	if err != nil {
		return m, err
	}
	opt, err := f.options()
	if err != nil {
		return m, err
	}
	opt.Log, opt.Product = m.log, "sluice-"+cmd.Name()
	m.id = env.Identity
	m.Client, err = moduleclient.Open(cmd.Context(), env, opt)
	return m, err
}
