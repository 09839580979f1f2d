package jobs

import (
	"bytes"
	"encoding/json"
	"fmt"

	"sluice/internal/hub/query"
	"sluice/internal/service"
	"sluice/iot"
)

// States of a device in a job.
const (
	pending   = "pending"
	running   = "running"
	completed = "completed"
	failed    = "failed"
	canceled  = "canceled"
)

// devicesOf are the bounds of the keys of a job's devices.
func devicesOf(id string) (from, to []byte) {
	from = append([]byte{deviceKind}, id...)
	return append(from, 0), append(bytes.Clone(from), 1)
}

func deviceKey(jobID string, id iot.Identity) []byte {
	k, _ := devicesOf(jobID)
	k = append(k, id.Device...)
	k = append(k, 0)
	return append(k, id.Module...)
}

// Rows visits the devices of all jobs after the key after, in order, until visit
// has had enough: the rows of devices.jobs.
func (s *Store) Rows(after string, visit func(key string, r query.Row) (more bool, err error)) error {
	lower := []byte{deviceKind}
	if after != "" {
		lower = append(append(lower, after...), 0)
	}
	return s.docs.Scan(lower, []byte{deviceKind + 1}, func(key, value []byte) (bool, error) {
		r, err := query.ParseRow(bytes.Clone(value))
		if err != nil {
			return false, fmt.Errorf("key %q: %w", key, err)
		}
		return visit(string(key[1:]), r)
	})
}

// read lists at most limit devices of a job that are in one of these states, from
// the key lower on, and returns where to go on, nil at the end.
func (s *Store) read(lower, upper []byte, limit int, states ...string) (list []service.DeviceJob, next []byte, err error) {
	err = s.docs.Scan(lower, upper, func(key, value []byte) (bool, error) {
		if len(list) == limit {
			next = bytes.Clone(key)
			return false, nil
		}
		var d service.DeviceJob
		if err := json.Unmarshal(value, &d); err != nil {
			return false, fmt.Errorf("key %q: %w", key, err)
		}
		for _, state := range states {
			if d.Status == state {
				list = append(list, d)
			}
		}
		return true, nil
	})
	return list, next, err
}
