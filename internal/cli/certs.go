package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sluice/internal/pki"
)

const certsLong = `Make, renew, show and check the certificates of a site.

A site has one root, which everything trusts. Below it, each gateway has an edge
CA and a server certificate; devices have client certificates, or keys instead.
Private keys are written for their owner alone, and no file is overwritten
without --force.`

const certsExamples = `  A root, a gateway and a device:
    sluice certs root
    sluice certs edge --hostname gateway.local
    sluice certs device pump-7

  What there is, until when, and whether devices would accept it:
    sluice certs show
    sluice certs verify --host gateway.local

  Every night, from cron or a timer:
    sluice certs renew --if-within 30d`

func certsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "certs",
		Short:   "Make, renew, show and check certificates",
		Long:    certsLong,
		Example: certsExamples,
	}
	cmd.AddCommand(
		certsRootCommand(), certsIntermediateCommand(), certsEdgeCommand(), certsDeviceCommand(),
		certsRenewCommand(), certsShowCommand(), certsVerifyCommand(),
	)
	return cmd
}

// certsPlace is where certificates are kept, and under which names.
type certsPlace struct {
	dir   string
	names string
}

func (p *certsPlace) add(flags *pflag.FlagSet) {
	flags.StringVarP(&p.dir, "dir", "d", "", "`directory` of the certificates (default ./certs; the current one with --names azure)")
	flags.StringVar(&p.names, "names", "plain", "names of the files: plain, or azure for those of Microsoft's guides")
}

func (p *certsPlace) layout() (certLayout, error) {
	switch {
	case p.names != "plain" && p.names != "azure":
		return certLayout{}, usagef("--names is plain or azure, not %q", p.names)
	case p.dir != "":
	case p.names == "azure":
		p.dir = "."
	default:
		p.dir = "certs"
	}
	return certLayout{dir: p.dir, azure: p.names == "azure"}, nil
}

// certsMake are the flags of the commands that make a certificate.
type certsMake struct {
	certsPlace
	keyType    string
	commonName string
	org        string
	valid      daysFlag
	force      bool
}

func (m *certsMake) add(flags *pflag.FlagSet, life time.Duration) {
	m.certsPlace.add(flags)
	flags.StringVar(&m.keyType, "key-type", "p256", strings.Join(pki.KeyTypes(), ", "))
	flags.StringVar(&m.org, "org", "", "organization in the subject")
	flags.Var(&m.valid, "valid", fmt.Sprintf("life, like 90d, 36h or 2y (default %s; never beyond the issuer's)", formatDays(life)))
	flags.BoolVarP(&m.force, "force", "f", false, "overwrite files that exist")
}

func (m *certsMake) options() (pki.Options, error) {
	key, err := pki.ParseKeyType(m.keyType)
	if err != nil {
		return pki.Options{}, withExit(err, ExitUsage)
	}
	return pki.Options{Key: key, Valid: time.Duration(m.valid), CommonName: m.commonName, Organization: m.org}, nil
}

// certsIssuer are the flags that say who signs.
type certsIssuer struct{ cert, key string }

func (i *certsIssuer) add(flags *pflag.FlagSet) {
	flags.StringVar(&i.cert, "ca-cert", "", "sign with your own authority: its certificate and those above it, PEM `file`")
	flags.StringVar(&i.key, "ca-key", "", "its private key, PEM `file`, not encrypted")
}

// authority reads the issuer: the one that the flags name, else the first of
// candidates that exists.
func (i *certsIssuer) authority(candidates ...certFiles) (*pki.Authority, error) {
	switch {
	case (i.cert == "") != (i.key == ""):
		return nil, usagef("--ca-cert and --ca-key go together")
	case i.cert != "":
		return i.read(i.cert, i.key)
	}
	var err error
	for _, c := range candidates {
		var a *pki.Authority
		if a, err = i.read(c.chain, c.key); err == nil || !errors.Is(err, fs.ErrNotExist) {
			return a, err
		}
	}
	return nil, withHint(err, "make a root first with \"sluice certs root\", or bring your own with --ca-cert and --ca-key")
}

func (i *certsIssuer) read(cert, key string) (*pki.Authority, error) {
	a, err := pki.ReadAuthority(cert, key)
	if err != nil {
		return nil, authorityHint(err, key)
	}
	return a, nil
}

// authorityHint says what to do about an authority that cannot be used.
func authorityHint(err error, key string) error {
	switch {
	case errors.Is(err, pki.ErrEncryptedKey):
		return withHint(err, "decrypt it: openssl pkey -in %s -out decrypted.key, and keep that for yourself", key)
	case errors.Is(err, pki.ErrNotCA):
		return withHint(err, "give the certificate of an authority: a root, an intermediate or an edge CA")
	case errors.Is(err, pki.ErrExpired):
		return withHint(err, "renew it with \"sluice certs renew FILE\", or make another")
	case errors.Is(err, pki.ErrKeyMismatch):
		return withHint(err, "\"sluice certs show\" says which key belongs to which certificate")
	case errors.Is(err, pki.ErrStray):
		return withHint(err, "leave in the file only the authority and those above it")
	}
	return err
}

// existsHint explains a refusal to overwrite.
func existsHint(err error) error {
	if errors.Is(err, fs.ErrExist) {
		return withHint(err, "--force overwrites it; \"sluice certs renew\" makes it again with the same names")
	}
	return err
}

// badName makes an error about a name one of usage.
func badName(err error) error {
	if errors.Is(err, pki.ErrBadName) {
		return withExit(err, ExitUsage)
	}
	return err
}

// daysFlag is a duration that may also be given in days and years of 365 days.
type daysFlag time.Duration

func (d *daysFlag) String() string {
	if *d == 0 {
		return ""
	}
	return formatDays(time.Duration(*d))
}

func (d *daysFlag) Type() string { return "time" }

// Set reads "30d", "2y" or what time.ParseDuration reads.
func (d *daysFlag) Set(s string) error {
	unit := map[byte]time.Duration{'d': 24 * time.Hour, 'y': 365 * 24 * time.Hour}
	if s != "" && unit[s[len(s)-1]] != 0 {
		n, err := strconv.ParseUint(s[:len(s)-1], 10, 16)
		if err != nil || n > 290*365 || (s[len(s)-1] == 'y' && n > 290) {
			return fmt.Errorf("%q is not a number of days or years that fits", s)
		}
		*d = daysFlag(time.Duration(n) * unit[s[len(s)-1]])
	} else {
		v, err := time.ParseDuration(s)
		if err != nil {
			return errors.New("write it like 30d, 36h or 2y")
		}
		*d = daysFlag(v)
	}
	if *d <= 0 {
		return errors.New("it must be longer than nothing")
	}
	return nil
}

func formatDays(d time.Duration) string {
	const day = 24 * time.Hour
	if d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	return d.String()
}
