package mqtthead

import (
	"errors"
	"sync"

	"sluice/mqtt"
)

// An outbox is what waits for room at the client, in order within each QoS. A
// message at QoS 0 does not wait for one whose PUBACK does not come.
//
// What is put in is bounded by who puts it: deliveries by their grants, all else
// by looking at [outbox.waiting] first.
type outbox struct {
	conn *mqtt.Conn // set before use

	mu     sync.Mutex
	queues [2][]outgoing // by QoS
	bytes  int
	closed bool
}

type outgoing struct {
	message mqtt.Message
	done    func(error)
}

// crowd is how many bytes may wait before what the hub sends of itself is no
// longer taken and requests are refused. At twice as much the connection ends.
const crowd = 1 << 20

// publish sends m now or when there is room. done, if not nil, is called as
// [mqtt.Conn.Publish] says; if the connection ends before m could be sent it is
// not called at all.
func (o *outbox) publish(m mqtt.Message, done func(error)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return
	}
	o.queues[m.QoS] = append(o.queues[m.QoS], outgoing{m, done})
	o.bytes += size(&m)
	o.drain()
}

// flush sends what there is room for.
func (o *outbox) flush() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.drain()
}

// drain sends what there is room for. o.mu is held.
func (o *outbox) drain() {
	for q := range o.queues {
		o.queues[q] = o.drainQueue(o.queues[q])
	}
}

func (o *outbox) drainQueue(queue []outgoing) []outgoing {
	for i := range queue {
		next := &queue[i]
		_, err := o.conn.Publish(next.message, next.done)
		if errors.Is(err, mqtt.ErrFull) {
			return queue[i:]
		}
		// Any other error is that of a connection that has ended: what is
		// published here is valid.
		o.bytes -= size(&next.message)
		*next = outgoing{}
	}
	return nil
}

func size(m *mqtt.Message) int { return len(m.Topic) + len(m.Payload) }

// waiting returns how many bytes wait for room.
func (o *outbox) waiting() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.bytes
}

// close drops what waits.
func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.queues = [2][]outgoing{}
	o.bytes = 0
}
