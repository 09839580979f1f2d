package cli

import (
	"errors"
	"net"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"sluice/internal/mqttbridge"
	"sluice/translator"
)

const mqttBridgeLong = `Run the protocol translator for plain MQTT: each device that publishes to
device/ID/message appears in the hub as a device ID, with telemetry, a twin, methods
and commands of its own. It needs the identity translation module.

It carries an MQTT broker for such devices, on 127.0.0.1:1883, or is a client of
another's. A publication of QoS 1 is acknowledged after the gateway has the message.

  device/ID/message                    telemetry
  device/ID/twin/reported              a patch of reported properties
  device/ID/method/res/RID/STATUS      the answer to a method
to subscribe to:
  device/ID/command                    cloud-to-device messages
  device/ID/method/NAME/RID            direct methods
  device/ID/twin/desired               desired properties, all of them
  device/ID/state                      whether the hub knows the device

The topics and what becomes of payloads are in a configuration file, in TOML or JSON,
and may be set in the desired properties of the module's twin as well. The deployment
needs these routes, here for a module ptm-mqtt and an identity module itm:

  FROM /messages/modules/ptm-mqtt/outputs/* INTO BrokeredEndpoint("/modules/itm/inputs/itminput")
  FROM /messages/modules/itm/outputs/itmdown WHERE moduleId = 'ptm-mqtt' INTO BrokeredEndpoint("/modules/ptm-mqtt/inputs/leaf")`

const mqttBridgeExamples = `  As a module of a deployment, with a broker on every address:
    "settings": {"image": "sluice", "createOptions": {"Cmd": ["module", "mqtt-bridge", "--listen", "0.0.0.0:1883"]}}

  With mosquitto:
    sluice module mqtt-bridge --broker tcp://127.0.0.1:1883

  Begin with a commented configuration, and see whether it can be:
    sluice module mqtt-bridge --example > bridge.toml
    sluice module mqtt-bridge --config bridge.toml --check`

type mqttBridgeFlags struct {
	translatorFlags
	listen, broker string
}

func mqttBridgeCommand() *cobra.Command {
	f := &mqttBridgeFlags{translatorFlags: translatorFlags{what: "configuration", example: mqttbridge.Example}}
	cmd := &cobra.Command{
		Use:     "mqtt-bridge",
		Short:   "Translate plain MQTT: its devices become leaves",
		Long:    mqttBridgeLong,
		Example: mqttBridgeExamples,
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runMQTTBridge(cmd, f) },
	}
	flags := cmd.Flags()
	f.add(flags, "", "configuration `file`")
	flags.StringVar(&f.listen, "listen", "", "`address` of the broker that it carries (default "+mqttbridge.DefaultListen+")")
	flags.StringVar(&f.broker, "broker", "", "`URL` of another's broker instead: tcp://host:1883 or ssl://host:8883")
	return cmd
}

func runMQTTBridge(cmd *cobra.Command, f *mqttBridgeFlags) error {
	var cfg *mqttbridge.Config
	load := func(file string) (err error) {
		cfg, err = mqttbridge.Load(file, mqttbridge.Config{Listen: f.listen, Broker: f.broker})
		return err
	}
	return f.run(cmd, load, func(opt translator.Options) error {
		ready := func(net.Addr) { opt.Log.Info("ready") }
		b, err := mqttbridge.New(cfg, mqttbridge.Options{Translator: opt, Log: opt.Log, Listening: ready})
		if err != nil {
			return err
		}
		err = b.Run(cmd.Context())
		if errors.Is(err, syscall.EADDRINUSE) {
			return withHint(err, "another broker has the port: give this one another with --listen, or use that with --broker tcp://%s", strings.Replace(cfg.Listen, "0.0.0.0", "127.0.0.1", 1))
		}
		return err
	})
}
