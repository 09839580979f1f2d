package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"sluice/internal/hub/storage"
)

// outcome is the result of a performance that has ended: the verdict on a bounded one
// that came to its end.
func outcome(ctx context.Context, once bool, verdict func() error) error {
	cause := context.Cause(ctx)
	switch {
	case errors.Is(cause, errFinished):
		return verdict()
	case errors.Is(cause, errQuit), errors.Is(cause, context.Canceled) && !once:
		return nil
	}
	return cause
}

// follow tallies what devices have said in one partition of the hub's log, until ctx
// ends. What modules say is not the audience's.
func (t *tally) follow(ctx context.Context, log storage.Events, partition int) error {
	r, err := log.Reader(partition, storage.Earliest())
	if err != nil {
		return err
	}
	for {
		events, err := r.Read(ctx, 500)
		if err != nil {
			return err
		}
		for i := range events {
			m := &events[i].Message
			if m.Sender().IsModule() {
				continue
			}
			var body reading
			if err := json.Unmarshal(m.Body, &body); err != nil {
				return fmt.Errorf("the hub has something that nobody sent: %w", err)
			}
			t.arrive(m.Sender().Device, body.Message)
		}
	}
}
