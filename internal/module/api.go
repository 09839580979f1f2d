package module

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// A Details is a module as [Runtime.Handler] tells of it: the form of IoT Edge's
// management API, and a little more.
type Details struct {
	ID     string        `json:"id"`
	Name   string        `json:"name"`
	Type   string        `json:"type"`
	Config DetailsConfig `json:"config"`
	Status DetailsStatus `json:"status"`
}

// DetailsConfig is what a module is.
type DetailsConfig struct {
	Settings struct {
		Image string `json:"image"`
	} `json:"settings"`
	Env []struct{} `json:"env"` // empty: variables may be secrets
}

// DetailsStatus is how a module is.
type DetailsStatus struct {
	StartTime  *time.Time   `json:"startTime,omitempty"`
	ExitStatus *DetailsExit `json:"exitStatus,omitempty"`
	Runtime    struct {
		Status      State  `json:"status"`
		Description string `json:"description,omitempty"`
	} `json:"runtimeStatus"`
	PID      int `json:"pid,omitempty"`
	Restarts int `json:"restartCount"`
}

// DetailsExit is how a module last ended.
type DetailsExit struct {
	ExitTime   time.Time `json:"exitTime"`
	StatusCode string    `json:"statusCode"`
}

func (s *Status) details() Details {
	d := Details{ID: "id", Name: s.Spec.Name, Type: s.Spec.Type}
	d.Config.Settings.Image = s.Spec.Image
	d.Config.Env = []struct{}{}
	d.Status.PID, d.Status.Restarts = s.PID, s.Restarts
	d.Status.Runtime.Status, d.Status.Runtime.Description = s.State, s.Description
	if !s.Started.IsZero() {
		at := s.Started.UTC().Round(0)
		d.Status.StartTime = &at
	}
	if !s.Exited.IsZero() {
		d.Status.ExitStatus = &DetailsExit{s.Exited.UTC().Round(0), strconv.Itoa(s.ExitCode)}
	}
	return d
}

// Handler serves the operator: GET /modules, POST /modules/{m}/restart, and GET
// /modules/{m}/logs with the parameters tail (a number or all), since (RFC 3339, or a
// duration before now), follow and timestamps. It asks nobody for a name: what it is
// served on must be for the operator alone.
func (r *Runtime) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /modules", func(w http.ResponseWriter, _ *http.Request) {
		list := []Details{}
		for _, s := range r.List() {
			list = append(list, s.details())
		}
		respond(w, http.StatusOK, map[string]any{"modules": list})
	})
	mux.HandleFunc("POST /modules/{module}/restart", func(w http.ResponseWriter, q *http.Request) {
		if err := r.Restart(q.Context(), q.PathValue("module")); err != nil {
			refuse(w, err)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET /modules/{module}/logs", r.serveLogs)
	return mux
}

func respond(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client has gone, then
}

// ErrQuery is the answer to wrong parameters of a query for logs.
var ErrQuery = errors.New("invalid parameter")

func refuse(w http.ResponseWriter, err error) {
	status := http.StatusConflict
	switch {
	case errors.Is(err, ErrNoModule):
		status = http.StatusNotFound
	case errors.Is(err, ErrQuery):
		status = http.StatusBadRequest
	}
	respond(w, status, map[string]string{"message": err.Error()})
}

func (r *Runtime) serveLogs(w http.ResponseWriter, q *http.Request) {
	query, err := ParseLogQuery(q.FormValue("tail"), q.FormValue("since"), time.Now())
	query.Follow = q.FormValue("follow") == "true"
	if err != nil {
		refuse(w, err)
		return
	}
	u, err := r.unit(q.PathValue("module"))
	if err != nil {
		refuse(w, err)
		return
	}
	ctx, stop := context.WithCancel(q.Context())
	defer stop()
	defer context.AfterFunc(u.life, stop)()
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(http.StatusOK)
	stamps := q.FormValue("timestamps") == "true"
	out := http.NewResponseController(w)
	if err := out.Flush(); err != nil {
		return
	}
	err = u.book.read(ctx, query, func(l Line) error {
		text := l.Text + "\n"
		if stamps {
			text = l.Time.Format(stamp) + " " + text
		}
		if _, err := w.Write([]byte(text)); err != nil || !query.Follow {
			return err
		}
		return out.Flush()
	})
	if err != nil && ctx.Err() == nil {
		r.log.Warn("logs are not told", "module", u.name, "err", err)
		panic(http.ErrAbortHandler) // so that the client does not take them for whole
	}
}

// ParseLogQuery reads which lines are wanted: tail is a number of lines or all, since
// a time in RFC 3339 or a duration before now; either may be empty. The error is
// [ErrQuery].
func ParseLogQuery(tail, since string, now time.Time) (LogQuery, error) {
	q := LogQuery{Tail: -1}
	if tail != "" && tail != "all" {
		n, err := strconv.Atoi(tail)
		if err != nil || n < 0 {
			return q, fmt.Errorf("%w: tail: write a number of lines, or all", ErrQuery)
		}
		q.Tail = n
	}
	if since == "" {
		return q, nil
	}
	if d, err := time.ParseDuration(since); err == nil {
		q.Since = now.Add(-d)
	} else if q.Since, err = time.Parse(time.RFC3339, since); err != nil {
		return q, fmt.Errorf("%w: since: write a time like 2026-01-31T10:20:30Z, or a duration like 90m", ErrQuery)
	}
	return q, nil
}
