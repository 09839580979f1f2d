package translate

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sluice/internal/spool"
	"sluice/iot"
)

// nowhere is a gateway that is not there.
type nowhere struct{}

func (nowhere) Identity() iot.Identity { return iot.ModuleIdentity("edge", "itm") }
func (nowhere) HubName() string        { return "hub.local" }

func (nowhere) Connect(context.Context, iot.Client) (iot.Session, error) { return nil, iot.ErrClosed }

func (nowhere) ConnectLeaf(context.Context, string, iot.Client) (iot.Session, error) {
	return nil, iot.ErrClosed
}

// A refusal that is forgotten waits for the leaf to speak; what is kept of it is looked
// at now and then, not all the time.
func TestALeafWhoseRefusalIsForgottenRests(t *testing.T) {
	store, err := OpenStoreIn(vfs.NewMem(), "module", slog.New(slog.DiscardHandler), func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}()
	m, err := New(Options{Gateway: nowhere{}, Kept: store.Kept, State: store.State})
	if err != nil {
		t.Fatal(err)
	}
	kept := make(chan error, 1)
	data := encodeRecord(telemetry, &iot.Message{Body: []byte("x")})
	store.Kept.Append([]spool.Entry{{Queue: keptQueue, Lane: "leaf", Data: data}}, func(err error) { kept <- err })
	if err := <-kept; err != nil {
		t.Fatal(err)
	}
	lease, err := m.queue.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	l := m.leafOf("leaf")
	l.State, l.Due, l.lease = Refused, time.Now().Add(-time.Second), lease
	m.serve(t.Context(), l)
	if rest := time.Until(l.rest); rest < m.opt.Patience.Refusal/2 {
		t.Errorf("it is looked at again in %v", rest)
	}
	if l.lease != nil || l.State != Refused {
		t.Errorf("it is %s, with the lease %v", l.State, l.lease)
	}
}
