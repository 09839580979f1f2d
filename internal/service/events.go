package service

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"sluice/internal/hubevent"
	"sluice/iot"
)

// positionsHeader says where in each partition a stream of events begins.
const positionsHeader = "Sluice-Positions"

// silence is how long a stream may bring nothing before it is taken for dead: the
// hub sends an empty line every ten seconds.
const silence = 25 * time.Second

// maxEvent bounds an event's line, in bytes: a message of 256 KiB in JSON.
const maxEvent = 2 << 20

// EventQuery says which events are read. The zero value reads what is new, of all
// devices, and ends.
type EventQuery struct {
	From      string // start, latest, an RFC 3339 time, or partition:sequence,…; "" is latest
	Device    string // only of this device and its modules; "": of all
	Partition string // only of this partition; "": of all
	Follow    bool   // go on with what comes
}

// Events calls event for each event of a local hub, in the order of its
// partition. While it follows, a connection that is lost is reported to lost, if
// that is not nil, and made again; no event is missed or repeated then. It ends
// with ctx, with an error of event, when the hub refuses, when the first
// connection fails, or, without Follow, at the end of the log.
func (c *Client) Events(ctx context.Context, q EventQuery, event func(*hubevent.Event) error, lost func(error)) error {
	f := &follower{client: c, query: q, event: event}
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		before := f.seen
		err := f.follow(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case f.failed != nil:
			return f.failed
		case !q.Follow, f.at == nil, isRefusal(err):
			return err
		}
		if lost != nil {
			lost(err)
		}
		if f.seen != before {
			pause = firstPause
		}
		if err := c.pause(ctx, pause); err != nil {
			return err
		}
	}
}

func isRefusal(err error) bool {
	var r *Refusal
	return errors.As(err, &r) && r.Status < 500 && r.Status != http.StatusTooManyRequests
}

// A follower reads a stream, over several connections if need be.
type follower struct {
	client *Client
	query  EventQuery
	event  func(*hubevent.Event) error
	at     map[int]uint64 // next sequence number by partition; nil before the first connection
	seen   int            // events
	failed error          // of event
}

// follow reads one connection to its end.
func (f *follower) follow(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	alive := time.AfterFunc(silence, cancel)
	defer alive.Stop()
	resp, err := f.open(ctx)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end, or given up
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(make([]byte, 0, 64<<10), maxEvent)
	lines.Split(wholeLine)
	for lines.Scan() {
		alive.Reset(silence)
		if err := f.take(lines.Bytes()); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return f.client.broken(f.request(), err)
	}
	if f.query.Follow {
		return f.client.broken(f.request(), io.ErrUnexpectedEOF)
	}
	return nil
}

// wholeLine splits at the ends of lines. What has none was cut off with its
// connection, and comes again.
func wholeLine(data []byte, atEOF bool) (advance int, token []byte, err error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i], nil
	}
	if atEOF {
		return len(data), nil, nil
	}
	return 0, nil, nil
}

func (f *follower) request() *request {
	q := url.Values{"from": {f.from()}, "follow": {strconv.FormatBool(f.query.Follow)}}
	if f.query.Device != "" {
		q.Set("device", f.query.Device)
	}
	if f.query.Partition != "" {
		q.Set("partition", f.query.Partition)
	}
	return &request{op: "events", method: http.MethodGet, path: "/sluice/events", query: q}
}

// from is where the next connection begins.
func (f *follower) from() string {
	if f.at == nil {
		return f.query.From
	}
	var list []string
	for _, p := range slices.Sorted(maps.Keys(f.at)) {
		list = append(list, fmt.Sprintf("%d:%d", p, f.at[p]))
	}
	return strings.Join(list, ",")
}

func (f *follower) open(ctx context.Context) (*http.Response, error) {
	r := f.request()
	req, err := f.client.newRequest(ctx, r, nil)
	if err != nil {
		return nil, err
	}
	resp, err := f.client.http.Do(req)
	if err != nil {
		return nil, f.client.broken(r, err)
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()                                       //nolint:errcheck // given up
		answer, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer)) // as much as there is
		return nil, eventsRefusal(r, resp, answer)
	}
	if err := f.begin(resp.Header.Get(positionsHeader)); err != nil {
		_ = resp.Body.Close() // given up
		return nil, err
	}
	return resp, nil
}

// eventsRefusal explains a hub that has no such path.
func eventsRefusal(r *request, resp *http.Response, answer []byte) error {
	err := refusal(r, resp, answer)
	if resp.StatusCode == http.StatusNotFound {
		return fmt.Errorf("%w: only a Sluice hub streams its events; Azure IoT Hub's are read with \"az iot hub monitor-events\"", err)
	}
	return err
}

// begin notes where the stream begins.
func (f *follower) begin(positions string) error {
	at := map[int]uint64{}
	for _, part := range strings.Split(positions, ",") {
		p, n, _ := strings.Cut(part, ":")
		partition, err := strconv.Atoi(p)
		sequence, err2 := strconv.ParseUint(n, 10, 64)
		if err := errors.Join(err, err2); err != nil {
			return iot.Errorf(iot.Invalid, "events", iot.Identity{}, "%s is %q: this is not a Sluice hub", positionsHeader, positions)
		}
		at[partition] = sequence
	}
	f.at = at
	return nil
}

func (f *follower) take(line []byte) error {
	if len(bytes.TrimSpace(line)) == 0 {
		return nil // a sign of life
	}
	var e hubevent.Event
	if err := json.Unmarshal(line, &e); err != nil {
		f.failed = fmt.Errorf("events: the hub's answer is not an event: %w", err)
		return f.failed
	}
	f.at[e.Partition] = e.Sequence + 1
	f.seen++
	f.failed = f.event(&e)
	return f.failed
}
