package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sluice/internal/pki"
)

const certsVerifyLong = `Say whether a chain holds: for a server that clients reach by a host name, or for
a device with an id. If not, say everything that is wrong with it and what to do,
and end with status 1.

The chain is that of a file, leaf first; or the one in the directory for the host
or device; or with --connect what a server presents.`

const certsVerifyExamples = `  The gateway's certificate in ./certs, as a device sees it:
    sluice certs verify --host gateway.local

  A server that runs:
    sluice certs verify --connect gateway.local:8883 --ca root.pem

  By the address instead of the name:
    sluice certs verify --connect 10.0.0.7:8883 --host gateway.local --ca root.pem

  A device's, with its key:
    sluice certs verify certs/device-pump-7.pem --device pump-7 --key certs/device-pump-7.key

  Whether it will still hold at the end of next year:
    sluice certs verify --host gateway.local --at 2027-12-31`

type certsVerify struct {
	certsPlace
	host, device, ca, key, connect, at string
	json                               bool

	byThumbprint bool // what is judged is a device that no authority signed
}

func certsVerifyCommand() *cobra.Command {
	v := &certsVerify{}
	cmd := &cobra.Command{
		Use: "verify [FILE]", Short: "Say whether a chain holds, and if not, why", Long: certsVerifyLong, Example: certsVerifyExamples,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return v.run(cmd, strings.Join(args, "")) },
	}
	flags := cmd.Flags()
	v.certsPlace.add(flags)
	flags.StringVar(&v.host, "host", "", "`name` or IP address that clients connect to")
	flags.StringVar(&v.device, "device", "", "device `id` that the certificate must be for")
	flags.StringVar(&v.ca, "ca", "", "roots to trust, PEM `file` (default the root in the directory)")
	flags.StringVar(&v.key, "key", "", "private key of the certificate, PEM `file` (default the one beside it, if any)")
	flags.StringVar(&v.connect, "connect", "", "`host:port` of a TLS server whose chain to judge")
	flags.StringVar(&v.at, "at", "", "`date`, like 2027-12-31, to judge for instead of now")
	flags.BoolVar(&v.json, "json", false, "print JSON")
	return cmd
}

func (v *certsVerify) run(cmd *cobra.Command, file string) error {
	layout, err := v.check(file)
	if err != nil {
		return err
	}
	what, chain, err := v.chain(cmd.Context(), layout, file)
	if err != nil {
		return err
	}
	q, err := v.question(layout, chain)
	if err != nil {
		return err
	}
	problems := pki.Verify(chain, q)
	if err := v.print(cmd.OutOrStdout(), what, chain, problems); err != nil {
		return err
	}
	if len(problems) > 0 {
		return withExit(fmt.Errorf("%s does not hold%s", what, v.purpose()), ExitFailed)
	}
	return nil
}

// check refuses flags that contradict each other.
func (v *certsVerify) check(file string) (certLayout, error) {
	switch {
	case v.host != "" && v.device != "":
		return certLayout{}, usagef("--host is for servers and --device for devices; give one of them")
	case v.connect != "" && (file != "" || v.device != "" || v.key != ""):
		return certLayout{}, usagef("--connect judges what a server presents, without FILE, --device and --key")
	case file == "" && v.connect == "" && v.host == "" && v.device == "":
		return certLayout{}, withHint(usagef("certs verify needs FILE, --host, --device or --connect"),
			"\"sluice certs verify --help\" has examples")
	}
	return v.layout()
}

// chain finds the chain to judge, and what to call it.
func (v *certsVerify) chain(ctx context.Context, layout certLayout, file string) (string, []*x509.Certificate, error) {
	switch {
	case v.connect != "":
		chain, err := v.present(ctx)
		return "what " + v.connect + " presents", chain, err
	case file != "":
	case v.host != "":
		file = layout.server(strings.ToLower(v.host)).chain
	default:
		file = layout.device(v.device).chain
	}
	chain, err := pki.ReadCertificates(file)
	if errors.Is(err, fs.ErrNotExist) {
		err = withHint(err, "name the chain's file, or the directory with --dir")
	}
	if v.key == "" {
		v.key = keyBeside(file)
	}
	return file, chain, err
}

// present asks a server for its chain, without judging it yet.
func (v *certsVerify) present(ctx context.Context) ([]*x509.Certificate, error) {
	name, _, err := net.SplitHostPort(v.connect)
	if err != nil {
		return nil, usagef("--connect wants HOST:PORT: %w", err)
	}
	if v.host == "" {
		v.host = name
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	// The chain is judged by pki.Verify, which says more than a handshake.
	d := tls.Dialer{Config: &tls.Config{ServerName: v.host, InsecureSkipVerify: true}}
	conn, err := d.DialContext(ctx, "tcp", v.connect)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates, nil
}

// keyBeside is the file in which the key of a chain's file is expected, or "".
func keyBeside(file string) string {
	dir, base := filepath.Split(file)
	stem := strings.TrimSuffix(base, filepath.Ext(base))
	azure := strings.TrimSuffix(strings.TrimSuffix(base, ".cert.pem"), "-full-chain")
	for _, key := range []string{
		filepath.Join(dir, stem+".key"), filepath.Join(dir, stem+"-key.pem"), filepath.Join(dir, stem+".key.pem"),
		filepath.Join(dir, "..", "private", azure+".key.pem"),
	} {
		if _, err := os.Stat(key); err == nil {
			return key
		}
	}
	return ""
}

func (v *certsVerify) question(layout certLayout, chain []*x509.Certificate) (q pki.Question, err error) {
	if q.Roots, err = v.roots(layout); err != nil {
		return q, err
	}
	if v.at != "" {
		if q.Now, err = time.Parse(time.DateOnly, v.at); err != nil {
			return q, usagef("--at wants a date like 2027-12-31, not %q", v.at)
		}
	}
	if v.key != "" {
		if q.Key, err = pki.ReadKey(v.key); err != nil {
			return q, authorityHint(err, v.key)
		}
	}
	if inv, err := pki.TakeInventory(filesIn(filepath.Dir(layout.root().chain))...); err == nil {
		q.Around = inv.Certificates()
	}
	q.Host, q.Device = v.host, v.device
	leaf := chain[0]
	if u := pki.Usages(leaf); v.host == "" && v.device == "" && len(u) == 1 && u[0] == "clientAuth" {
		q.Device = leaf.Subject.CommonName
	}
	if v.byThumbprint = q.Device != "" && !leaf.IsCA && pki.IsSelfSigned(leaf); v.byThumbprint {
		q.Roots = chain[:1]
	}
	return q, nil
}

func (v *certsVerify) roots(layout certLayout) ([]*x509.Certificate, error) {
	file := v.ca
	if file == "" {
		file = layout.root().chain
	}
	roots, err := pki.ReadCertificates(file)
	if v.ca == "" && errors.Is(err, fs.ErrNotExist) {
		return nil, withHint(err, "give the roots that clients trust with --ca FILE")
	}
	return roots, err
}

func (v *certsVerify) purpose() string {
	switch {
	case v.host != "":
		return " for " + v.host
	case v.device != "":
		return " for device " + v.device
	}
	return ""
}

func (v *certsVerify) print(out io.Writer, what string, chain []*x509.Certificate, problems []pki.Problem) error {
	if v.json {
		return printIndented(out, struct {
			Holds    bool          `json:"holds"`
			What     string        `json:"what"`
			Until    time.Time     `json:"until"` // when the first of the chain ends
			Problems []pki.Problem `json:"problems"`
		}{len(problems) == 0, what, firstEnd(chain), append([]pki.Problem{}, problems...)})
	}
	var b strings.Builder
	if len(problems) == 0 {
		end := firstEnd(chain)
		fmt.Fprintf(&b, "%s holds%s until %s (%s)\n", what, v.purpose(), end.Format("2006-01-02"), pki.Span(time.Until(end)))
	}
	if v.byThumbprint {
		short, long := pki.Thumbprints(chain[0])
		fmt.Fprintf(&b, "  where it is registered with its thumbprint, SHA-1 %s\n  or SHA-256 %s\n", short, long)
	}
	for _, p := range problems {
		fmt.Fprintf(&b, "%s: %s\n  do: %s\n", p.Reason, p.Text, p.Fix)
	}
	_, err := io.WriteString(out, b.String())
	return err
}

func firstEnd(chain []*x509.Certificate) time.Time {
	end := chain[0].NotAfter
	for _, c := range chain[1:] {
		if c.NotAfter.Before(end) {
			end = c.NotAfter
		}
	}
	return end.UTC()
}
