package operate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"

	"sluice/internal/gateway"
	"sluice/internal/spool"
	"sluice/iot"
)

// A Desk answers for a gateway. Gateway and Spool are required.
type Desk struct {
	// Modules answers GET /modules and what is below; nil if none run here.
	Modules http.Handler

	Gateway *gateway.Gateway
	Spool   *spool.Store
	Began   time.Time // when the gateway did
}

// Bounds of a request.
const (
	maxBody    = 1 << 20
	maxLetters = 1000 // dead letters in one answer
	maxHeader  = 16 << 10
	readHeader = 10 * time.Second
	stopGrace  = time.Second
	maxWait    = 5 * time.Minute // for a command to be settled
)

// Handler answers the requests of this package's comment.
func (d *Desk) Handler() http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, answer func(*http.Request) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			r.Body = http.MaxBytesReader(w, r.Body, maxBody)
			v, err := answer(r)
			reply(w, v, err)
		})
	}
	handle("GET /v1/status", d.status)
	handle("GET /v1/members", func(*http.Request) (any, error) { return d.Gateway.Members(), nil })
	handle("GET /v1/twin", d.twin)
	handle("POST /v1/override", d.override)
	handle("POST /v1/method", d.method)
	handle("POST /v1/command", d.command)
	handle("GET /v1/queues", func(*http.Request) (any, error) { return d.Gateway.Queues() })
	handle("POST /v1/purge", d.purge)
	handle("GET /v1/dead", d.dead)
	handle("GET /v1/dead/{seq}", d.letter)
	handle("POST /v1/dead/retry", d.retry)
	handle("POST /v1/dead/drop", d.drop)
	if d.Modules != nil {
		mux.Handle("/v1/modules", http.StripPrefix("/v1", d.Modules))
		mux.Handle("/v1/modules/", http.StripPrefix("/v1", d.Modules))
	}
	return mux
}

// Serve answers on l until ctx ends, and closes it. Methods that are being called
// then end with ctx too.
func (d *Desk) Serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler: d.Handler(), ReadHeaderTimeout: readHeader, MaxHeaderBytes: maxHeader,
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		grace, done := context.WithTimeout(context.WithoutCancel(ctx), stopGrace)
		defer done()
		if server.Shutdown(grace) != nil {
			_ = server.Close() // they have had their time
		}
	})
	err := server.Serve(l)
	if stop() {
		return fmt.Errorf("operate: %w", err)
	}
	<-stopped
	return nil
}

func reply(w http.ResponseWriter, v any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		w.WriteHeader(statusOf(err))
		v = failure{textOf(err)}
	}
	_ = json.NewEncoder(w).Encode(v) // who asked may have left
}

func statusOf(err error) int {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return iot.TooLarge.HTTPStatus()
	case errors.Is(err, spool.ErrNotFound):
		return iot.NotFound.HTTPStatus()
	}
	return iot.KindOf(err).HTTPStatus()
}

// textOf is what a person is told: who and why, without the kind, which is in the
// status.
func textOf(err error) string {
	var e *iot.Error
	switch {
	case !errors.As(err, &e) || e.Detail == "":
		return err.Error()
	case e.Identity.IsZero():
		return e.Detail
	}
	return e.Identity.String() + ": " + e.Detail
}

func invalid(format string, args ...any) error {
	return iot.Errorf(iot.Invalid, "operate", iot.Identity{}, format, args...)
}

func (d *Desk) status(*http.Request) (any, error) {
	stats, dead := d.Spool.Stats(), d.Spool.DeadStats()
	s := Status{
		Summary: d.Gateway.Summary(), Began: d.Began, Bytes: stats.Bytes, DiskBytes: stats.Disk, Refusing: stats.Refusing,
		DeadLetters: dead.Letters, DeadDropped: dead.Dropped,
	}
	for _, q := range d.Spool.Queues() {
		s.Waiting += q.Stats().Records
	}
	return s, nil
}

func idOf(r *http.Request) (iot.Identity, error) {
	id, err := iot.ParseIdentity(r.FormValue("id"))
	if err != nil {
		return id, invalid("id: %v", err)
	}
	return id, nil
}

func (d *Desk) twin(r *http.Request) (any, error) {
	id, err := idOf(r)
	if err != nil {
		return nil, err
	}
	return d.Gateway.Twin(r.Context(), id)
}

// override changes what a device sees of its desired properties; an empty body, or
// null, ends it.
func (d *Desk) override(r *http.Request) (any, error) {
	id, err := iot.ParseIdentity(r.URL.Query().Get("id"))
	if err != nil {
		return nil, invalid("id: %v", err)
	}
	var patch json.RawMessage
	if err := decode(r, &patch); err != nil {
		return nil, err
	}
	if string(patch) == "null" {
		patch = nil
	}
	return done{N: 1}, d.Gateway.Override(r.Context(), id, patch)
}

func (d *Desk) method(r *http.Request) (any, error) {
	id, err := iot.ParseIdentity(r.URL.Query().Get("id"))
	if err != nil {
		return nil, invalid("id: %v", err)
	}
	var c call
	if err := decode(r, &c); err != nil {
		return nil, err
	}
	result, err := d.Gateway.Invoke(r.Context(), id, iot.MethodCall{
		Name: c.Name, Payload: c.Payload,
		ResponseTimeout: seconds(c.ResponseTimeout), ConnectTimeout: seconds(c.ConnectTimeout),
	})
	return Result{result.Status, result.Payload}, err
}

// command answers when the command is settled, or its time is over.
func (d *Desk) command(r *http.Request) (any, error) {
	id, err := iot.ParseIdentity(r.URL.Query().Get("id"))
	if err != nil {
		return nil, invalid("id: %v", err)
	}
	var c command
	if err := decode(r, &c); err != nil {
		return nil, err
	}
	m, err := c.message()
	if err != nil {
		return nil, err
	}
	timeout := seconds(c.Timeout)
	if timeout <= 0 || timeout > maxWait {
		return nil, invalid("timeout must be above 0 and at most %v", maxWait)
	}
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	outcome, err := d.Gateway.Command(ctx, id, m)
	return settled{outcomes[outcome]}, err
}

func (c *command) message() (iot.Message, error) {
	m := iot.Message{Body: c.Body}
	for _, name := range slices.Sorted(maps.Keys(c.System)) {
		system, ok := iot.ParseSystemName(name)
		if !ok {
			return m, invalid("there is no system property %q", name)
		}
		m.System.Set(system, c.System[name])
	}
	for _, name := range slices.Sorted(maps.Keys(c.Properties)) {
		m.Properties.Set(name, c.Properties[name])
	}
	return m, nil
}

// outcomes are the words for how a command was settled.
var outcomes = map[iot.Outcome]string{iot.Complete: "completed", iot.Abandon: "abandoned", iot.Reject: "rejected"}

func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }

func decode(r *http.Request, v any) error {
	body := json.NewDecoder(r.Body)
	body.DisallowUnknownFields()
	err := body.Decode(v)
	var tooLarge *http.MaxBytesError
	if err != nil && !errors.As(err, &tooLarge) {
		return invalid("body: %v", err)
	}
	return err
}

func (d *Desk) purge(r *http.Request) (any, error) {
	n, err := d.Gateway.Purge(r.URL.Query().Get("queue"))
	return done{N: n}, err
}

func (d *Desk) dead(r *http.Request) (any, error) {
	after, n := uint64(0), maxLetters
	var err error
	if s := r.FormValue("after"); s != "" {
		if after, err = strconv.ParseUint(s, 10, 64); err != nil {
			return nil, invalid("after: %v", err)
		}
	}
	if s := r.FormValue("max"); s != "" {
		if n, err = strconv.Atoi(s); err != nil || n < 1 {
			return nil, invalid("max: %q is not a number above 0", s)
		}
	}
	found, err := d.Spool.DeadLetters(after, min(n, maxLetters))
	if err != nil {
		return nil, err
	}
	list := make([]DeadLetter, 0, len(found))
	for _, letter := range found {
		list = append(list, letterOf(letter))
	}
	return list, nil
}

func (d *Desk) letter(r *http.Request) (any, error) {
	seq, err := strconv.ParseUint(r.PathValue("seq"), 10, 64)
	if err != nil {
		return nil, invalid("%q is not the number of a dead letter", r.PathValue("seq"))
	}
	if seq > 0 {
		found, err := d.Spool.DeadLetters(seq-1, 1)
		if err != nil {
			return nil, err
		}
		if len(found) == 1 && found[0].Seq == seq {
			return letterOf(found[0]), nil
		}
	}
	return nil, spool.ErrNotFound
}

// retry reports both how many were sent again and what stopped it.
func (d *Desk) retry(r *http.Request) (any, error) {
	var l letters
	if err := decode(r, &l); err != nil {
		return nil, err
	}
	n, err := d.Gateway.Retry(l.Letters...)
	if n == 0 || err == nil {
		return done{N: uint64(n)}, err
	}
	return done{N: uint64(n), Error: err.Error()}, nil
}

func (d *Desk) drop(r *http.Request) (any, error) {
	var l letters
	if err := decode(r, &l); err != nil {
		return nil, err
	}
	return done{N: uint64(len(l.Letters))}, d.Gateway.Drop(l.Letters...)
}
