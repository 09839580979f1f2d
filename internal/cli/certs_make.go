package cli

import (
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"sluice/internal/pki"
	"sluice/iot"
)

// certsWriter collects what a command makes, writes it in one step and says so.
type certsWriter struct {
	layout certLayout
	root   []byte // PEM, or nil
	files  []pki.File
	lines  []string
}

// rootPEM is the root above a, or nothing.
func rootPEM(a *pki.Authority) []byte {
	if r := a.Root(); r != nil {
		return pki.EncodeCertificates(r)
	}
	return nil
}

// put adds a certificate with its key; what says what it is.
func (w *certsWriter) put(f certFiles, p *pki.Pair, what string) error {
	files, err := w.layout.contents(f, p, w.root)
	if err != nil {
		return err
	}
	w.files = append(w.files, files...)
	w.lines = append(w.lines, fmt.Sprintf("%s, until %s:", what, p.Leaf().NotAfter.UTC().Format("2006-01-02")))
	for _, file := range files[1:] {
		w.lines = append(w.lines, "  "+file.Path)
	}
	w.lines = append(w.lines, "  "+f.key+" (private)")
	return nil
}

func (w *certsWriter) write(out io.Writer, force bool) error {
	if err := pki.WriteFiles(force, w.files...); err != nil {
		return existsHint(err)
	}
	for _, line := range w.lines {
		if _, err := fmt.Fprintln(out, line); err != nil {
			return err
		}
	}
	return nil
}

// next tells what usually comes after a command. It is no result, so it goes to
// standard error.
func next(cmd *cobra.Command, format string, args ...any) {
	fmt.Fprintf(cmd.ErrOrStderr(), "\nNext: "+format+"\n", args...)
}

// flagsOf repeats the flags of place that the next command needs as well.
func (p *certsPlace) flagsOf() string {
	s := ""
	if p.names == "azure" {
		s = " --names azure"
	}
	if d := filepath.Clean(p.dir); (d != "certs" && p.names == "plain") || (d != "." && p.names == "azure") {
		s += " --dir " + shellWord(p.dir)
	}
	return s
}

const certsRootLong = `Make a root: the authority that every device, gateway and service of the site is
to trust. Keep its key away from gateways; a safe is a good place.`

const certsRootExamples = `  A root that lives ten years:
    sluice certs root

  With its own name, another key and another life:
    sluice certs root --common-name "Plant 4 root" --key-type rsa4096 --valid 20y

  In the files of Microsoft's guides:
    sluice certs root --names azure`

func certsRootCommand() *cobra.Command {
	m := &certsMake{}
	cmd := &cobra.Command{
		Use: "root", Short: "Make the root of a site", Long: certsRootLong, Example: certsRootExamples,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runCertsRoot(cmd, m) },
	}
	m.add(cmd.Flags(), pki.RootLife)
	cmd.Flags().StringVar(&m.commonName, "common-name", "Sluice root", "name of the root")
	return cmd
}

func runCertsRoot(cmd *cobra.Command, m *certsMake) error {
	layout, opt, err := m.prepare()
	if err != nil {
		return err
	}
	root, err := pki.NewRoot(m.commonName, opt)
	if err != nil {
		return badName(err)
	}
	w := &certsWriter{layout: layout}
	pair := &pki.Pair{Chain: root.Chain(), Key: root.Key()}
	if err := w.put(layout.root(), pair, fmt.Sprintf("Root %q", m.commonName)); err != nil {
		return err
	}
	if err := w.write(cmd.OutOrStdout(), m.force); err != nil {
		return err
	}
	next(cmd, "give devices %s, and make a gateway's certificates:\n  sluice certs edge --hostname gateway.local%s",
		layout.root().chain, m.flagsOf())
	return nil
}

func (m *certsMake) prepare() (certLayout, pki.Options, error) {
	layout, err := m.layout()
	if err != nil {
		return certLayout{}, pki.Options{}, err
	}
	opt, err := m.options()
	return layout, opt, err
}

const certsIntermediateLong = `Make an authority between the root and the edge CAs, so that the root's key can
stay locked away. The commands edge and device sign with it when it is there.`

const certsIntermediateExamples = `  Signed by the root in ./certs:
    sluice certs intermediate

  Signed by your own authority:
    sluice certs intermediate --ca-cert corporate.pem --ca-key corporate.key`

func certsIntermediateCommand() *cobra.Command {
	m, by := &certsMake{}, &certsIssuer{}
	cmd := &cobra.Command{
		Use: "intermediate", Short: "Make an authority below the root", Long: certsIntermediateLong,
		Example: certsIntermediateExamples, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runCertsIntermediate(cmd, m, by) },
	}
	m.add(cmd.Flags(), pki.AuthorityLife)
	by.add(cmd.Flags())
	cmd.Flags().StringVar(&m.commonName, "common-name", "Sluice intermediate", "name of the authority")
	return cmd
}

func runCertsIntermediate(cmd *cobra.Command, m *certsMake, by *certsIssuer) error {
	layout, opt, err := m.prepare()
	if err != nil {
		return err
	}
	issuer, err := by.authority(layout.root())
	if err != nil {
		return err
	}
	a, err := issuer.Intermediate(m.commonName, opt)
	if err != nil {
		return badName(err)
	}
	w := &certsWriter{layout: layout, root: rootPEM(issuer)}
	pair := &pki.Pair{Chain: a.Chain(), Key: a.Key()}
	if err := w.put(layout.intermediate(), pair, fmt.Sprintf("Intermediate %q", m.commonName)); err != nil {
		return err
	}
	if err := w.write(cmd.OutOrStdout(), m.force); err != nil {
		return err
	}
	next(cmd, "make a gateway's certificates:\n  sluice certs edge --hostname gateway.local%s", m.flagsOf())
	return nil
}

const certsDeviceLong = `Make a client certificate for a device.

Signed by an authority, it is known by its common name, the device id; whoever
trusts the authority knows the device. With --self-signed it is known by its
thumbprints, which are printed and belong into the registry.`

const certsDeviceExamples = `  Signed by the intermediate or the root in ./certs:
    sluice certs device pump-7

  Known by its thumbprint:
    sluice certs device pump-7 --self-signed

  A second one, to be registered as the secondary thumbprint:
    sluice certs device pump-7 --self-signed --dir certs/secondary

  For a device stack that reads RSA only:
    sluice certs device pump-7 --key-type rsa2048`

func certsDeviceCommand() *cobra.Command {
	m, by, self := &certsMake{}, &certsIssuer{}, false
	cmd := &cobra.Command{
		Use: "device ID", Short: "Make a device's client certificate", Long: certsDeviceLong, Example: certsDeviceExamples,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := iot.ValidateID(args[0]); err != nil {
				return withExit(err, ExitUsage)
			}
			if self {
				return runCertsSelfSigned(cmd, m, by, args[0])
			}
			return runCertsDevice(cmd, m, by, args[0])
		},
	}
	m.add(cmd.Flags(), pki.DeviceLife)
	by.add(cmd.Flags())
	cmd.Flags().BoolVar(&self, "self-signed", false, "sign it with its own key, and print its thumbprints")
	return cmd
}

func runCertsDevice(cmd *cobra.Command, m *certsMake, by *certsIssuer, id string) error {
	layout, opt, err := m.prepare()
	if err != nil {
		return err
	}
	issuer, err := by.authority(layout.intermediate(), layout.root())
	if err != nil {
		return err
	}
	pair, err := issuer.Device(id, opt)
	if err != nil {
		return deviceNameHint(err, id)
	}
	w := &certsWriter{layout: layout, root: rootPEM(issuer)}
	what := fmt.Sprintf("Device %q, signed by %q", id, issuer.Certificate().Subject.CommonName)
	if err := w.put(layout.device(id), pair, what); err != nil {
		return err
	}
	if err := w.write(cmd.OutOrStdout(), m.force); err != nil {
		return err
	}
	next(cmd, "let hub and gateway trust the root, and register the device:\n  sluice device create %s --ca-signed", shellWord(id))
	return nil
}

func deviceNameHint(err error, id string) error {
	if len(id) > 64 {
		err = withHint(err, "a longer id needs --self-signed, where the thumbprint counts")
	}
	return badName(err)
}

func runCertsSelfSigned(cmd *cobra.Command, m *certsMake, by *certsIssuer, id string) error {
	if *by != (certsIssuer{}) {
		return usagef("--self-signed has no other authority; leave out --ca-cert and --ca-key")
	}
	layout, opt, err := m.prepare()
	if err != nil {
		return err
	}
	pair, err := pki.SelfSigned(id, opt)
	if err != nil {
		return err
	}
	w := &certsWriter{layout: layout}
	if err := w.put(layout.device(id), pair, fmt.Sprintf("Device %q, self-signed", id)); err != nil {
		return err
	}
	short, long := pki.Thumbprints(pair.Leaf())
	w.lines = append(w.lines, "thumbprint SHA-1   "+short, "thumbprint SHA-256 "+long)
	if err := w.write(cmd.OutOrStdout(), m.force); err != nil {
		return err
	}
	next(cmd, "register the device:\n  sluice device create %s --x509-thumbprint %s", shellWord(id), short)
	return nil
}
