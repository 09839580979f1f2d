package cli

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sluice/internal/pki"
)

const certsEdgeLong = `Make an edge CA for a gateway, and with it a server certificate for the gateway's
host name and whatever else devices connect to.

Devices compare the name that they connect to with those in the certificate: give
the one of GatewayHostName with --hostname, and every other with --name.`

const certsEdgeExamples = `  For a gateway that devices know by one name:
    sluice certs edge --hostname gateway.local

  By several names and addresses:
    sluice certs edge --hostname gateway.local --name gateway --name 10.0.0.7

  Signed by your own authority:
    sluice certs edge --hostname gateway.local --ca-cert corporate.pem --ca-key corporate.key

  In the files of Microsoft's guides:
    sluice certs edge --hostname gateway.local --names azure`

type certsEdge struct {
	certsMake
	certsIssuer
	host        string
	others      []string
	serverValid daysFlag
}

func certsEdgeCommand() *cobra.Command {
	e := &certsEdge{}
	cmd := &cobra.Command{
		Use: "edge --hostname NAME", Short: "Make a gateway's edge CA and server certificate", Long: certsEdgeLong,
		Example: certsEdgeExamples, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return e.run(cmd) },
	}
	flags := cmd.Flags()
	e.certsMake.add(flags, pki.AuthorityLife)
	e.certsIssuer.add(flags)
	flags.StringVar(&e.host, "hostname", "", "`name` or IP address that devices have as GatewayHostName (required)")
	flags.StringSliceVarP(&e.others, "name", "n", nil, "further `name` or IP address; may be repeated")
	flags.Var(&e.serverValid, "server-valid", fmt.Sprintf("life of the server certificate (default %s)", formatDays(pki.ServerLife)))
	flags.StringVar(&e.commonName, "common-name", "", "name of the edge CA (default \"HOSTNAME edge CA\")")
	return cmd
}

func (e *certsEdge) run(cmd *cobra.Command) error {
	if e.host == "" {
		return withHint(usagef("certs edge needs --hostname"), "it is the name that devices have as GatewayHostName")
	}
	e.host = strings.ToLower(strings.TrimSuffix(e.host, "."))
	layout, opt, err := e.prepare()
	if err != nil {
		return err
	}
	issuer, err := e.authority(layout.intermediate(), layout.root())
	if err != nil {
		return err
	}
	w := &certsWriter{layout: layout, root: rootPEM(issuer)}
	if err := e.make(w, issuer, opt); err != nil {
		return err
	}
	if err := w.write(cmd.OutOrStdout(), e.force); err != nil {
		return err
	}
	return e.next(cmd, layout, issuer)
}

// make signs the edge CA and, with it, the server certificate.
func (e *certsEdge) make(w *certsWriter, issuer *pki.Authority, opt pki.Options) error {
	opt.CommonName = ""
	ca := opt
	ca.NoAuthorities = true
	edge, err := issuer.Intermediate(e.edgeName(), ca)
	if err != nil {
		return badName(err)
	}
	server := opt
	server.Valid = time.Duration(e.serverValid)
	pair, err := edge.Server(append([]string{e.host}, e.others...), server)
	if err != nil {
		return badName(err)
	}
	chain := &pki.Pair{Chain: edge.Chain(), Key: edge.Key()}
	what := fmt.Sprintf("Edge CA %q, signed by %q", e.edgeName(), issuer.Certificate().Subject.CommonName)
	if err := w.put(w.layout.edgeCA(e.host), chain, what); err != nil {
		return err
	}
	return w.put(w.layout.server(e.host), pair, "Server certificate for "+strings.Join(pki.ServerNames(pair.Leaf()), ", "))
}

func (e *certsEdge) edgeName() string {
	const suffix = " edge CA"
	if e.commonName != "" {
		return e.commonName
	}
	return e.host[:min(len(e.host), 64-len(suffix))] + suffix
}

// next prints the lines of a configuration that uses what was made.
func (e *certsEdge) next(cmd *cobra.Command, layout certLayout, issuer *pki.Authority) error {
	trust := layout.root().chain
	if e.cert != "" {
		trust = e.cert
	}
	ca := layout.edgeCA(e.host)
	paths := []string{trust, ca.chain, ca.key}
	for i, p := range paths {
		abs, err := filepath.Abs(p)
		if err != nil {
			return err
		}
		paths[i] = "file://" + filepath.ToSlash(abs)
	}
	next(cmd, `put this into the gateway's config.toml:
  hostname = %q
  trust_bundle_cert = %q
  [edge_ca]
  cert = %q
  pk = %q
%sand see what devices will see:
  sluice certs verify %s --host %s%s`, e.host, paths[0], paths[1], paths[2], e.moreNames(),
		shellWord(layout.server(e.host).chain), shellWord(e.host), e.flagsOf())
	if issuer.Root() == nil && e.cert != "" {
		fmt.Fprintf(cmd.ErrOrStderr(), "%s does not hold the root; devices must trust the one above %q.\n",
			e.cert, issuer.Chain()[len(issuer.Chain())-1].Subject.CommonName)
	}
	return nil
}

// moreNames are the lines of a configuration for the names besides the host's.
func (e *certsEdge) moreNames() string {
	if len(e.others) == 0 {
		return ""
	}
	quoted := make([]string, len(e.others))
	for i, name := range e.others {
		quoted[i] = strconv.Quote(name)
	}
	return "  [sluice.tls]\n  names = [" + strings.Join(quoted, ", ") + "]\n"
}

// shellWord quotes s if a shell would take it apart.
func shellWord(s string) string {
	special := func(r rune) bool { return strings.ContainsRune(" \t\n'\"\\$`*?#()!&;<>|~[]{}", r) }
	if s != "" && !slices.ContainsFunc([]rune(s), special) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
