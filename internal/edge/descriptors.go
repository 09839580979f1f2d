package edge

// maxConns is how many connections are served at a time, and reserved how many
// descriptors are kept for what must never want one: the spool and the sessions
// (at most 256 and 32 files and some logs), the uplink (64 connections).
const (
	maxConns = 20_000
	reserved = 512
)

// connLimit is how many connections fit in a number of descriptors; 0 is unknown.
func connLimit(descriptors uint64) int {
	switch {
	case descriptors == 0 || descriptors >= maxConns+reserved:
		return maxConns
	case descriptors < 2*reserved:
		return int(descriptors / 2)
	}
	return int(descriptors - reserved)
}

// perListener is how many connections a listener may have, so that there are
// descriptors for all of them.
func perListener() int { return connLimit(descriptors() / 3) }
