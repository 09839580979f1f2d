package cli

import "github.com/spf13/cobra"

const benchMQTTLong = `Publishes at QoS 1 from many clients and measures the rate, and how long each
message waits for its acknowledgement.

Each client keeps --window messages unacknowledged, and sends the next as soon as
there is room, or with --rate at even intervals; then a message's time counts from
when it was due. What arrives in the warm-up is not counted.

` + benchTargetHelp + `

The exit status is 1 if a client lost its connection.`

const benchMQTTExamples = `  A gateway, as device bench-0 to bench-99, which share a key:
    sluice bench mqtt --url mqtts://gateway.local --ca root.pem --connection-string \
      'HostName=hub.local;DeviceId=bench-{n};SharedAccessKey=…'

  mosquitto:
    sluice bench mqtt --url mqtts://broker.local --ca ca.pem --topic 'load/{n}'

  How long one message takes when nothing else happens:
    sluice bench mqtt --clients 1 --window 1`

func benchMQTTCommand() *cobra.Command {
	f := &benchLoad{}
	cmd := &cobra.Command{
		Use:     "mqtt",
		Short:   "Publish from many clients at once",
		Long:    benchMQTTLong,
		Example: benchMQTTExamples,
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	f.add(cmd, 16)
	return cmd
}
