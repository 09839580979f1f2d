package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"sluice/internal/pki"
)

const certsShowLong = `Show certificates as a tree of who signed whom, with the files that they are in
and when they end. Files may be anybody's, not only those that Sluice made.`

const certsShowExamples = `  Those in ./certs:
    sluice certs show

  Those of another directory, and one file:
    sluice certs show /etc/aziot/certs corporate.pem

  With thumbprints and everything else, for a script:
    sluice certs show --json`

// soon is the time before its end at which a certificate is shown as a warning.
const soon = 30 * 24 * time.Hour

func certsShowCommand() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use: "show [FILE|DIRECTORY...]", Short: "Show certificates, their files and when they end",
		Long: certsShowLong, Example: certsShowExamples,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				args = []string{"certs"}
			}
			inv, err := pki.TakeInventory(args...)
			if err != nil {
				return noDirHint(err)
			}
			if asJSON {
				return printCertsJSON(cmd.OutOrStdout(), inv)
			}
			return printCertsTree(cmd.OutOrStdout(), inv, time.Now())
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, with thumbprints and serial numbers")
	return cmd
}

// kindOf says in one word what a certificate is for.
func certKind(h *pki.Held) string {
	usages := pki.Usages(h.Cert)
	switch {
	case h.Cert.IsCA && h.IsRoot():
		return "root"
	case h.Cert.IsCA:
		return "authority"
	case slices.Contains(usages, "serverAuth"):
		return "server"
	case slices.Contains(usages, "clientAuth"):
		return "device"
	}
	return "other"
}

// certRow is one line of the tree.
type certRow struct {
	name, kind, life, files string
	colour                  string
}

func printCertsTree(out io.Writer, inv *pki.Inventory, now time.Time) error {
	var rows []certRow
	for _, top := range inv.Tops() {
		if top.Issuer == nil {
			rows = append(rows, certRow{name: fmt.Sprintf("(%s, not here)", issuerOf(top))})
			rows = branch(rows, top, "└─ ", "   ", now)
			continue
		}
		rows = branch(rows, top, "", "", now)
	}
	if err := printRows(out, rows, isTerminal(out) && os.Getenv("NO_COLOR") == ""); err != nil {
		return err
	}
	for _, note := range certNotes(inv) {
		if _, err := fmt.Fprintln(out, note); err != nil {
			return err
		}
	}
	return nil
}

func issuerOf(h *pki.Held) string {
	if h.Cert.Issuer.CommonName != "" {
		return h.Cert.Issuer.CommonName
	}
	return h.Cert.Issuer.String()
}

// branch adds h, drawn behind lead, and what is below it, each behind indent.
func branch(rows []certRow, h *pki.Held, lead, indent string, now time.Time) []certRow {
	rows = append(rows, rowOf(h, lead, now))
	for i, below := range h.Below {
		if i == len(h.Below)-1 {
			rows = branch(rows, below, indent+"└─ ", indent+"   ", now)
		} else {
			rows = branch(rows, below, indent+"├─ ", indent+"│  ", now)
		}
	}
	return rows
}

func rowOf(h *pki.Held, lead string, now time.Time) certRow {
	row := certRow{name: lead + labelOf(h), kind: certKind(h), files: filesOf(h)}
	left := h.Cert.NotAfter.Sub(now)
	date := h.Cert.NotAfter.UTC().Format("2006-01-02")
	switch {
	case left < 0:
		row.life, row.colour = "EXPIRED "+date+", "+pki.Span(-left)+" ago", "31"
	case now.Before(h.Cert.NotBefore):
		row.life, row.colour = "NOT VALID until "+h.Cert.NotBefore.UTC().Format("2006-01-02"), "31"
	case left < soon:
		row.life, row.colour = "until "+date+", "+pki.Span(left), "33"
	default:
		row.life, row.colour = "until "+date+", "+pki.Span(left), "32"
	}
	return row
}

// labelOf is the name, or for servers the names, in what a terminal can print.
func labelOf(h *pki.Held) string {
	label := h.Cert.Subject.CommonName
	if names := pki.ServerNames(h.Cert); len(names) > 0 {
		label = strings.Join(names, ", ")
	} else if label == "" {
		label = h.Cert.Subject.String()
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return '?'
		}
		return r
	}, label)
}

func filesOf(h *pki.Held) string {
	if len(h.Files) == 0 {
		return "(only within " + strings.Join(h.Seen, ", ") + ")"
	}
	files := strings.Join(h.Files, ", ")
	if h.Key != "" {
		files += " + key"
	}
	return files
}

// printRows aligns the columns; the escapes of colours have no width.
func printRows(out io.Writer, rows []certRow, colours bool) error {
	var name, kind, life int
	for _, r := range rows {
		name = max(name, utf8.RuneCountInString(r.name))
		kind = max(kind, len(r.kind))
		life = max(life, len(r.life))
	}
	for _, r := range rows {
		text := r.life
		if colours && r.colour != "" {
			text = "\x1b[" + r.colour + "m" + text + "\x1b[0m"
		}
		line := r.name + spaces(name-utf8.RuneCountInString(r.name)) + "  " + r.kind + spaces(kind-len(r.kind)) +
			"  " + text + spaces(life-len(r.life)) + "  " + r.files
		if _, err := fmt.Fprintln(out, strings.TrimRight(line, " ")); err != nil {
			return err
		}
	}
	return nil
}

func spaces(n int) string { return strings.Repeat(" ", n) }

// certNotes are what else should be known: keys that others can read, and files
// that could not be.
func certNotes(inv *pki.Inventory) []string {
	var notes []string
	for _, h := range inv.All {
		note := fmt.Sprintf("\n%s can be read by others than its owner; chmod 600 %s", h.Key, shellWord(h.Key))
		if h.KeyOpen && !slices.Contains(notes, note) {
			notes = append(notes, note)
		}
	}
	for _, err := range inv.Unread {
		notes = append(notes, fmt.Sprintf("\nnot shown: %v", err))
	}
	if len(inv.All) == 0 {
		notes = append(notes, "no certificates")
	}
	return notes
}

// certJSON is a certificate for scripts.
type certJSON struct {
	CommonName string    `json:"commonName"`
	Subject    string    `json:"subject"`
	Issuer     string    `json:"issuer"`
	Kind       string    `json:"kind"` // root, authority, server, device, other
	SelfSigned bool      `json:"selfSigned"`
	Names      []string  `json:"names,omitempty"` // DNS names and IP addresses
	Usages     []string  `json:"usages,omitempty"`
	NotBefore  time.Time `json:"notBefore"`
	NotAfter   time.Time `json:"notAfter"`
	KeyType    string    `json:"keyType,omitempty"`
	Serial     string    `json:"serial"`
	SHA1       string    `json:"sha1"`
	SHA256     string    `json:"sha256"`
	Files      []string  `json:"files"`            // those that begin with it
	Within     []string  `json:"within,omitempty"` // those that hold it further down
	Key        string    `json:"key,omitempty"`    // file of its private key
	KeyOpen    bool      `json:"keyReadableByOthers,omitempty"`
}

func jsonOf(h *pki.Held) certJSON {
	c := h.Cert
	short, long := pki.Thumbprints(c)
	j := certJSON{
		CommonName: c.Subject.CommonName, Subject: c.Subject.String(), Issuer: c.Issuer.String(),
		Kind: certKind(h), SelfSigned: h.IsRoot(), Names: pki.ServerNames(c), Usages: pki.Usages(c),
		NotBefore: c.NotBefore.UTC(), NotAfter: c.NotAfter.UTC(),
		Serial: fmt.Sprintf("%X", c.SerialNumber), SHA1: short, SHA256: long,
		Files: append([]string{}, h.Files...), Within: h.Seen, Key: h.Key, KeyOpen: h.KeyOpen,
	}
	if k, known := pki.KeyTypeOf(c.PublicKey); known {
		j.KeyType = k.String()
	}
	return j
}

func printCertsJSON(out io.Writer, inv *pki.Inventory) error {
	all := struct {
		Certificates []certJSON `json:"certificates"`
		Unread       []string   `json:"unread,omitempty"`
	}{Certificates: []certJSON{}}
	for _, h := range inv.All {
		all.Certificates = append(all.Certificates, jsonOf(h))
	}
	for _, err := range inv.Unread {
		all.Unread = append(all.Unread, err.Error())
	}
	return printIndented(out, all)
}

func printIndented(out io.Writer, v any) error {
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
