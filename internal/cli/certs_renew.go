package cli

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sluice/internal/pki"
)

const certsRenewLong = `Make certificates again, with the same names and a life as long, in the same
files. The key stays, unless --new-key asks for another.

With files, those; without, everything in the directory that ends soon, from the
root down, and what is below anything that was renewed. The issuer is found in the
directory, or given with --ca-cert and --ca-key. A gateway or hub that uses the
files takes the new certificate by itself.`

const certsRenewExamples = `  One, now:
    sluice certs renew certs/server-gateway.local.pem

  Every night, whatever ends within a month:
    sluice certs renew --if-within 30d

  With another key, because the old one may have been seen:
    sluice certs renew certs/device-pump-7.pem --new-key

  Signed by an authority that is not in the directory:
    sluice certs renew certs/edge-ca-gateway.local.pem --ca-cert corporate.pem --ca-key corporate.key`

type certsRenew struct {
	certsIssuer
	dir     string
	newKey  bool
	keyType string
	valid   daysFlag
	within  daysFlag

	inv  *pki.Inventory
	done map[*pki.Held]bool
}

func certsRenewCommand() *cobra.Command {
	r := &certsRenew{done: map[*pki.Held]bool{}}
	cmd := &cobra.Command{
		Use: "renew [FILE...]", Short: "Make certificates again with the same names", Long: certsRenewLong, Example: certsRenewExamples,
		RunE: func(cmd *cobra.Command, args []string) error { return r.run(cmd, args) },
	}
	flags := cmd.Flags()
	r.certsIssuer.add(flags)
	flags.StringVarP(&r.dir, "dir", "d", "certs", "`directory` of the certificates and keys")
	flags.BoolVar(&r.newKey, "new-key", false, "make a new key, too")
	flags.StringVar(&r.keyType, "key-type", "", "type of the new key (default that of the old): "+strings.Join(pki.KeyTypes(), ", "))
	flags.Var(&r.valid, "valid", "life, like 90d, 36h or 2y (default that of the old)")
	flags.Var(&r.within, "if-within", "only what ends within this time, like 30d")
	return cmd
}

func (r *certsRenew) run(cmd *cobra.Command, args []string) error {
	if len(args) == 0 && r.within == 0 {
		return withHint(usagef("certs renew needs files, or --if-within"), "\"sluice certs renew --if-within 30d\" renews all that ends within a month")
	}
	if r.keyType != "" && !r.newKey {
		return usagef("--key-type needs --new-key")
	}
	targets, err := r.find(args)
	if err != nil {
		return err
	}
	var failed []string
	for _, h := range targets {
		said, err := r.renew(h)
		if err != nil && len(targets) == 1 {
			return err
		}
		if err != nil {
			report(cmd.ErrOrStderr(), err)
			failed = append(failed, h.Files[0])
			continue
		}
		if _, err := fmt.Fprintln(cmd.OutOrStdout(), said); err != nil {
			return err
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("not renewed: %s", strings.Join(failed, ", "))
	}
	return nil
}

// find returns what the files begin with, or everything, issuers first.
func (r *certsRenew) find(args []string) ([]*pki.Held, error) {
	inv, err := pki.TakeInventory(r.places(args)...)
	if err != nil {
		return nil, noDirHint(err)
	}
	r.inv = inv
	var all []*pki.Held
	for _, top := range inv.Tops() {
		all = collect(all, top)
	}
	if len(args) == 0 {
		return all, nil
	}
	var wanted []*pki.Held
	for _, file := range args {
		h := inv.Of(file)
		if h == nil {
			return nil, fmt.Errorf("%s: %w", file, pki.ErrNoCertificate)
		}
		wanted = append(wanted, h)
	}
	return slices.DeleteFunc(all, func(h *pki.Held) bool { return !slices.Contains(wanted, h) }), nil
}

func collect(all []*pki.Held, h *pki.Held) []*pki.Held {
	if len(h.Files) > 0 {
		all = append(all, h)
	}
	for _, below := range h.Below {
		all = collect(all, below)
	}
	return all
}

// places are where keys and issuers may be: the directory with what is below it,
// and beside the files, with the neighbour in which Microsoft's guides keep keys.
func (r *certsRenew) places(args []string) []string {
	places := slices.Clone(args)
	if _, err := os.Stat(r.dir); err == nil || len(args) == 0 {
		places = append(places, r.dir)
	}
	for _, file := range args {
		dir := filepath.Dir(file)
		places = append(places, filesIn(dir)...)
		places = append(places, filesIn(filepath.Join(dir, "..", "private"))...)
	}
	return places
}

// filesIn lists the files of a directory without what is below it, which may be
// somebody's whole home.
func filesIn(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil // what is missing there is said where it is needed
	}
	var files []string
	for _, e := range entries {
		if !e.IsDir() {
			files = append(files, filepath.Join(dir, e.Name()))
		}
	}
	return files
}

// renew makes one certificate again if it is due, and says what it did.
func (r *certsRenew) renew(h *pki.Held) (said string, err error) {
	left := time.Until(h.Cert.NotAfter)
	due := r.within == 0 || left <= time.Duration(r.within) || r.done[h.Issuer]
	if !due {
		return fmt.Sprintf("left    %s: %s to go", h.Files[0], pki.Span(left)), nil
	}
	pair, root, err := r.make(h)
	if err != nil {
		return "", err
	}
	files, err := r.contents(h, pair, root)
	if err != nil {
		return "", err
	}
	if err := pki.WriteFiles(true, files...); err != nil {
		return "", err
	}
	r.done[h] = true
	return r.say(h, pair), nil
}

func (r *certsRenew) make(h *pki.Held) (*pki.Pair, []byte, error) {
	opt := pki.Options{Valid: time.Duration(r.valid)}
	if err := r.chooseKey(h, &opt); err != nil {
		return nil, nil, err
	}
	if h.IsRoot() {
		pair, err := pki.RenewSelfSigned(h.Cert, opt)
		return pair, nil, err
	}
	issuer, err := r.issuer(h)
	if err != nil {
		return nil, nil, err
	}
	pair, err := issuer.Renew(h.Cert, opt)
	return pair, rootPEM(issuer), err
}

func (r *certsRenew) chooseKey(h *pki.Held, opt *pki.Options) (err error) {
	switch {
	case h.Key == "":
		return withHint(fmt.Errorf("%s: its private key was not found", h.Files[0]), "put the key into the same directory, or name that with --dir")
	case slices.Contains(h.Files, h.Key):
		return withHint(fmt.Errorf("%s holds certificate and key in one file, which is not renewed", h.Key), "keep them in two files")
	case !r.newKey:
		opt.Signer, err = pki.ReadKey(h.Key)
		return err
	case r.keyType != "":
		opt.Key, err = pki.ParseKeyType(r.keyType)
		return withUsage(err)
	}
	var known bool
	if opt.Key, known = pki.KeyTypeOf(h.Cert.PublicKey); !known {
		return withHint(fmt.Errorf("%s: no new key of its kind can be made", h.Files[0]), "choose one with --key-type")
	}
	return nil
}

func withUsage(err error) error {
	if err == nil {
		return nil
	}
	return withExit(err, ExitUsage)
}

// issuer reads the authority that signs h: given, found by its signature, or
// by its name if it has another key since.
func (r *certsRenew) issuer(h *pki.Held) (*pki.Authority, error) {
	if r.cert != "" || r.key != "" {
		return r.authority()
	}
	by := h.Issuer
	for _, other := range r.inv.All {
		if !signs(by) && signs(other) && bytes.Equal(other.Cert.RawSubject, h.Cert.RawIssuer) {
			by = other
		}
	}
	if !signs(by) {
		return nil, withHint(fmt.Errorf("%s: the key of its issuer %q was not found", h.Files[0], h.Cert.Issuer.CommonName),
			"give the issuer with --ca-cert and --ca-key")
	}
	return r.read(longest(by.Files), by.Key)
}

// signs reports whether h is an authority whose files and key are there.
func signs(h *pki.Held) bool {
	return h != nil && h.Cert.IsCA && h.Key != "" && len(h.Files) > 0
}

// longest is the file with the most certificates, which tells most of the chain.
func longest(files []string) string {
	best, most := files[0], 0
	for _, file := range files {
		if certs, err := pki.ReadCertificates(file); err == nil && len(certs) > most {
			best, most = file, len(certs)
		}
	}
	return best
}

// contents gives each file of h what it held before, renewed: the certificate
// alone, its chain, or the chain with the root.
func (r *certsRenew) contents(h *pki.Held, pair *pki.Pair, root []byte) ([]pki.File, error) {
	var files []pki.File
	if r.newKey {
		key, err := pair.KeyPEM()
		if err != nil {
			return nil, err
		}
		files = append(files, pki.File{Path: h.Key, Data: key, Key: true})
	}
	for _, path := range h.Files {
		old, err := pki.ReadCertificates(path)
		if err != nil {
			return nil, err
		}
		data := pair.CertPEM()
		switch last := old[len(old)-1]; {
		case len(old) == 1 && len(h.Files) > 1:
			data = pki.EncodeCertificates(pair.Leaf())
		case len(old) > 1 && bytes.Equal(last.RawIssuer, last.RawSubject):
			data = append(data, root...)
		}
		files = append(files, pki.File{Path: path, Data: data})
	}
	return files, nil
}

func (r *certsRenew) say(h *pki.Held, pair *pki.Pair) string {
	c := pair.Leaf()
	key := "same key"
	if r.newKey {
		key = "new key"
	}
	names := fmt.Sprintf("%q", h.Cert.Subject.CommonName)
	if servers := pki.ServerNames(c); len(servers) > 0 {
		names = strings.Join(servers, ", ")
	}
	said := fmt.Sprintf("renewed %s: %s, for %s, until %s (was %s)", strings.Join(h.Files, ", "), key, names,
		c.NotAfter.UTC().Format("2006-01-02"), h.Cert.NotAfter.UTC().Format("2006-01-02"))
	switch {
	case c.IsCA && h.IsRoot():
		said += "\n        give the new root to everything that trusts it, " + rootDeadline(h, r.newKey)
	case c.IsCA && r.newKey:
		said += "\n        renew what is below it too: it has the signature of the old key"
	case h.IsRoot():
		short, long := pki.Thumbprints(c)
		said += "\n        register its thumbprint, SHA-1 " + short + "\n        or SHA-256 " + long
	}
	return said
}

func rootDeadline(h *pki.Held, newKey bool) string {
	if newKey {
		return "and renew what is below it, at the same time"
	}
	return "before " + h.Cert.NotAfter.UTC().Format("2006-01-02")
}

func noDirHint(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return withHint(err, "\"sluice certs root\" makes the first certificate; --dir says where they are")
	}
	return err
}
