package jobs

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"sluice/internal/hub/code"
	"sluice/internal/hub/storage"
	"sluice/internal/service"
	"sluice/iot"
)

// Limits of jobs.
const (
	MaxActive     = 100  // jobs that have not ended
	MaxEnded      = 1000 // jobs that have, and are kept
	defaultTime   = time.Hour
	maxTime       = 48 * time.Hour
	maxRunning    = 4    // jobs at once
	chunkSize     = 256  // devices of a job that are marked as running at once
	workers       = 32   // devices of a chunk that are served at once
	writtenAtOnce = 1000 // devices that are written down in one write
)

// Options are the knobs of a Store. The zero value is good.
type Options struct {
	Now func() time.Time // wall clock; nil: time.Now
	Log *slog.Logger     // nil discards
}

// A Store holds the jobs of one hub. Its methods may be called from any goroutine.
type Store struct {
	docs storage.Documents
	opt  Options
	wake chan struct{} // has an item when a job may be due

	mu   sync.Mutex // held over writes of jobs
	jobs map[string]*job
}

// A job is one in memory. The store's lock guards it.
type job struct {
	form   service.Job
	plan   plan
	stop   context.CancelCauseFunc // of its run; nil if it does not run
	listed bool                    // its devices are written down
}

// record is what is stored of a job.
type record struct {
	Job    service.Job `json:"job"`
	Listed bool        `json:"listed"`
}

// Open reads the jobs that are in docs.
func Open(docs storage.Documents, opt Options) (*Store, error) {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	s := &Store{docs: docs, opt: opt, wake: make(chan struct{}, 1), jobs: map[string]*job{}}
	if err := errors.Join(s.load(), s.settle()); err != nil {
		return nil, fmt.Errorf("open jobs: %w", err)
	}
	return s, nil
}

// settle ends the devices of jobs that had ended when the hub was stopped, before
// it could.
func (s *Store) settle() error {
	for _, j := range s.jobs {
		n := j.form.Statistics
		if !j.form.Ended() || n == nil || n.Pending+n.Running == 0 {
			continue
		}
		if err := errors.Join(s.giveUp(j, canceled, ""), s.put(nil, j)); err != nil {
			return err
		}
	}
	return nil
}

const (
	jobKind    = 'j'
	deviceKind = 'k'
)

func jobKey(id string) []byte { return append([]byte{jobKind}, id...) }

func (s *Store) load() error {
	return s.docs.Scan([]byte{jobKind}, []byte{jobKind + 1}, func(key, value []byte) (bool, error) {
		var r record
		if err := json.Unmarshal(value, &r); err != nil {
			return false, fmt.Errorf("key %q: %w", key, err)
		}
		p, err := parse(&r.Job)
		if err != nil {
			return false, fmt.Errorf("key %q: %w", key, err)
		}
		s.jobs[r.Job.JobID] = &job{form: r.Job, plan: p, listed: r.Listed}
		return true, nil
	})
}

// put stores a job as it is now, after what b holds and together with it. s.mu is
// held.
func (s *Store) put(b storage.Batch, j *job) error {
	value, err := json.Marshal(record{j.form, j.listed})
	if err == nil {
		b.Set(jobKey(j.form.JobID), value)
		err = s.docs.Write(b)
	}
	if err != nil {
		return unstored(err)
	}
	return nil
}

// Create adds a job, which is returned as it was stored, but as one that is
// queued: that is what a service is told, as in Azure, even of a job for later.
// Errors carry a [code.Code]: JobAlreadyExists, TooManyActiveJobs, ArgumentInvalid,
// ArgumentNull.
func (s *Store) Create(form service.Job) (service.Job, error) {
	now := s.now()
	p, err := parse(&form)
	if err != nil {
		return form, err
	}
	complete(&form, now)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.jobs[form.JobID] != nil:
		return form, code.Errorf(code.JobAlreadyExists, "job", iot.Identity{}, "there is a job '%s' already", form.JobID)
	case s.active() >= MaxActive:
		return form, code.Errorf(code.TooManyActiveJobs, "job", iot.Identity{}, "%d jobs have not ended, the limit", MaxActive)
	}
	var b storage.Batch
	gone := s.prune(&b)
	j := &job{form: form, plan: p}
	if err := s.put(b, j); err != nil {
		return form, err
	}
	for _, id := range gone {
		delete(s.jobs, id)
	}
	s.jobs[form.JobID] = j
	s.ring()
	form.Status = service.JobQueued
	return form, nil
}

// complete fills in what only the hub can know.
func complete(form *service.Job, now time.Time) {
	form.CreatedTime = service.Time{Time: now}
	form.EndTime, form.FailureReason, form.StatusMessage = nil, "", ""
	form.Statistics = &service.JobStatistics{}
	if form.MaxExecutionTime == 0 {
		form.MaxExecutionTime = int64(defaultTime / time.Second)
	}
	form.Status = service.JobQueued
	if form.StartTime.After(now) {
		form.Status = service.JobScheduled
	} else if form.StartTime.IsZero() {
		form.StartTime = form.CreatedTime
	}
}

// now is the time, as exactly as it is stored.
func (s *Store) now() time.Time { return s.opt.Now().UTC().Truncate(100) }

func (s *Store) active() (n int) {
	for _, j := range s.jobs {
		if !j.form.Ended() {
			n++
		}
	}
	return n
}

// prune removes the oldest jobs that ended, if there are too many, and returns
// their ids. s.mu is held.
func (s *Store) prune(b *storage.Batch) (gone []string) {
	var ended []*job
	for _, j := range s.jobs {
		if j.form.Ended() {
			ended = append(ended, j)
		}
	}
	if len(ended) < MaxEnded {
		return nil
	}
	byAge(ended)
	for _, j := range ended[:len(ended)-MaxEnded+1] {
		id := j.form.JobID
		from, to := devicesOf(id)
		b.Delete(jobKey(id))
		b.DeleteRange(from, to)
		gone = append(gone, id)
	}
	return gone
}

// byAge sorts jobs, the oldest first.
func byAge(list []*job) {
	slices.SortFunc(list, func(a, b *job) int {
		return cmp.Or(a.form.CreatedTime.Compare(b.form.CreatedTime.Time), cmp.Compare(a.form.JobID, b.form.JobID))
	})
}

// Get returns a job. The error has the code JobNotFound.
func (s *Store) Get(id string) (service.Job, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	j := s.jobs[id]
	if j == nil {
		return service.Job{}, notFound(id)
	}
	return j.shown(), nil
}

// shown is a copy that may be handed out.
func (j *job) shown() service.Job {
	form := j.form
	if form.Statistics != nil {
		n := *form.Statistics
		form.Statistics = &n
	}
	return form
}

// List returns at most limit jobs of this type and status, where "" is any, in the
// order of their ids, beginning after the id after.
func (s *Store) List(kind, status, after string, limit int) []service.Job {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []service.Job{}
	for _, j := range s.jobs {
		f := &j.form
		if f.JobID > after && (kind == "" || kind == f.Type) && (status == "" || status == f.Status) {
			list = append(list, j.shown())
		}
	}
	slices.SortFunc(list, func(a, b service.Job) int { return cmp.Compare(a.JobID, b.JobID) })
	return list[:min(limit, len(list))]
}

// Cancel ends a job. Methods that are being called are waited for no longer, and
// count as failed. Errors carry a [code.Code]: JobNotFound, or InvalidOperation if
// it has ended.
func (s *Store) Cancel(id string) (service.Job, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	j := s.jobs[id]
	switch {
	case j == nil:
		return service.Job{}, notFound(id)
	case j.form.Ended():
		return j.shown(), code.Errorf(code.InvalidOperation, "job", iot.Identity{}, "job '%s' has ended: it is %s", id, j.form.Status)
	}
	before := j.form.Status
	s.end(j, service.JobCancelled, "")
	if err := s.put(nil, j); err != nil {
		j.form.Status, j.form.EndTime = before, nil
		return j.shown(), err
	}
	if j.stop != nil {
		j.stop(errCancelled)
	}
	return j.shown(), nil
}

// end makes a job one that has ended. s.mu is held.
func (s *Store) end(j *job, status, reason string) {
	at := service.Time{Time: s.now()}
	j.form.Status, j.form.FailureReason, j.form.EndTime = status, reason, &at
}

// ring wakes Run.
func (s *Store) ring() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func notFound(id string) error {
	return code.Errorf(code.JobNotFound, "job", iot.Identity{}, "there is no job '%.130s'", id)
}

func unstored(err error) error {
	return &iot.Error{Kind: iot.Internal, Op: "job", Detail: "could not be stored", Err: err}
}
