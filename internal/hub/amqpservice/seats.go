package amqpservice

import (
	"slices"
	"sync"

	"sluice/amqp10"
)

// noEpoch is the epoch of a reader without one.
const noEpoch = -1

// maxReaders is how many readers without an epoch a partition has in one group, as in
// Event Hubs.
const maxReaders = 5

// A place is where readers may get in each other's way.
type place struct {
	group     string
	partition int
}

// A seat is a reader at a place.
type seat struct {
	epoch int64
	leave func(why *amqp10.Error) // does not block
}

// seats are all readers of a service.
type seats struct {
	mu sync.Mutex
	at map[place][]*seat
}

// take gives s a seat, and has those leave that it takes over from.
func (all *seats) take(p place, s *seat) *amqp10.Error {
	all.mu.Lock()
	defer all.mu.Unlock()
	there := all.at[p]
	for _, other := range there {
		if other.epoch > s.epoch {
			return amqp10.Errorf(amqp10.ErrStolen, "partition %d of group %s has a reader with epoch %d", p.partition, p.group, other.epoch)
		}
	}
	if s.epoch == noEpoch && len(there) >= maxReaders {
		return amqp10.Errorf(amqp10.ErrResourceLimit, "partition %d of group %s has %d readers, the limit", p.partition, p.group, maxReaders)
	}
	if s.epoch != noEpoch {
		for _, other := range there {
			other.leave(amqp10.Errorf(amqp10.ErrStolen, "a reader with epoch %d has taken over partition %d of group %s", s.epoch, p.partition, p.group))
		}
		there = nil
	}
	if all.at == nil {
		all.at = make(map[place][]*seat)
	}
	all.at[p] = append(there, s)
	return nil
}

// give gives a seat back.
func (all *seats) give(p place, s *seat) {
	all.mu.Lock()
	defer all.mu.Unlock()
	left := slices.DeleteFunc(all.at[p], func(other *seat) bool { return other == s })
	if len(left) == 0 {
		delete(all.at, p)
		return
	}
	all.at[p] = left
}
