package ledger

import (
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
	"time"
)

// Kind says what happened.
type Kind string

// The kinds of events.
const (
	Opened       Kind = "opened"       // a writer opened the file; written by [Open]
	Sent         Kind = "sent"         // about to be sent; once for each attempt
	Acknowledged Kind = "acknowledged" // the system answered for it
	Refused      Kind = "refused"      // the system said that it did not take it
	Unknown      Kind = "unknown"      // the connection ended before an answer
	Received     Kind = "received"
	Fault        Kind = "fault" // the system was killed, stopped, cut off or healed
)

// Event is one line of a ledger.
type Event struct {
	Time time.Time // set by the writer if zero; microseconds are kept
	Kind Kind

	// Sender is the identity that sent the message, as the message itself
	// says; of a fault, what was done, such as "kill:gateway".
	Sender string
	Seq    uint64 // counts the messages of a sender
	Hash   uint64 // of the body, see [Hash]; in Sent and Received

	// Endpoints are where a message that was sent has to arrive, and the one
	// where it was received. Order is judged within one: messages of different
	// priorities, which may overtake each other, need endpoints of their own.
	Endpoints []string
	As        string    // in Received: the identity under which it came
	Expires   time.Time // in Sent: after this it need not arrive; zero for never
}

const (
	columns    = 9
	timeLayout = "2006-01-02T15:04:05.000000Z"
	absent     = "-"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errTorn is what a line has that does not carry its own checksum.
var errTorn = errors.New("line is torn")

// appendLine appends e as one line. It fails if a name cannot be a column.
func appendLine(b []byte, e Event) ([]byte, error) {
	endpoints := strings.Join(e.Endpoints, ",")
	for _, name := range append([]string{string(e.Kind), e.Sender, e.As}, e.Endpoints...) {
		if strings.ContainsAny(name, " \n,") || name == absent {
			return b, fmt.Errorf("%q cannot be written to a ledger", name)
		}
	}
	start := len(b)
	b = e.Time.UTC().AppendFormat(b, timeLayout)
	for _, column := range [...]string{
		string(e.Kind), e.Sender, strconv.FormatUint(e.Seq, 10), fmt.Sprintf("%016x", e.Hash),
		endpoints, e.As, formatTime(e.Expires),
	} {
		b = append(b, ' ')
		if column == "" {
			column = absent
		}
		b = append(b, column...)
	}
	return fmt.Appendf(b, " %08x\n", crc32.Checksum(b[start:], castagnoli)), nil
}

func formatTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(timeLayout)
}

// parseLine reads what appendLine wrote, without the newline.
func parseLine(line string) (Event, error) {
	cut := strings.LastIndexByte(line, ' ')
	if cut < 0 || line[cut+1:] != fmt.Sprintf("%08x", crc32.Checksum([]byte(line[:cut]), castagnoli)) {
		return Event{}, errTorn
	}
	column := strings.Split(line, " ")
	if len(column) != columns {
		return Event{}, fmt.Errorf("%d columns, want %d", len(column), columns)
	}
	for i, c := range column {
		if c == absent {
			column[i] = ""
		}
	}
	return parseColumns(column)
}

func parseColumns(column []string) (e Event, err error) {
	e = Event{Kind: Kind(column[1]), Sender: column[2], As: column[6]}
	if column[5] != "" {
		e.Endpoints = strings.Split(column[5], ",")
	}
	var errs [4]error
	e.Time, errs[0] = time.Parse(timeLayout, column[0])
	e.Seq, errs[1] = strconv.ParseUint(column[3], 10, 64)
	e.Hash, errs[2] = strconv.ParseUint(column[4], 16, 64)
	if column[7] != "" {
		e.Expires, errs[3] = time.Parse(timeLayout, column[7])
	}
	return e, errors.Join(errs[:]...)
}
