//go:build unix

package robust

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"sluice/internal/hubevent"
	"sluice/internal/service"
	"sluice/test/robust/ledger"
)

// A judge follows the hub's events, however often the hub goes away, and writes
// them down. A receipt has the time at which the hub stored it.
type judge struct {
	t      *testing.T
	ledger *ledger.Writer
	events chan ledger.Event

	mu   sync.Mutex
	have map[string]map[uint64]bool // messages at the hub, by sender; they are in the ledger
}

// attend begins to follow, until the end of the test.
func attend(t *testing.T, hub *service.Client, w *ledger.Writer) *judge {
	j := &judge{t: t, ledger: w, events: make(chan ledger.Event, 4096), have: make(map[string]map[uint64]bool)}
	ctx, stop := context.WithCancel(context.Background())
	var at sync.WaitGroup
	at.Go(func() {
		defer close(j.events)
		err := hub.Events(ctx, service.EventQuery{From: "start", Follow: true}, j.take, j.broken)
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("the hub's events: %v", err)
		}
	})
	at.Go(j.write)
	t.Cleanup(func() {
		stop()
		at.Wait()
		hub.Close()
	})
	return j
}

func (j *judge) broken(err error) { j.t.Logf("the hub's events broke off: %v", err) }

// take makes a receipt of an event.
func (j *judge) take(e *hubevent.Event) error {
	body := e.Binary
	if body == nil {
		body = []byte(e.Text())
	}
	sender, seq, _ := ledger.ReadBody(body)
	as := e.Device
	if e.Module != "" {
		as += "/" + e.Module
	}
	j.events <- ledger.Event{
		Time: e.Enqueued, Kind: ledger.Received, Sender: sender, Seq: seq,
		Hash: ledger.Hash(body), Endpoints: []string{endpoint}, As: as,
	}
	return nil
}

// write writes receipts down, those together that have come together.
func (j *judge) write() {
	for e := range j.events {
		batch := []ledger.Event{e}
		for range len(j.events) {
			batch = append(batch, <-j.events)
		}
		if err := j.ledger.Record(batch...); err != nil {
			j.t.Error(err)
		}
		j.note(batch)
	}
}

func (j *judge) note(batch []ledger.Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, e := range batch {
		if j.have[e.Sender] == nil {
			j.have[e.Sender] = make(map[uint64]bool)
		}
		j.have[e.Sender][e.Seq] = true
	}
}

// total counts the messages that are at the hub.
func (j *judge) total() (n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, seqs := range j.have {
		n += len(seqs)
	}
	return n
}

// received counts the messages of a sender that are at the hub.
func (j *judge) received(sender string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.have[sender])
}

// missing counts the acknowledged messages that are not at the hub, and have not
// expired.
func (j *judge) missing(devices []*device) (n int) {
	now := time.Now()
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, d := range devices {
		d.mu.Lock()
		for _, a := range d.acked {
			if !j.have[d.id][a.seq] && (a.expires.IsZero() || a.expires.After(now)) {
				n++
			}
		}
		d.mu.Unlock()
	}
	return n
}

// await waits until all that was acknowledged is at the hub, or nothing has come
// for a long time: then the verdict will say what is missing.
func (j *judge) await(devices []*device) {
	defer tellSlow(j.t, "what was acknowledged to reach the hub", time.Now())
	least, since := j.missing(devices), time.Now()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		n := j.missing(devices)
		if n < least {
			least, since = n, time.Now()
		}
		if n == 0 || time.Since(since) > patience {
			return
		}
	}
}
