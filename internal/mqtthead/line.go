package mqtthead

import "sync"

// A line runs jobs in the order of their arrival, at most width at a time. It has
// goroutines only while it has jobs.
type line struct {
	width int // set before use

	mu      sync.Mutex
	waiting []func()
	running int
	closed  bool
	idle    sync.WaitGroup
}

// push adds a job. After wait was called, it drops it.
func (l *line) push(job func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	if l.running == l.width {
		l.waiting = append(l.waiting, job)
		return
	}
	l.running++
	l.idle.Go(func() {
		for job != nil {
			job()
			job = l.next()
		}
	})
}

func (l *line) next() func() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) == 0 {
		l.waiting = nil
		l.running--
		return nil
	}
	job := l.waiting[0]
	l.waiting[0] = nil
	l.waiting = l.waiting[1:]
	return job
}

// wait ends the line, and returns when all jobs are done.
func (l *line) wait() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.idle.Wait()
}
