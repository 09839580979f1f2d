package amqphead

import "sync"

// turns run jobs: those with the same key one after the other, in the order of
// their arrival, and at most width keys at a time. They have goroutines only while
// there are jobs. What is pushed is bounded by who pushes it.
type turns[K comparable] struct {
	width int // set before use

	mu      sync.Mutex
	queues  map[K][]func() // of keys that are ready or running
	ready   []K
	running int
	closed  bool
	idle    sync.WaitGroup
}

// push adds a job. After close was called, it drops it and reports false.
func (t *turns[K]) push(key K, job func()) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	if t.queues == nil {
		t.queues = make(map[K][]func())
	}
	queue, busy := t.queues[key]
	t.queues[key] = append(queue, job)
	if busy {
		return true
	}
	t.ready = append(t.ready, key)
	if t.running < t.width {
		t.running++
		t.idle.Go(t.work)
	}
	return true
}

func (t *turns[K]) work() {
	for {
		key, job := t.next()
		if job == nil {
			return
		}
		job()
		t.done(key)
	}
}

func (t *turns[K]) next() (key K, job func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.ready) == 0 {
		t.ready = nil
		t.running--
		return key, nil
	}
	key = t.ready[0]
	t.ready = t.ready[1:]
	queue := t.queues[key]
	job, queue[0] = queue[0], nil
	t.queues[key] = queue[1:]
	return key, job
}

// done puts the key behind the others, if it has more jobs.
func (t *turns[K]) done(key K) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.queues[key]) == 0 {
		delete(t.queues, key)
		return
	}
	t.ready = append(t.ready, key)
}

// close ends the turns, and returns when all jobs are done.
func (t *turns[K]) close() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.idle.Wait()
}
