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

	mu   sync.Mutex
	have map[string]map[uint64]bool // messages at the hub, by sender
}

// attend begins to follow, until the end of the test.
func attend(t *testing.T, hub *service.Client, w *ledger.Writer) *judge {
	j := &judge{t: t, ledger: w, have: make(map[string]map[uint64]bool)}
	ctx, stop := context.WithCancel(context.Background())
	var following sync.WaitGroup
	following.Go(func() {
		err := hub.Events(ctx, service.EventQuery{From: "start", Follow: true}, j.take, nil)
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("the hub's events: %v", err)
		}
	})
	t.Cleanup(func() {
		stop()
		following.Wait()
		hub.Close()
	})
	return j
}

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
	err := j.ledger.Record(ledger.Event{
		Time: e.Enqueued, Kind: ledger.Received, Sender: sender, Seq: seq,
		Hash: ledger.Hash(body), Endpoints: []string{endpoint}, As: as,
	})
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.have[sender] == nil {
		j.have[sender] = make(map[uint64]bool)
	}
	j.have[sender][seq] = true
	return err
}

// missing counts the acknowledged messages that are not at the hub.
func (j *judge) missing(devices []*device) (n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, d := range devices {
		d.mu.Lock()
		for _, seq := range d.acked {
			if !j.have[d.id][seq] {
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
