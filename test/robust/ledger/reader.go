package ledger

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Place is where an event stands: a file and its line, from 1.
type Place struct {
	File string
	Line int
}

// String is file:line, with the file's base name.
func (p Place) String() string { return fmt.Sprintf("%s:%d", filepath.Base(p.File), p.Line) }

// Read calls visit for each event of the ledger at path, in order. It returns
// how many lines a crash has torn; see the package's description of the file.
func Read(path string, visit func(Place, Event) error) (torn int, err error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, fmt.Errorf("read ledger: %w", err)
	}
	defer file.Close() // read-only
	return read(file, path, visit)
}

func read(r io.Reader, path string, visit func(Place, Event) error) (torn int, err error) {
	lines := bufio.NewReader(r)
	tornBefore := false
	for place := (Place{path, 1}); ; place.Line++ {
		line, end := lines.ReadString('\n')
		if end != nil && end != io.EOF {
			return torn, fmt.Errorf("read ledger: %w", end)
		}
		if line == "" {
			return torn, nil
		}
		e, bad := parseLine(strings.TrimSuffix(line, "\n"))
		if end == io.EOF {
			bad = errTorn // even if all but its newline was written
		}
		switch {
		case errors.Is(bad, errTorn):
			torn++
		case bad == nil && tornBefore && e.Kind != Opened:
			return torn, fmt.Errorf("ledger %s: the line before is damaged, and not by a crash", place)
		case bad != nil:
			return torn, fmt.Errorf("ledger %s: %w", place, bad)
		default:
			if err := visit(place, e); err != nil {
				return torn, fmt.Errorf("ledger %s: %w", place, err)
			}
		}
		tornBefore = bad != nil
	}
}
