package ledger

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// Breach is a way in which a promise was broken.
type Breach string

// The breaches, worst first. The package's description says what each means.
const (
	Lost          Breach = "lost"
	Phantom       Breach = "phantom"
	Corrupted     Breach = "corrupted"
	Misattributed Breach = "misattributed"
	Contradicted  Breach = "contradicted"
	Reordered     Breach = "reordered"
	Repeated      Breach = "repeated"
)

// Breaches are all breaches, worst first.
var Breaches = []Breach{Lost, Phantom, Corrupted, Misattributed, Contradicted, Reordered, Repeated}

// Violation is one message that a promise was broken for.
type Violation struct {
	Sender   string
	Seq      uint64
	Endpoint string
	Place    Place  // the receipt, or of what was lost, the sending
	Detail   string // what speaks against the system
}

// Report is what the ledgers of a run prove.
type Report struct {
	// Messages that were sent, and those by what their senders know.
	Messages, Acknowledged, Refused, Unknown int

	Received int // receipts, repeated ones included
	Expired  int // acknowledged, not received, and past their time
	InFlight int // repeated receipts that a fault excuses
	Resent   int // repeated receipts that the sender's repetition excuses
	Faults   int
	Torn     int // lines of ledgers torn by a crash of their writers

	Counts    map[Breach]int
	Offenders map[Breach][]Violation // the first of each

	limit int
}

func newReport(limit int) *Report {
	return &Report{Counts: map[Breach]int{}, Offenders: map[Breach][]Violation{}, limit: limit}
}

// OK reports that no promise was broken. It says nothing of how much was
// tried; look at the counts.
func (r *Report) OK() bool { return len(r.Counts) == 0 }

func (r *Report) add(b Breach, at *receipt, format string, args ...any) {
	r.Counts[b]++
	if len(r.Offenders[b]) < r.limit {
		v := Violation{at.sender, at.seq, at.endpoint, at.place, fmt.Sprintf(format, args...)}
		r.Offenders[b] = append(r.Offenders[b], v)
	}
}

// addText adds a violation that concerns no message in particular.
func (r *Report) addText(b Breach, format string, args ...any) {
	r.Counts[b]++
	r.Offenders[b] = append(r.Offenders[b], Violation{Detail: fmt.Sprintf(format, args...)})
}

// WriteTo writes the report for people: the verdict, the figures, and for each
// broken promise the first offenders.
func (r *Report) WriteTo(w io.Writer) (int64, error) {
	n, err := io.WriteString(w, r.String())
	return int64(n), err
}

// String is what [Report.WriteTo] writes.
func (r *Report) String() string {
	var b strings.Builder
	verdict := "every promise was kept"
	if !r.OK() {
		verdict = "PROMISES WERE BROKEN"
	}
	fmt.Fprintf(&b, "%s\n\n", verdict)
	fmt.Fprintf(&b, "%9d sent: %d acknowledged, %d refused, %d unknown\n", r.Messages, r.Acknowledged, r.Refused, r.Unknown)
	fmt.Fprintf(&b, "%9d received, of which repeated: %d in flight at a fault, %d sent again\n", r.Received, r.InFlight, r.Resent)
	fmt.Fprintf(&b, "%9d expired, %d faults, %d torn lines\n", r.Expired, r.Faults, r.Torn)
	for _, breach := range Breaches {
		if r.Counts[breach] > 0 {
			r.describe(&b, breach)
		}
	}
	return b.String()
}

func (r *Report) describe(b *strings.Builder, breach Breach) {
	fmt.Fprintf(b, "\n%9d %s\n", r.Counts[breach], breach)
	for _, v := range r.Offenders[breach] {
		if v.Sender == "" && v.Endpoint == "" {
			fmt.Fprintf(b, "          %s\n", v.Detail)
			continue
		}
		fmt.Fprintf(b, "          %s #%d at %s (%s): %s\n", v.Sender, v.Seq, v.Endpoint, v.Place, v.Detail)
	}
	if more := r.Counts[breach] - len(r.Offenders[breach]); more > 0 {
		fmt.Fprintf(b, "          and %d more\n", more)
	}
}

func clock(t time.Time) string { return t.UTC().Format("15:04:05.000") }
