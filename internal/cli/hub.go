package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"sluice/internal/hub"
	"sluice/internal/hub/files"
	"sluice/internal/hub/host"
	"sluice/internal/hub/storage"
)

const hubLong = `Runs a local hub that Azure IoT Hub's clients take for one: devices, gateways and
service applications connect to it with the SDKs that they have.

The first start makes everything in the data directory: keys, an authority that
signs the hub's certificate, and the databases. Devices and gateways must trust
root.pem from there. The connection strings of the hub's policies are printed, and
kept in connection-strings.json for the other commands of sluice on this machine.

The ports that devices and SDKs expect are 8883, 5671 and 443. A hub and a gateway on
one machine need an address each: on Linux 127.0.0.1, 127.0.0.2 and so on are
there without any set-up.`

const hubExamples = `  A hub for this machine alone:
    sluice hub

  A hub beside a gateway, on an address of its own:
    sluice hub --listen 127.0.0.2

  A hub for the factory network, that keeps a week of events:
    sluice hub --listen 0.0.0.0 --hostname hub.factory.local --retention 168h

  Without the privilege for port 443:
    sluice hub --https-port 8443

  With a place for files of devices, Microsoft's emulator:
    azurite-blob --cert cert.pem --key key.pem &
    sluice hub --storage 'UseDevelopmentStorage=true;DevelopmentStorageProxyUri=https://127.0.0.1' --storage-ca root.pem`

type hubFlags struct {
	cfg       host.Config
	log       logFlags
	json      bool
	retention time.Duration
	notify    []string
	enrich    []string
}

// ownEvents are the events of the hub itself, by what they are called on the
// command line.
var ownEvents = map[string]storage.Source{
	"twin": storage.TwinChange, "lifecycle": storage.Lifecycle, "connection": storage.ConnectionState,
}

func hubCommand() *cobra.Command {
	f := &hubFlags{}
	cmd := &cobra.Command{
		Use:     "hub",
		Short:   "Run a local hub that the Azure IoT SDKs work with",
		Long:    hubLong,
		Example: hubExamples,
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runHub(cmd, f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.cfg.Dir, "data", "sluice-hub", "`directory` in which everything is kept")
	flags.StringVar(&f.cfg.Address, "listen", "127.0.0.1", "`address` to listen on; 0.0.0.0 for all of the machine")
	flags.StringVar(&f.cfg.HostName, "hostname", "", "`name` of the hub, in connection strings and its certificate (default: the address)")
	flags.StringSliceVar(&f.cfg.Names, "name", nil, "further `name` or address in the certificate; may be repeated")
	flags.IntVar(&f.cfg.MQTTPort, "mqtt-port", host.DefaultMQTTPort, "`port` for devices that speak MQTT; 0 for any that is free")
	flags.IntVar(&f.cfg.AMQPPort, "amqp-port", host.DefaultAMQPPort, "`port` for devices that speak AMQP; 0 for any that is free")
	flags.IntVar(&f.cfg.HTTPSPort, "https-port", host.DefaultHTTPSPort, "`port` of the service API; 0 for any that is free")
	flags.StringSliceVar(&f.cfg.ConsumerGroups, "consumer-group", nil, "further consumer `group` of the Event Hubs-compatible endpoint; may be repeated")
	flags.StringSliceVar(&f.notify, "own-events", nil, "store events of the hub itself too: twin, lifecycle and `connection`, or some of them")
	flags.StringVar(&f.cfg.Throttle, "throttle", "", "throttle as an IoT Hub of this `size`, a tier and its units, such as S1x1")
	flags.StringArrayVar(&f.enrich, "enrich", nil, "add the property `KEY=VALUE` to each event; VALUE may be $iothubname or $twin.tags.site and the like; up to 10 times")
	flags.StringVar(&f.cfg.Storage.Account, "storage", "", "`connection string` of the storage account for files of devices; UseDevelopmentStorage=true is Azurite on this machine (default: $SLUICE_STORAGE_CONNECTION_STRING)")
	flags.StringVar(&f.cfg.Storage.Container, "storage-container", files.DefaultContainer, "`container` for them, made if need be")
	flags.StringVar(&f.cfg.Storage.CA, "storage-ca", "", "`file` with the authorities that sign the storage's certificate, for Azurite over HTTPS")
	flags.DurationVar(&f.cfg.Storage.TTL, "storage-ttl", files.DefaultTTL, "`time` that a device has to upload a file, 1m to 24h")
	flags.StringVar(&f.cfg.Cert, "cert", "", "`file` with the hub's certificate chain, instead of one made by the hub")
	flags.StringVar(&f.cfg.Key, "key", "", "`file` with its private key")
	flags.StringVar(&f.cfg.DeviceCA, "device-ca", "", "`file` with the authorities that sign device certificates")
	flags.StringVar(&f.cfg.Metrics, "metrics", "", "`address` (HOST:PORT) for Prometheus, at /metrics; none if left out")
	flags.IntVar(&f.cfg.Partitions, "partitions", 0, "number of partitions of a new event log (default 4)")
	flags.DurationVar(&f.retention, "retention", host.DefaultRetention, "`time` that events are kept; 0 for ever")
	flags.Int64Var(&f.cfg.MaxBytes, "max-bytes", 0, "size that the event log may grow to, in `bytes`; 0 for no limit")
	flags.BoolVar(&f.json, "json", false, "print where the hub is as one line of JSON")
	f.log.add(flags)
	return cmd
}

func runHub(cmd *cobra.Command, f *hubFlags) error {
	log, err := f.log.logger(cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	f.cfg.Log = log
	if f.cfg.Storage.Account == "" {
		f.cfg.Storage.Account = os.Getenv("SLUICE_STORAGE_CONNECTION_STRING")
	}
	for _, name := range f.notify {
		source, ok := ownEvents[name]
		if !ok {
			return usagef("--own-events: %q is not one of twin, lifecycle and connection", name)
		}
		f.cfg.Notify = append(f.cfg.Notify, source)
	}
	for _, text := range f.enrich {
		e, err := hub.ParseEnrichment(text)
		if err != nil {
			return usagef("--enrich: %v", err)
		}
		f.cfg.Enrichments = append(f.cfg.Enrichments, e)
	}
	if f.cfg.Retention = f.retention; f.retention == 0 {
		f.cfg.Retention = -1
	}
	// In a Config a zero port is the usual one; on a command line it is any.
	for _, port := range []*int{&f.cfg.MQTTPort, &f.cfg.AMQPPort, &f.cfg.HTTPSPort} {
		if *port == 0 {
			*port = -1
		}
	}
	h, err := host.Open(f.cfg)
	if err != nil {
		return err
	}
	if err := announceHub(cmd.OutOrStdout(), h, f); err != nil {
		return err
	}
	if err := tendingMemory(cmd.Context(), h.Run); err != nil {
		return err
	}
	log.Info("the hub has stopped; everything it acknowledged is on disk")
	return nil
}

// announceHub says that the hub is ready, and how to go on.
func announceHub(out io.Writer, h *host.Host, f *hubFlags) error {
	if f.json {
		return json.NewEncoder(out).Encode(map[string]any{
			"hostName": h.HostName(), "mqtt": h.MQTTAddr().String(), "amqp": h.AMQPAddr().String(), "https": h.HTTPSAddr().String(),
			"data": f.cfg.Dir, "connectionString": h.ConnectionString(storage.OwnerPolicy), "eventsConnectionString": h.EventsString(),
		})
	}
	fmt.Fprintf(out, "The hub %s is ready.\n\n", h.HostName())
	fmt.Fprintf(out, "  devices (MQTT)     %s\n", h.MQTTAddr())
	fmt.Fprintf(out, "  devices (AMQP)     %s\n", h.AMQPAddr())
	fmt.Fprintf(out, "  service API        https://%s\n", h.HTTPSAddr())
	fmt.Fprintf(out, "  kept in            %s\n", f.cfg.Dir)
	if h.RootPEM() != nil {
		fmt.Fprintf(out, "  devices trust      %s\n", filepath.Join(f.cfg.Dir, "root.pem"))
	}
	fmt.Fprintf(out, "\n  connection string of a service application (iothubowner; the others are in %s):\n  %s\n",
		filepath.Join(f.cfg.Dir, host.ConnectionsFile), h.ConnectionString(storage.OwnerPolicy))
	fmt.Fprintf(out, "\n  connection string of its Event Hubs-compatible endpoint:\n  %s\n", h.EventsString())
	next := "sluice device create my-device"
	if f.cfg.Dir != "sluice-hub" {
		next += " --hub-data " + f.cfg.Dir
	}
	fmt.Fprintf(out, "\nNext, in another terminal:  %s\nCtrl-C stops the hub.\n", next)
	return nil
}
