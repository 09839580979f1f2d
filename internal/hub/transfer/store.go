package transfer

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"sluice/internal/hub/blob"
	"sluice/internal/hub/code"
	"sluice/internal/hub/storage"
	"sluice/internal/service"
	"sluice/iot"
)

// Types and states of jobs, in IoT Hub's words.
const (
	Export = "export"
	Import = "import"

	enqueued  = "enqueued"
	running   = "running"
	completed = "completed"
	failed    = "failed"
	cancelled = "cancelled"
)

// maxKept is how many jobs that have ended are kept.
const maxKept = 100

// jobKind is the kind of keys.
const jobKind = 'x'

// Options are the knobs of a Store. The zero value is good.
type Options struct {
	Client *http.Client     // that reaches blobs; nil: http.DefaultClient
	Now    func() time.Time // wall clock; nil: time.Now
	Log    *slog.Logger     // nil discards
}

// A Store holds the jobs of one hub. Its methods may be called from any goroutine.
type Store struct {
	docs storage.Documents
	opt  Options
	wake chan struct{}

	mu   sync.Mutex
	jobs map[string]*job
}

type job struct {
	form       service.RegistryJob
	identities Identities
	stop       context.CancelCauseFunc // of its run; nil if it does not run
	over       chan struct{}           // closed when nothing is done for it any more
}

func (j *job) ended() bool { return j.form.Status != enqueued && j.form.Status != running }

// Open reads the jobs that are in docs.
func Open(docs storage.Documents, opt Options) (*Store, error) {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	s := &Store{docs: docs, opt: opt, wake: make(chan struct{}, 1), jobs: map[string]*job{}}
	if err := s.load(); err != nil {
		return nil, fmt.Errorf("open registry jobs: %w", err)
	}
	for _, j := range s.jobs {
		if j.ended() {
			continue
		}
		s.end(j, failed, "the hub was stopped before the job had ended")
		if err := s.put(j); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *Store) load() error {
	return s.docs.Scan([]byte{jobKind}, []byte{jobKind + 1}, func(key, value []byte) (bool, error) {
		j := &job{}
		if err := json.Unmarshal(value, &j.form); err != nil {
			return false, fmt.Errorf("key %q: %w", key, err)
		}
		s.jobs[j.form.JobID] = j
		return true, nil
	})
}

func keyOf(id string) []byte { return append([]byte{jobKind}, id...) }

// put stores a job as it is now. s.mu is held, or the store is being opened.
func (s *Store) put(j *job) error {
	value, err := json.Marshal(j.form)
	if err == nil {
		err = s.docs.Write(storage.Batch{{Key: keyOf(j.form.JobID), Value: value}})
	}
	if err != nil {
		return &iot.Error{Kind: iot.Internal, Op: "job", Detail: "could not be stored", Err: err}
	}
	return nil
}

// Create adds a job that moves identities, and returns it as it was stored. Errors
// carry a [code.Code]: ArgumentInvalid, BlobContainerInvalid, or JobQuotaExceeded while
// another has not ended.
func (s *Store) Create(form service.RegistryJob, identities Identities) (service.RegistryJob, error) {
	if err := s.complete(&form); err != nil {
		return form, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, j := range s.jobs {
		if !j.ended() {
			return form, code.Errorf(code.JobQuotaExceeded, "job", iot.Identity{}, "job '%s' has not ended, and there is one at a time", j.form.JobID)
		}
	}
	if err := s.prune(); err != nil {
		return form, err
	}
	j := &job{form: form, identities: identities, over: make(chan struct{})}
	if err := s.put(j); err != nil {
		return form, err
	}
	s.jobs[form.JobID] = j
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return form, nil
}

// complete checks a job and fills in what only the hub can know.
func (s *Store) complete(form *service.RegistryJob) error {
	now := service.Time{Time: s.opt.Now().UTC()}
	form.JobID, form.Status, form.Progress, form.FailureReason = rand.Text(), enqueued, 0, ""
	form.StartTime, form.EndTime = &now, nil
	switch {
	case form.Type != Export && form.Type != Import:
		return code.Errorf(code.ArgumentInvalid, "job", iot.Identity{}, "type %.40q: it is %s or %s", form.Type, Export, Import)
	case form.StorageAuthentication == "IdentityBased":
		return code.Errorf(code.ArgumentInvalid, "job", iot.Identity{}, "Azure's identities are not known here: bring an address with a shared access signature")
	case form.IncludeConfigurations:
		return code.Errorf(code.ArgumentInvalid, "job", iot.Identity{}, "configurations are not exported or imported")
	}
	form.OutputBlob = cmp.Or(form.OutputBlob, map[string]string{Export: "devices.txt", Import: "importErrors.log"}[form.Type])
	if form.Type == Import {
		form.InputBlob = cmp.Or(form.InputBlob, "devices.txt")
		if err := checkContainer("input", form.InputContainer); err != nil {
			return err
		}
	}
	return checkContainer("output", form.OutputContainer)
}

func checkContainer(which, address string) error {
	if _, err := blob.Open(address, nil); err != nil {
		return code.Errorf(code.BlobContainerInvalid, "job", iot.Identity{}, "%sBlobContainerUri: %v", which, err)
	}
	return nil
}

// prune removes the oldest job, if there are too many. s.mu is held.
func (s *Store) prune() error {
	if len(s.jobs) < maxKept {
		return nil
	}
	list := s.list()
	id := list[0].JobID
	if err := s.docs.Note(storage.Batch{{Key: keyOf(id)}}); err != nil {
		return &iot.Error{Kind: iot.Internal, Op: "job", Err: err}
	}
	delete(s.jobs, id)
	return nil
}

// list lists the jobs, the oldest first. s.mu is held.
func (s *Store) list() []service.RegistryJob {
	list := make([]service.RegistryJob, 0, len(s.jobs))
	for _, j := range s.jobs {
		list = append(list, j.form)
	}
	slices.SortFunc(list, func(a, b service.RegistryJob) int {
		return cmp.Or(a.StartTime.Compare(b.StartTime.Time), cmp.Compare(a.JobID, b.JobID))
	})
	return list
}

// List lists the jobs, the oldest first.
func (s *Store) List() []service.RegistryJob {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.list()
}

// Get returns a job. The error has the code JobNotFound.
func (s *Store) Get(id string) (service.RegistryJob, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if j := s.jobs[id]; j != nil {
		return j.form, nil
	}
	return service.RegistryJob{}, code.Errorf(code.JobNotFound, "job", iot.Identity{}, "there is no job '%.130s'", id)
}

var errCancelled = errors.New("cancelled")

// Cancel ends a job, and returns it as it is then. One that has ended is left as it is.
// The error has the code JobNotFound.
func (s *Store) Cancel(id string) (service.RegistryJob, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	j := s.jobs[id]
	switch {
	case j == nil:
		return service.RegistryJob{}, code.Errorf(code.JobNotFound, "job", iot.Identity{}, "there is no job '%.130s'", id)
	case j.ended():
		return j.form, nil
	}
	s.end(j, cancelled, "")
	if j.stop != nil {
		j.stop(errCancelled)
	} else {
		close(j.over)
	}
	return j.form, s.put(j)
}

// end makes a job one that has ended. s.mu is held, or the store is being opened.
func (s *Store) end(j *job, status, reason string) {
	now := service.Time{Time: s.opt.Now().UTC()}
	j.form.Status, j.form.FailureReason, j.form.EndTime = status, reason, &now
}
