package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"sluice/internal/hub/code"
	"sluice/internal/hub/query"
	"sluice/internal/hub/storage"
	"sluice/internal/service"
	"sluice/internal/twin"
	"sluice/iot"
)

// Devices are what jobs are about. *hub.Hub is one.
type Devices interface {
	// Matching visits the identities that a query finds, in order.
	Matching(ctx context.Context, q *query.Query, visit func(iot.Identity) error) error
	InvokeMethod(ctx context.Context, target iot.Identity, call iot.MethodCall) (iot.MethodResult, error)
	PatchTwin(id iot.Identity, patch json.RawMessage, ifMatch string) (twin.Twin, error)
}

// Why a run ends early.
var (
	errCancelled = errors.New("cancelled")
	errTime      = errors.New("maxExecutionTimeInSeconds has passed")
)

// Run runs jobs as they become due until ctx ends. What it was doing then goes on
// when it is called again.
func (s *Store) Run(ctx context.Context, devices Devices) {
	var group sync.WaitGroup
	defer group.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-s.wake:
		}
		due, wait := s.due(ctx)
		for _, r := range due {
			r.devices = devices
			group.Go(r.run)
		}
		timer.Reset(wait)
	}
}

// lookEvery is how often jobs are looked at even if none is known to be due: the
// wall clock may be set.
const lookEvery = time.Minute

// due takes the jobs that are to be started, and tells how long it is to the next.
func (s *Store) due(ctx context.Context) (list []*run, wait time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, wait := s.now(), lookEvery
	var waiting []*job
	places := maxRunning
	for _, j := range s.jobs {
		switch {
		case j.stop != nil:
			places--
		case j.form.Ended():
		case j.form.StartTime.After(now):
			wait = min(wait, j.form.StartTime.Sub(now))
		default:
			waiting = append(waiting, j)
		}
	}
	byAge(waiting)
	for _, j := range waiting[:min(max(places, 0), len(waiting))] {
		r := &run{s: s, j: j}
		var cancel context.CancelCauseFunc
		r.ctx, cancel = context.WithCancelCause(ctx)
		j.stop = cancel
		list = append(list, r)
	}
	return list, wait
}

// A run is one job that runs.
type run struct {
	s       *Store
	j       *job
	devices Devices
	ctx     context.Context //nolint:containedctx // the run's lifetime
}

func (r *run) run() {
	ctx, cancel := context.WithTimeoutCause(r.ctx, r.j.plan.time, errTime)
	defer cancel()
	err := r.list(ctx)
	if err == nil {
		err = r.serve(ctx)
	}
	r.finish(ctx, err)
}

// finish notes how the run ended. One that was stopped with the hub goes on later.
func (r *run) finish(ctx context.Context, err error) {
	s, j := r.s, r.j
	stopped, cause := ctx.Err() != nil, context.Cause(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.ring() // there is a place for another
	j.stop(nil)
	j.stop = nil
	status, reason, rest := service.JobCompleted, "", ""
	switch {
	case errors.Is(cause, errCancelled):
		status, rest = j.form.Status, canceled
	case errors.Is(cause, errTime):
		status, reason, rest = service.JobFailed, errTime.Error(), failed
	case stopped:
		return // with the hub
	case err != nil:
		s.opt.Log.Error("a job failed", "job", j.form.JobID, "err", err)
		status, reason, rest = service.JobFailed, "the hub could not run it; its log says why", failed
	}
	if rest != "" {
		if err := s.giveUp(j, rest, reason); err != nil {
			s.opt.Log.Error("what became of a job's devices could not be stored", "job", j.form.JobID, "err", err)
		}
	}
	if !j.form.Ended() {
		s.end(j, status, reason)
	}
	if err := s.put(nil, j); err != nil {
		s.opt.Log.Error("the end of a job could not be stored", "job", j.form.JobID, "err", err)
	}
}

// giveUp ends the devices of a job that have not been served. s.mu is held.
func (s *Store) giveUp(j *job, state, reason string) error {
	lower, upper := devicesOf(j.form.JobID)
	for lower != nil {
		list, next, err := s.read(lower, upper, writtenAtOnce, pending, running)
		if err != nil {
			return err
		}
		var b storage.Batch
		for i := range list {
			s.close(&list[i], state, code.InvalidOperation, reason)
			err = errors.Join(err, setDevice(&b, &list[i]))
		}
		if err == nil {
			err = s.docs.Note(b) // the job's own write is durable, and comes after
		}
		if err != nil {
			return err
		}
		j.form.Statistics.Pending -= len(list)
		if state == failed {
			j.form.Statistics.Failed += len(list)
		}
		lower = next
	}
	j.form.Statistics.Pending, j.form.Statistics.Running = 0, 0
	return nil
}

// list writes down the devices of the job, if that has not been done. A list that
// was begun before a crash is made anew.
func (r *run) list(ctx context.Context) error {
	s, j := r.s, r.j
	if j.listed {
		return r.recover()
	}
	now := service.Time{Time: s.now()}
	var b storage.Batch
	b.DeleteRange(devicesOf(j.form.JobID))
	n := 0
	err := r.devices.Matching(ctx, j.plan.targets, func(id iot.Identity) error {
		d := service.DeviceJob{
			DeviceID: id.Device, ModuleID: id.Module, JobID: j.form.JobID, JobType: j.form.Type,
			Status: pending, CreatedTime: now, UpdatedTime: now,
		}
		n++
		if err := setDevice(&b, &d); err != nil || len(b) < writtenAtOnce {
			return err
		}
		whole := b
		b = nil
		return s.docs.Note(whole)
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	j.listed = true
	if !j.form.Ended() {
		j.form.Status = service.JobRunning
	}
	j.form.Statistics = &service.JobStatistics{Devices: n, Pending: n}
	return s.put(b, j)
}

// recover settles what was running when the hub stopped.
func (r *run) recover() error {
	s, j := r.s, r.j
	lower, upper := devicesOf(j.form.JobID)
	for lower != nil {
		list, next, err := s.read(lower, upper, chunkSize, running)
		if err != nil {
			return err
		}
		for i := range list {
			d := &list[i]
			if j.plan.method == nil {
				d.Status = pending
			} else {
				s.close(d, failed, code.ServerError, "the hub was stopped while the method was called; whether it was is not known")
			}
		}
		if err := r.store(list); err != nil {
			return err
		}
		lower = next
	}
	return nil
}

// serve serves the devices that wait, chunk by chunk.
func (r *run) serve(ctx context.Context) error {
	lower, upper := devicesOf(r.j.form.JobID)
	for lower != nil && ctx.Err() == nil {
		list, next, err := r.s.read(lower, upper, chunkSize, pending)
		if err != nil {
			return err
		}
		now := service.Time{Time: r.s.now()}
		for i := range list {
			list[i].Status, list[i].StartTime, list[i].UpdatedTime = running, &now, now
		}
		if err := r.store(list); err != nil {
			return err
		}
		r.serveChunk(ctx, list)
		if err := r.store(list); err != nil {
			return err
		}
		lower = next
	}
	return nil
}

// serveChunk serves devices side by side. Those that were not begun when ctx ended
// are pending again.
func (r *run) serveChunk(ctx context.Context, list []service.DeviceJob) {
	work := make(chan *service.DeviceJob)
	var group sync.WaitGroup
	for range min(workers, len(list)) {
		group.Go(func() {
			for d := range work {
				r.one(ctx, d)
			}
		})
	}
	for i := range list {
		if ctx.Err() != nil {
			list[i].Status, list[i].StartTime = pending, nil
			continue
		}
		work <- &list[i]
	}
	close(work)
	group.Wait()
}

// one serves one device.
func (r *run) one(ctx context.Context, d *service.DeviceJob) {
	id := iot.Identity{Device: d.DeviceID, Module: d.ModuleID}
	p := &r.j.plan
	if p.method == nil {
		if _, err := r.devices.PatchTwin(id, p.patch, p.etag); err != nil {
			r.s.close(d, failed, code.Of(err), describe(err))
			return
		}
		r.s.close(d, completed, 0, "")
		return
	}
	result, err := r.devices.InvokeMethod(ctx, id, *p.method)
	if err != nil {
		r.s.close(d, failed, code.Of(err), describe(err))
		return
	}
	if !json.Valid(result.Payload) {
		result.Payload = json.RawMessage("null")
	}
	d.Outcome = &service.JobOutcome{Method: &service.JobMethodResponse{Payload: result.Payload, Status: result.Status}}
	r.s.close(d, completed, 0, "")
}

func describe(err error) string {
	var e *iot.Error
	if errors.As(err, &e) && e.Detail != "" {
		return e.Detail
	}
	return code.Of(err).String()
}

// close notes what became of a device.
func (s *Store) close(d *service.DeviceJob, state string, why code.Code, text string) {
	now := service.Time{Time: s.now()}
	d.Status, d.EndTime, d.UpdatedTime = state, &now, now
	if why != 0 && text != "" {
		d.Error = &service.DeviceJobError{Code: strconv.Itoa(int(why)), Description: text}
	}
}

// store writes devices, and how many there are now in each state, in one synced
// write.
func (r *run) store(list []service.DeviceJob) error {
	if len(list) == 0 {
		return nil
	}
	s, j := r.s, r.j
	var b storage.Batch
	for i := range list {
		if err := setDevice(&b, &list[i]); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	j.form.Statistics = counted(*j.form.Statistics, list)
	return s.put(b, j)
}

// counted are the statistics after a chunk, of which all were pending or running
// before, has become what it is.
func counted(n service.JobStatistics, chunk []service.DeviceJob) *service.JobStatistics {
	n.Pending, n.Running = n.Pending+n.Running-len(chunk), 0
	for i := range chunk {
		switch chunk[i].Status {
		case pending:
			n.Pending++
		case running:
			n.Running++
		case completed:
			n.Succeeded++
		case failed:
			n.Failed++
		}
	}
	return &n
}

func setDevice(b *storage.Batch, d *service.DeviceJob) error {
	value, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("job of %s: %w", d.DeviceID, err)
	}
	b.Set(deviceKey(d.JobID, iot.Identity{Device: d.DeviceID, Module: d.ModuleID}), value)
	return nil
}
