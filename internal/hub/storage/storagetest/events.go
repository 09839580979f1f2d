package storagetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"sluice/internal/hub/storage"
	"sluice/iot"
)

// Events tests an implementation of [storage.Events] that removes nothing meanwhile.
func Events(t *testing.T, start Start[storage.Events]) {
	pump := iot.DeviceIdentity("pump")
	t.Run("what was called back survives a power cut, in order", func(t *testing.T) {
		s, powerCut := start(t)
		appendEvents(t, s, pump, "a", "b")
		appendEvents(t, s, iot.ModuleIdentity("pump", "m"), "c")
		for _, s := range []storage.Events{s, powerCut()} {
			wantEvents(t, s, s.PartitionOf(pump), storage.Earliest(), "0:a 1:b 2:c")
		}
	})
	t.Run("readers begin where they are told", func(t *testing.T) {
		s, _ := start(t)
		before := time.Now().Add(-time.Hour)
		appendEvents(t, s, pump, "a", "b", "c")
		p := s.PartitionOf(pump)
		stats, err := s.Stats(p)
		must(t, err)
		if stats.First != 0 || stats.Next != 3 || stats.Offset == 0 || stats.Partition != p {
			t.Errorf("the partition is %+v", stats)
		}
		wantEvents(t, s, p, storage.AtSequence(1), "1:b 2:c")
		wantEvents(t, s, p, storage.AtOffset(1), "1:b 2:c")
		wantEvents(t, s, p, storage.AtOffset(stats.Offset), "")
		wantEvents(t, s, p, storage.AtTime(before), "0:a 1:b 2:c")
		wantEvents(t, s, p, storage.AtTime(time.Now().Add(time.Hour)), "")
		wantEvents(t, s, p, storage.Latest(), "")
	})
	t.Run("a reader waits for what comes", func(t *testing.T) {
		s, _ := start(t)
		p := s.PartitionOf(pump)
		r, err := s.Reader(p, storage.Latest())
		must(t, err)
		s.AppendFrom(storage.Lifecycle, pump, []iot.Message{{Body: []byte("a")}}, func(error) {})
		list, err := r.Read(t.Context(), 10)
		must(t, err)
		if len(list) != 1 || list[0].Source != storage.Lifecycle || list[0].Partition != p || r.Next() != 1 {
			t.Errorf("read %+v, and then waits for %d", list, r.Next())
		}
		must(t, s.Wait(t.Context(), p, 0))
		over, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := r.Read(over, 10); !errors.Is(err, context.Canceled) {
			t.Errorf("it waited in vain and ended with %v", err)
		}
	})
	t.Run("there is no partition beyond the last", func(t *testing.T) {
		s, _ := start(t)
		n := s.Partitions()
		_, failed := s.Stats(n)
		_, err := s.Reader(n, storage.Earliest())
		for _, err := range []error{failed, err, s.Wait(t.Context(), n, 0)} {
			if !errors.Is(err, storage.ErrNoPartition) {
				t.Errorf("partition %d of %d: %v", n, n, err)
			}
		}
	})
}

// appendEvents returns when they are durable.
func appendEvents(t *testing.T, s storage.Events, sender iot.Identity, bodies ...string) {
	t.Helper()
	var batch []iot.Message
	for _, body := range bodies {
		batch = append(batch, iot.Message{Body: []byte(body)})
	}
	done := make(chan error, 1)
	s.Append(sender, batch, func(err error) { done <- err })
	must(t, <-done)
}

// wantEvents compares what is durable from a position on: numbers and bodies.
func wantEvents(t *testing.T, s storage.Events, partition int, from storage.Position, want string) {
	t.Helper()
	r, err := s.Reader(partition, from)
	must(t, err)
	list, err := r.Poll(10)
	must(t, err)
	var texts []string
	for i := range list {
		texts = append(texts, fmt.Sprintf("%d:%s", list[i].Sequence, list[i].Message.Body))
	}
	if got := strings.Join(texts, " "); got != want {
		t.Errorf("from %+v there is %q, want %q", from, got, want)
	}
}
