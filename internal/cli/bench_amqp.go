package cli

import "github.com/spf13/cobra"

const benchAMQPLong = `Sends durable messages over AMQP 1.0 from many connections and measures the rate,
and how long each message waits until the server settles it as accepted.

Each connection has one link and keeps --window messages unsettled on it, or as
many as the server gives credit for, and sends the next as soon as there is room;
or with --rate at even intervals, and then a message's time counts from when it
was due. What is settled in the warm-up is not counted.

Devices of a hub or a gateway log in with a connection string; for other brokers
there are templates for user name, password and --topic, the address of the link.
Without a user name the client is anonymous. In all of them {n} stands for the
number of the client, from 0.

The exit status is 1 if a client lost its connection, or a message was not accepted.`

const benchAMQPExamples = `  A gateway, as device bench-0 to bench-99, which share a key:
    sluice bench amqp --url amqps://gateway.local --ca root.pem --connection-string \
      'HostName=hub.local;DeviceId=bench-{n};SharedAccessKey=…'

  RabbitMQ with its plug-in rabbitmq_amqp1_0, into a queue that is there:
    sluice bench amqp --url amqps://broker.local --ca ca.pem --user guest \
      --password-file password --topic /amq/queue/load

  How long one message takes when nothing else happens:
    sluice bench amqp --url amqps://gateway.local --clients 1 --window 1`

func benchAMQPCommand() *cobra.Command {
	f := &benchLoad{benchTarget: benchTarget{amqp: true}}
	cmd := &cobra.Command{
		Use:     "amqp",
		Short:   "Send over AMQP 1.0 from many connections at once",
		Long:    benchAMQPLong,
		Example: benchAMQPExamples,
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	f.add(cmd, 100)
	return cmd
}
