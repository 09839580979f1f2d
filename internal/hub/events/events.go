// Package events streams a hub's event log over HTTP, one JSON event on a line,
// to whoever follows it: sluice monitor, a script with curl. It is Sluice's own;
// applications written for Azure use the Event Hubs-compatible endpoint.
//
// Query parameters, all optional:
//
//	from       start, latest (the default), an RFC 3339 time, or positions
//	           partition:sequence separated by commas
//	partition  only this one
//	device     only events of this device and its modules
//	follow     false ends the stream at the end of the log
//
// The header Sluice-Positions says where in each partition the stream begins, in
// the form of from. A client that adds up what it read can therefore go on, after
// a break, exactly where it was.
//
// An empty line comes when nothing else does, so that a connection that is dead
// is found out, by either side, within [Heartbeat].
package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"sluice/internal/hub/code"
	"sluice/internal/hub/storage"
	"sluice/internal/hubevent"
)

// PositionsHeader names the header that says where a stream begins.
const PositionsHeader = "Sluice-Positions"

// Heartbeat is how often something is written, at least.
const Heartbeat = 10 * time.Second

// writeTimeout is how long a reader may take nothing.
const writeTimeout = 30 * time.Second

// readAtOnce is how many events are read from the log at a time.
const readAtOnce = 500

// New returns the handler. It does not check who asks.
func New(log storage.Events) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q, err := parse(r.URL.Query(), log.Partitions())
		if err != nil {
			refuse(w, code.ArgumentInvalid, err)
			return
		}
		s := &stream{query: q, log: log, w: w, control: http.NewResponseController(w)}
		if err := s.open(); err != nil {
			refuse(w, code.ServerError, err)
			return
		}
		w.Header().Set("Content-Type", "application/x-ndjson")
		w.Header().Set(PositionsHeader, s.positions())
		w.WriteHeader(http.StatusOK)
		s.serve(r.Context())
	})
}

// refuse answers in the form of the service API.
func refuse(w http.ResponseWriter, c code.Code, err error) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("iothub-errorcode", c.String())
	w.WriteHeader(c.Kind().HTTPStatus())
	_ = json.NewEncoder(w).Encode(map[string]string{"Message": "ErrorCode:" + c.String() + ";" + err.Error()}) // the client may be gone
}

// A query is what a reader asked for.
type query struct {
	from   map[int]storage.Position // by partition
	device string
	follow bool
}

func parse(v url.Values, partitions int) (query, error) {
	q := query{device: v.Get("device"), follow: true}
	if f := v.Get("follow"); f != "" {
		follow, err := strconv.ParseBool(f)
		if err != nil {
			return q, fmt.Errorf("follow is %q: it must be true or false", f)
		}
		q.follow = follow
	}
	every, own, err := parseFrom(v.Get("from"))
	if err != nil {
		return q, err
	}
	q.from = map[int]storage.Position{}
	for p := range partitions {
		q.from[p] = every
	}
	for p, at := range own {
		if p < 0 || p >= partitions {
			return q, fmt.Errorf("from names partition %d: there are 0 to %d", p, partitions-1)
		}
		q.from[p] = at
	}
	return q, q.choose(v.Get("partition"), partitions)
}

// choose leaves one partition, if it is named.
func (q *query) choose(partition string, partitions int) error {
	if partition == "" {
		return nil
	}
	p, err := strconv.Atoi(partition)
	if err != nil || p < 0 || p >= partitions {
		return fmt.Errorf("partition is %q: there are 0 to %d", partition, partitions-1)
	}
	q.from = map[int]storage.Position{p: q.from[p]}
	return nil
}

// parseFrom reads where to begin: in every partition, and in some of them.
func parseFrom(text string) (every storage.Position, own map[int]storage.Position, err error) {
	switch text {
	case "", "latest":
		return storage.Latest(), nil, nil
	case "start":
		return storage.Earliest(), nil, nil
	}
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return storage.AtTime(t), nil, nil
	}
	own = map[int]storage.Position{}
	for _, part := range strings.Split(text, ",") {
		p, n, _ := strings.Cut(part, ":")
		partition, err1 := strconv.Atoi(p)
		sequence, err2 := strconv.ParseUint(n, 10, 64)
		if err1 != nil || err2 != nil {
			return every, nil, fmt.Errorf("from is %q: it must be start, latest, a time such as 2026-01-02T15:04:05Z, or partition:sequence,…", text)
		}
		own[partition] = storage.AtSequence(sequence)
	}
	return storage.Latest(), own, nil
}

// A stream is one answer under way.
type stream struct {
	query
	log     storage.Events
	w       http.ResponseWriter
	control *http.ResponseController
	readers map[int]storage.EventReader // by partition

	mu    sync.Mutex
	wrote time.Time
}

// open finds where to begin.
func (s *stream) open() error {
	s.readers = make(map[int]storage.EventReader, len(s.from))
	for p, from := range s.from {
		r, err := s.log.Reader(p, from)
		if err != nil {
			return err
		}
		s.readers[p] = r
	}
	return nil
}

func (s *stream) positions() string {
	var list []string
	for _, p := range slices.Sorted(maps.Keys(s.readers)) {
		list = append(list, fmt.Sprintf("%d:%d", p, s.readers[p].Next()))
	}
	return strings.Join(list, ",")
}

// serve writes until the reader is gone, the log closes or, without follow, all
// is said.
func (s *stream) serve(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if s.write(nil) != nil { // the headers, so that the reader knows it is heard
		return
	}
	var readers, beat sync.WaitGroup
	for _, r := range s.readers {
		readers.Go(func() {
			if s.read(ctx, r) != nil {
				cancel()
			}
		})
	}
	beat.Go(func() { s.beat(ctx, cancel) })
	readers.Wait()
	cancel()
	beat.Wait()
}

func (s *stream) read(ctx context.Context, reader storage.EventReader) error {
	for {
		events, err := s.next(ctx, reader)
		if err != nil || len(events) == 0 {
			return err
		}
		var lines []byte
		for i := range events {
			if lines, err = s.append(lines, &events[i]); err != nil {
				return err
			}
		}
		if err := s.write(lines); err != nil {
			return err
		}
	}
}

// next returns nothing at the end of the log, unless that is followed.
func (s *stream) next(ctx context.Context, reader storage.EventReader) ([]storage.Event, error) {
	if s.follow {
		return reader.Read(ctx, readAtOnce)
	}
	return reader.Poll(readAtOnce)
}

func (s *stream) append(lines []byte, e *storage.Event) ([]byte, error) {
	if s.device != "" && !strings.EqualFold(e.Message.Sender().Device, s.device) {
		return lines, nil
	}
	line, err := json.Marshal(form(e))
	if err != nil {
		return nil, err
	}
	return append(append(lines, line...), '\n'), nil
}

func form(e *storage.Event) hubevent.Event {
	out := hubevent.Event{
		Partition: e.Partition, Sequence: e.Sequence, Offset: e.Offset,
		Enqueued: e.Enqueued, Source: e.Source.String(),
	}
	out.Fill(&e.Message)
	return out
}

// write sends lines at once, one writer at a time.
func (s *stream) write(lines []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wrote = time.Now()
	deadline := s.control.SetWriteDeadline(s.wrote.Add(writeTimeout))
	if deadline != nil && !errors.Is(deadline, http.ErrNotSupported) {
		return deadline
	}
	if _, err := s.w.Write(lines); err != nil {
		return err
	}
	return s.control.Flush()
}

// beat writes an empty line when nothing was written for a while.
func (s *stream) beat(ctx context.Context, gone func()) {
	tick := time.NewTicker(Heartbeat / 2)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		s.mu.Lock()
		quiet := time.Since(s.wrote) >= Heartbeat/2
		s.mu.Unlock()
		if quiet && s.write([]byte("\n")) != nil {
			gone()
			return
		}
	}
}
