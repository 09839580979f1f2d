package cli

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/url"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sluice/internal/bench"
)

func benchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure a gateway, a hub, any MQTT or AMQP broker, or a disk",
	}
	cmd.AddCommand(benchMQTTCommand(), benchAMQPCommand(), benchIdleCommand(), benchSpoolCommand())
	return cmd
}

const benchTargetHelp = `Devices of a hub or a gateway log in with a connection string; for other brokers
there are templates for client id, user name, password and topic. In all of them
{n} stands for the number of the client, from 0.`

// benchTarget are the flags that say what is measured over the network.
type benchTarget struct {
	url, ca, serverName string
	templates           bench.Templates
	passwordFile        string
	amqp                bool // or else MQTT
}

// scheme is that of URLs with TLS, less the s of it that of those without.
func (t *benchTarget) scheme() string {
	if t.amqp {
		return "amqps"
	}
	return "mqtts"
}

// ports are those of URLs without one.
var benchPorts = map[string]string{"mqtts": "8883", "mqtt": "1883", "amqps": "5671", "amqp": "5672"}

func (t *benchTarget) add(flags *pflag.FlagSet) {
	secure := t.scheme()
	flags.StringVar(&t.url, "url", secure+"://127.0.0.1:"+benchPorts[secure],
		"`URL` of the server: "+secure+"://HOST[:PORT], or "+secure[:4]+":// without TLS")
	flags.StringVar(&t.ca, "ca", "", "`file` with the root certificate to trust (default: SLUICE_CA, or the system's)")
	flags.StringVar(&t.serverName, "server-name", "", "`name` that the server's certificate must have (default: the host)")
	flags.StringVar(&t.templates.ConnectionString, "connection-string", os.Getenv("SLUICE_BENCH_CONNECTION_STRING"),
		"connection string of the devices, with {n}; also from SLUICE_BENCH_CONNECTION_STRING")
	flags.Lookup("connection-string").DefValue = "" // it holds a key
	flags.StringVar(&t.templates.ClientID, "id", "", "`template` of the client ids (default sluice-bench-{n})")
	flags.StringVar(&t.templates.Username, "user", "", "`template` of the user names")
	flags.StringVar(&t.passwordFile, "password-file", "", "`file` with the template of the passwords")
	flags.StringVar(&t.templates.Topic, "topic", "", "`template` of the topics, or of the addresses of links (default sluice-bench/{n})")
}

// target is what the flags say.
func (t *benchTarget) target() (bench.Target, error) {
	var out bench.Target
	u, err := url.Parse(t.url)
	secure := t.scheme()
	plain := secure[:4]
	if err != nil || u.Hostname() == "" || u.Path != "" {
		return out, usagef("--url %q: must be %s://HOST[:PORT] or %s://HOST[:PORT]", t.url, secure, plain)
	}
	if u.Scheme != secure && u.Scheme != plain {
		return out, usagef("--url %q: must begin with %s:// or %s://", t.url, secure, plain)
	}
	port := u.Port()
	if port == "" {
		port = benchPorts[u.Scheme]
	}
	out.AMQP = t.amqp
	out.Address = net.JoinHostPort(u.Hostname(), port)
	if u.Scheme == secure {
		if out.TLS, err = t.tls(u.Hostname()); err != nil {
			return out, err
		}
	}
	templates := t.templates
	templates.AMQP = t.amqp
	if t.passwordFile != "" {
		if templates.Password, err = readSecret(t.passwordFile); err != nil {
			return out, err
		}
	}
	if _, err := templates.Login(0); err != nil {
		return out, usagef("%v", err)
	}
	out.Login = templates.Login
	return out, nil
}

// readSecret reads a file's first line.
func readSecret(name string) (string, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return "", err
	}
	for i, c := range b {
		if c == '\r' || c == '\n' {
			b = b[:i]
			break
		}
	}
	return string(b), nil
}

func (t *benchTarget) tls(host string) (*tls.Config, error) {
	config := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	if t.serverName != "" {
		config.ServerName = t.serverName
	}
	ca := t.ca
	if ca == "" {
		ca = os.Getenv("SLUICE_CA")
	}
	if ca == "" {
		return config, nil
	}
	pem, err := os.ReadFile(ca)
	if err != nil {
		return nil, err
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", ca)
	}
	return config, nil
}
