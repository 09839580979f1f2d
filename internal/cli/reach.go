package cli

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"github.com/spf13/pflag"

	"sluice/internal/hub/host"
	"sluice/internal/hub/storage"
	"sluice/internal/sas"
	"sluice/internal/service"
)

// Where a hub's connection string may stand, besides --hub: ours first, then the
// one that Azure's own samples read.
var hubVariables = []string{"SLUICE_HUB_CONNECTION_STRING", "IOTHUB_CONNECTION_STRING"}

const reachHelp = `The hub is, in this order: the connection string given with --hub; the local hub whose
directory is given with --hub-data; the connection string in SLUICE_HUB_CONNECTION_STRING
or IOTHUB_CONNECTION_STRING; the local hub in ./sluice-hub.`

const defaultHubData = "sluice-hub"

// reach are the flags with which a command finds a hub: Azure IoT Hub or a local
// one.
type reach struct {
	hub, data, ca, address string
}

func (r *reach) add(flags *pflag.FlagSet) {
	flags.StringVar(&r.hub, "hub", "", "`connection-string` of a policy of the hub")
	flags.StringVar(&r.data, "hub-data", "", "`directory` of a local hub on this machine (default ./sluice-hub)")
	flags.StringVar(&r.ca, "ca", "", "`file` with the root certificate to trust (default: a local hub's own, SLUICE_CA, or the system's)")
	flags.StringVar(&r.address, "address", "", "`host[:port]` to connect to instead of the hub's name")
}

// A target is a hub that was found.
type target struct {
	connection sas.ConnectionString
	options    service.Options
	amqpPort   int // of the hub's AMQP; 0 for the usual one
}

func (r *reach) client() (*service.Client, error) {
	t, err := r.target()
	if err != nil {
		return nil, err
	}
	c, err := service.New(t.connection, t.options)
	if err != nil {
		return nil, withHint(withExit(err, ExitUsage), "it looks like HostName=…;SharedAccessKeyName=…;SharedAccessKey=…")
	}
	return c, nil
}

func (r *reach) target() (target, error) {
	t, err := r.find()
	if err != nil {
		return t, err
	}
	if err := r.trust(&t); err != nil {
		return t, withExit(err, ExitUsage)
	}
	if r.address == "" {
		return t, nil
	}
	t.options.Address = r.address
	if host, port, err := net.SplitHostPort(r.address); err == nil {
		err = t.setAddress(host, port)
		t.amqpPort = t.options.Port
		return t, err
	}
	return t, nil
}

// trust reads the root certificate that was named, if one was.
func (r *reach) trust(t *target) (err error) {
	variable := os.Getenv("SLUICE_CA")
	switch {
	case r.ca != "":
		if t.options.Roots, err = readRoots(r.ca); err != nil {
			return fmt.Errorf("--ca: %w", err)
		}
	case variable != "" && t.options.Roots == nil:
		if t.options.Roots, err = readRoots(variable); err != nil {
			return fmt.Errorf("SLUICE_CA: %w", err)
		}
	}
	return nil
}

func (t *target) setAddress(host, port string) error {
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return usagef("--address: %q is not a port", port)
	}
	t.options.Address, t.options.Port = host, int(n)
	return nil
}

// find finds the hub in the order of reachHelp.
func (r *reach) find() (target, error) {
	if r.hub != "" {
		return parseTarget("--hub", r.hub)
	}
	if r.data != "" {
		return localTarget(r.data)
	}
	for _, name := range hubVariables {
		if text := os.Getenv(name); text != "" {
			return parseTarget(name, text)
		}
	}
	return localTarget(defaultHubData)
}

func parseTarget(from, text string) (target, error) {
	cs, err := sas.ParseConnectionString(text)
	if err != nil {
		return target{}, withExit(fmt.Errorf("%s: %w", from, err), ExitUsage)
	}
	return target{connection: cs}, nil
}

// localTarget is the hub that runs, or ran, in a directory.
func localTarget(dir string) (target, error) {
	file := filepath.Join(dir, host.ConnectionsFile)
	text, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist) && dir == defaultHubData:
		return target{}, withHint(usagef("no hub was given, and there is none in ./%s", dir),
			"start one with \"sluice hub\", or give a connection string with --hub or in %s", hubVariables[0])
	case errors.Is(err, fs.ErrNotExist):
		return target{}, withHint(usagef("there is no hub in %s: it has no %s", dir, host.ConnectionsFile),
			"--hub-data is the directory that \"sluice hub\" was given with --data")
	case err != nil:
		return target{}, err
	}
	var c host.Connections
	if err := json.Unmarshal(text, &c); err != nil {
		return target{}, fmt.Errorf("%s: %w", file, err)
	}
	t, err := parseTarget(file, c.Policies[storage.OwnerPolicy])
	if err != nil {
		return t, err
	}
	if c.Root != "" {
		if t.options.Roots, err = readRoots(filepath.Join(dir, c.Root)); err != nil {
			return t, err
		}
	}
	address, port, err := net.SplitHostPort(c.Address)
	if err != nil {
		return t, fmt.Errorf("%s: address %q: %w", file, c.Address, err)
	}
	if _, amqp, err := net.SplitHostPort(c.AMQP); err == nil {
		if n, err := strconv.ParseUint(amqp, 10, 16); err == nil {
			t.amqpPort = int(n)
		}
	}
	return t, t.setAddress(address, port)
}

func readRoots(file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s has no certificate in PEM in it", file)
	}
	return pool, nil
}
