package provision

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"sluice/iot"
)

// MaxList bounds an allow list, in bytes.
const MaxList = 16 << 20

// A List says which leaves may be created. Its text has one entry on a line:
//
//	pump-7                 the leaf of exactly this id, in this case of letters
//	id:prefix:7            the same, for an id that looks like one of the forms below
//	prefix:meter-          every id that begins so
//	glob:press-[0-9]?-*    * is any run of characters, also of none; ? is one;
//	                       [0-9a-f] and [^x] are one of these, and none of these
//	cidr:10.1.0.0/16       every id that is an IP address of this network, written
//	                       as addresses are: 10.1.2.3, not 10.1.2.03
//
// Blank lines, and lines that begin with #, mean nothing; nor does white space around
// an entry. An entry with white space in it, or that no id can match, is an error: a
// list that was misread could let in what nobody meant.
//
// The zero List allows nothing. A List does not change and may be used from any
// goroutine.
type List struct {
	ids      map[string]bool
	prefixes []string // sorted, and none is a prefix of another
	globs    []string
	networks []netip.Prefix
}

// A Listing is how an id stands in a list.
type Listing uint8

// The listings, from the weakest.
const (
	Unlisted Listing = iota
	ByPattern
	ByID // this very id was written down
)

// ErrListSize is returned for a list over MaxList.
var ErrListSize = fmt.Errorf("the list is larger than %d bytes", MaxList)

// ParseList reads an allow list. The error names the first line that is wrong.
func ParseList(text []byte) (*List, error) {
	switch {
	case len(text) > MaxList:
		return nil, ErrListSize
	case !utf8.Valid(text):
		return nil, errors.New("the list is not UTF-8")
	}
	l := &List{ids: map[string]bool{}}
	lines := bufio.NewScanner(bytes.NewReader(bytes.TrimPrefix(text, []byte("\ufeff"))))
	lines.Buffer(nil, len(text)+1)
	for n := 1; lines.Scan(); n++ {
		entry := strings.TrimSpace(lines.Text())
		if entry == "" || entry[0] == '#' {
			continue
		}
		if err := l.add(entry); err != nil {
			return nil, fmt.Errorf("line %d: %q: %w", n, entry, err)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	l.prefixes = minimal(l.prefixes)
	return l, nil
}

// add reads one entry.
func (l *List) add(entry string) error {
	form, rest, found := strings.Cut(entry, ":")
	switch {
	case !found:
		return l.addID(entry)
	case form == "id":
		return l.addID(rest)
	case form == "prefix":
		if err := iot.ValidateID(rest); err != nil {
			return fmt.Errorf("no id begins so: it %w", err)
		}
		l.prefixes = append(l.prefixes, rest)
	case form == "glob":
		return l.addGlob(rest)
	case form == "cidr":
		return l.addNetwork(rest)
	case slices.Contains(forms, strings.ToLower(form)):
		return fmt.Errorf("%s: is not a form; an id that begins so is written id:%s", form, entry)
	default:
		return l.addID(entry)
	}
	return nil
}

// forms are words that are, or could be meant as, the name of a form. An id such as
// 00:1b:44 begins with none.
var forms = []string{"id", "ids", "exact", "prefix", "prefixes", "glob", "pattern", "regex", "regexp", "range", "cidr", "ip", "net", "network"}

func (l *List) addID(id string) error {
	if err := iot.ValidateID(id); err != nil {
		return fmt.Errorf("no id is so: it %w", err)
	}
	l.ids[id] = true
	return nil
}

func (l *List) addGlob(pattern string) error {
	if pattern == "" {
		return errors.New("the pattern is empty")
	}
	if i := strings.IndexAny(pattern, "/\\ \t"); i >= 0 {
		return fmt.Errorf("no id has a %q in it", pattern[i])
	}
	if _, err := path.Match(pattern, ""); err != nil {
		return errors.New("a bracket has no end, or nothing in it")
	}
	l.globs = append(l.globs, pattern)
	return nil
}

func (l *List) addNetwork(text string) error {
	network, err := netip.ParsePrefix(text)
	switch {
	case err != nil:
		return errors.New("is not a network such as 10.1.0.0/16")
	case network != network.Masked():
		return fmt.Errorf("has digits behind its %d bits: write %s", network.Bits(), network.Masked())
	}
	l.networks = append(l.networks, network)
	return nil
}

// minimal sorts prefixes and leaves out those that begin with another.
func minimal(prefixes []string) []string {
	slices.Sort(prefixes)
	kept := prefixes[:0]
	for _, p := range prefixes {
		if len(kept) == 0 || !strings.HasPrefix(p, kept[len(kept)-1]) {
			kept = append(kept, p)
		}
	}
	return kept
}

// Find tells how an id stands in the list. What is no id is in no list.
func (l *List) Find(id string) Listing {
	switch {
	case iot.ValidateID(id) != nil:
		return Unlisted
	case l.ids[id]:
		return ByID
	case l.hasPrefix(id), l.hasGlob(id), l.hasNetwork(id):
		return ByPattern
	}
	return Unlisted
}

func (l *List) hasPrefix(id string) bool {
	// The only candidate is the last that sorts before id, as none is a prefix of
	// another.
	i, found := slices.BinarySearch(l.prefixes, id)
	return found || i > 0 && strings.HasPrefix(id, l.prefixes[i-1])
}

func (l *List) hasGlob(id string) bool {
	for _, pattern := range l.globs {
		if matched, err := path.Match(pattern, id); err == nil && matched {
			return true
		}
	}
	return false
}

func (l *List) hasNetwork(id string) bool {
	if len(l.networks) == 0 {
		return false
	}
	addr, err := netip.ParseAddr(id)
	if err != nil || addr.Zone() != "" || addr.String() != id {
		return false // not an address, or written in another way than addresses are
	}
	for _, network := range l.networks {
		if network.Contains(addr) {
			return true
		}
	}
	return false
}

// Len is the number of entries, without those that others make superfluous.
func (l *List) Len() int {
	return len(l.ids) + len(l.prefixes) + len(l.globs) + len(l.networks)
}
