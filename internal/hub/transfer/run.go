package transfer

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"sluice/internal/hub/blob"
	"sluice/internal/service"
)

// Identities are what jobs are about.
type Identities interface {
	// Count is how many identities there are.
	Count() int
	// Export calls line for each identity, with its twin, in JSON. Keys are left out if
	// that is asked.
	Export(withoutKeys bool, line func([]byte) error) error
	// Import does what lines want, and says what was wrong with some of them. err says
	// that nothing more can be done.
	Import(lines [][]byte) (wrong []service.BulkError, err error)
}

// batch is how many lines are imported at a time.
const batch = 100

// maxLine bounds a line of a blob that is imported, in bytes. A twin may have 72 KiB,
// without its metadata.
const maxLine = 1 << 20

// Run runs jobs as they come until ctx ends. One that runs then has failed.
func (s *Store) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		}
		if j, life := s.begin(ctx); j != nil {
			s.finish(j, life, s.work(life, j))
		}
	}
}

// begin takes the job that is to be run, if it has not been cancelled.
func (s *Store) begin(ctx context.Context) (*job, context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, j := range s.jobs {
		if j.form.Status == enqueued {
			life, stop := context.WithCancelCause(ctx)
			j.stop, j.form.Status = stop, running
			return j, life
		}
	}
	return nil, nil
}

// finish notes how a job ended.
func (s *Store) finish(j *job, life context.Context, err error) {
	cause := context.Cause(life)
	s.mu.Lock()
	defer s.mu.Unlock()
	defer close(j.over)
	j.stop(nil)
	j.stop, j.identities = nil, nil
	switch {
	case errors.Is(cause, errCancelled): // noted already
		return
	case err == nil:
		j.form.Progress = 100
		s.end(j, completed, "")
	case cause != nil:
		s.end(j, failed, "the hub was stopped before the job had ended")
	default:
		s.opt.Log.Warn("a job that moves identities failed", "job", j.form.JobID, "type", j.form.Type, "err", err)
		s.end(j, failed, err.Error())
	}
	if err := s.put(j); err != nil {
		s.opt.Log.Error("the end of a job could not be stored", "job", j.form.JobID, "err", err)
	}
}

// work does what a job is about. What belongs to form does not change meanwhile.
func (s *Store) work(ctx context.Context, j *job) error {
	out, err := blob.Open(j.form.OutputContainer, s.opt.Client)
	if err != nil {
		return err
	}
	if j.form.Type == Export {
		return s.export(ctx, j, out)
	}
	in, err := blob.Open(j.form.InputContainer, s.opt.Client)
	if err != nil {
		return err
	}
	return s.doImport(ctx, j, in, out)
}

func (s *Store) export(ctx context.Context, j *job, out *blob.Container) error {
	w := out.Write(j.form.OutputBlob)
	all, done := j.identities.Count(), 0
	err := j.identities.Export(j.form.ExcludeKeys, func(line []byte) error {
		done++
		s.progress(j, int64(done), int64(all))
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return w.Append(ctx, append(line, '\n'))
	})
	if err != nil {
		return err
	}
	return w.Commit(ctx)
}

// progress notes how far a job is, in percent.
func (s *Store) progress(j *job, done, all int64) {
	percent := int(min(99, 100*done/max(all, 1)))
	if j.form.Progress == percent { // nobody else writes it
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	j.form.Progress = percent
}

func (s *Store) doImport(ctx context.Context, j *job, in, out *blob.Container) error {
	facts, err := in.Stat(ctx, j.form.InputBlob)
	if err != nil {
		return fmt.Errorf("%s: %w", j.form.InputBlob, err)
	}
	from, err := in.Read(ctx, j.form.InputBlob)
	if err != nil {
		return fmt.Errorf("%s: %w", j.form.InputBlob, err)
	}
	defer from.Close() //nolint:errcheck // was read
	log := out.Write(j.form.OutputBlob)
	var done int64
	err = batches(from, func(lines [][]byte) error {
		wrong, err := j.identities.Import(lines)
		for i := range wrong {
			text, _ := json.Marshal(wrong[i]) // texts always marshal
			err = errors.Join(err, log.Append(ctx, append(text, '\n')))
		}
		for _, line := range lines {
			done += int64(len(line)) + 1
		}
		s.progress(j, done, facts.Size)
		if err == nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return err
	})
	if err != nil {
		return err
	}
	return log.Commit(ctx)
}

// batches calls visit with the lines of r that are not empty, some at a time, which are
// good until it returns.
func batches(r io.Reader, visit func([][]byte) error) error {
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, maxLine)
	var lines [][]byte
	for scanner.Scan() {
		line := bytes.TrimPrefix(bytes.TrimSpace(scanner.Bytes()), []byte("\ufeff"))
		if len(line) == 0 {
			continue
		}
		lines = append(lines, bytes.Clone(line))
		if len(lines) == batch {
			if err := visit(lines); err != nil {
				return err
			}
			lines = lines[:0]
		}
	}
	if errors.Is(scanner.Err(), bufio.ErrTooLong) {
		return fmt.Errorf("a line is longer than %d bytes", maxLine)
	}
	if len(lines) > 0 && scanner.Err() == nil {
		return visit(lines)
	}
	return scanner.Err()
}
